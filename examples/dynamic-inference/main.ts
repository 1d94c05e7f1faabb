// Trains one network of several widths with early exits on handwritten digits: accuracy against computation and time.
//   npm run dynamic-inference                                  the quick preset, a few minutes
//   npm run dynamic-inference -- --preset paper --seeds 3      a larger network, trained for longer
import { parseArgs } from 'node:util';
import { reportFailure } from '../shared/failure.ts';
import { beginPreset, finish, OPTIONS, recordData } from '../shared/program.ts';
import { type Point, PRESETS, runExperiment } from './experiment.ts';
import { type Report, textReport, writeReport } from './report.ts';

const OWNER = 'dynamic-inference';

const HELP = `Trains one network of three widths with early exits on handwritten digits, and shows accuracy against
multiply-accumulates and milliseconds: at every width, at each exit for all images, and leaving as soon as the
network is sure.

  --preset quick|paper   quick: 2 epochs of all widths and 2 with all exits; paper: twice the filters, 12 and 8 epochs
  --seeds N              repeat with N seeds and show mean and spread (default 1)
  --data auto|synthetic|FOLDER   where the digits come from (default auto: THIMBLE_DATA_DIR, the
                         cache, a download, or else synthetic digits)
  --output FOLDER        where report.html, result.json and checkpoints go
                         (default output/dynamic-inference/PRESET)
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
  const results: Point[][] = [];
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
