// Trains one network with early exits on handwritten digits: accuracy against computation and time.
//   npm run dynamic-inference                                  the quick preset, a few minutes
//   npm run dynamic-inference -- --preset paper --seeds 3      a larger network, trained for longer
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { OptionError } from 'thimble';
import { reportFailure } from '../shared/failure.ts';
import { begin, finish, OPTIONS, recordData, seedsFrom, wholeNumber } from '../shared/program.ts';
import { type Point, PRESETS, runExperiment } from './experiment.ts';
import { type Report, textReport, writeReport } from './report.ts';

const OWNER = 'dynamic-inference';

const HELP = `Trains one network with early exits on handwritten digits, and shows accuracy against multiply-accumulates
and milliseconds: at every exit for all images, and leaving as soon as the network is sure.

  --preset quick|paper   quick: 2 epochs and 2 with all exits; paper: twice the filters, 12 and 8 epochs
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
  const preset = PRESETS[values.preset];
  if (!preset) {
    const known = Object.keys(PRESETS).join(', ');
    throw new OptionError(`--preset must be one of ${known}, not "${values.preset}".`);
  }
  const seeds = seedsFrom(0, wholeNumber(OWNER, '--seeds', values.seeds, 1));
  const output = values.output ?? join('output', OWNER, values.preset);
  const command =
    `npm run dynamic-inference -- --preset ${values.preset} --seeds ${seeds.length}` +
    (values.data === 'synthetic' ? ' --data synthetic' : '');
  const working = await begin(command, values);
  const { train, test, progress, signal } = working;
  const results: Point[][] = [];
  for (const seed of seeds) {
    const checkpoints = join(output, 'checkpoints');
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
