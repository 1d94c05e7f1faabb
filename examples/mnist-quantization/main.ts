// Quantises LeNet-5 on handwritten digits, after training and in it.
//   npm run mnist-quantization                                  the quick preset, a few minutes
//   npm run mnist-quantization -- --preset paper --seeds 3      trained and rounded for longer
import { parseArgs } from 'node:util';
import { reportFailure } from '../shared/failure.ts';
import { beginPreset, finish, OPTIONS, recordData } from '../shared/program.ts';
import { type Outcome, PRESETS, runExperiment } from './experiment.ts';
import { type Report, textReport, writeReport } from './report.ts';

const OWNER = 'mnist-quantization';

const HELP = `Quantises LeNet-5 on handwritten digits, after training and in it: bits, bytes, errors, seconds.

  --preset quick|paper   quick: 3 epochs, a few minutes; paper: 20 epochs, 10,000 steps of AdaRound
                         per layer
  --seeds N              repeat with N seeds and show mean and spread (default 1)
  --data auto|synthetic|FOLDER   where the digits come from (default auto: THIMBLE_DATA_DIR, the
                         cache, a download, or else synthetic digits)
  --output FOLDER        where report.html, result.json and checkpoints go
                         (default output/mnist-quantization/PRESET)
  --silent               no progress bars
  --help`;

async function main(): Promise<void> {
  const { values } = parseArgs({ options: OPTIONS });
  if (values.help) {
    console.log(HELP);
    return;
  }
  const working = await beginPreset(OWNER, PRESETS, values);
  const { preset, seeds, output, train, test, progress, signal, checkpoints } = working;
  const results: Outcome[][] = [];
  for (const seed of seeds) {
    results.push(await runExperiment({ preset, train, test, seed, progress, signal, checkpoints }));
  }
  const report: Report = {
    run: working.record,
    preset: values.preset,
    data: recordData(working),
    seeds,
    results,
  };
  const path = await writeReport(report, output);
  finish(textReport(report), 'Report:', path, working);
}

main().catch(reportFailure);
