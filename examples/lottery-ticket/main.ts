// Finds winning lottery tickets on handwritten digits.
//   npm run lottery-ticket                                  the quick preset, about five minutes
//   npm run lottery-ticket -- --preset paper --seeds 3      the paper's schedule, resumable
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startThimble } from '@thimble/backend';
import { checkInteger, data, formatDuration, OptionError } from 'thimble';
import { reportFailure } from '../shared/failure.ts';
import { NETWORKS, type NetworkName } from '../shared/networks.ts';
import { describeRun } from '../shared/run-record.ts';
import { PRESETS, runExperiment } from './experiment.ts';
import { type Report, textReport, writeReport } from './report.ts';

const HELP = `Finds winning lottery tickets on handwritten digits (Frankle and Carbin, 2019).

  --preset quick|study|paper   quick: 2 epochs a network, about five minutes; study: 6 epochs,
                         twenty minutes a seed; paper: 50,000 steps and all controls, hours
  --model ${NETWORKS.join('|')}   default lenet300 (LeNet-300-100)
  --seeds N              repeat with N seeds and show mean and spread (default 1)
  --first-seed N         the first of them (default 0); several processes may share an output folder
  --data auto|synthetic|FOLDER   where the digits come from (default auto: THIMBLE_DATA_DIR, the
                         cache, a download, or else synthetic digits)
  --output FOLDER        where report.html, result.json and finished trainings go
                         (default output/lottery-ticket/PRESET-MODEL); run it again to go on
  --silent               no progress bars
  --help`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      preset: { type: 'string', default: 'quick' },
      model: { type: 'string', default: 'lenet300' },
      seeds: { type: 'string', default: '1' },
      'first-seed': { type: 'string', default: '0' },
      data: { type: 'string', default: 'auto' },
      output: { type: 'string' },
      silent: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    return;
  }
  const preset = PRESETS[values.preset];
  if (!preset) {
    const known = Object.keys(PRESETS).join(', ');
    throw new OptionError(`--preset must be one of ${known}, not "${values.preset}".`);
  }
  const model = values.model as NetworkName;
  if (!NETWORKS.includes(model)) {
    throw new OptionError(`--model must be one of ${NETWORKS.join(', ')}, not "${values.model}".`);
  }
  const count = Number(values.seeds);
  checkInteger('lottery-ticket', '--seeds', count, 1);
  const first = Number(values['first-seed']);
  checkInteger('lottery-ticket', '--first-seed', first, 0);
  const seeds = Array.from({ length: count }, (_, i) => first + i);
  const output = values.output ?? join('output', 'lottery-ticket', `${values.preset}-${model}`);

  // Ctrl-C ends the run between two steps; finished trainings are kept.
  const abort = new AbortController();
  process.once('SIGINT', () => abort.abort());

  const started = performance.now();
  await startThimble();
  const progress = !values.silent;
  const { signal } = abort;
  const command =
    `npm run lottery-ticket -- --preset ${values.preset} --model ${model} --seeds ${count}` +
    (first > 0 ? ` --first-seed ${first}` : '');
  const run = describeRun(command); // now: the checkout may change while this runs
  const { train, test } = await data.mnist({ source: values.data, onProgress: progress, signal });
  console.log(`Data: ${train.source}.`);
  const folder = join(output, 'branches');
  const branches = await runExperiment({
    model,
    preset,
    train,
    test,
    seeds,
    folder,
    progress,
    signal,
  });
  const report: Report = {
    run,
    model,
    preset: values.preset,
    data: {
      source: train.synthetic ? 'synthetic digits' : 'MNIST',
      synthetic: train.synthetic,
      train: train.size,
      test: test.size,
    },
    seeds,
    branches,
  };
  const path = await writeReport(report, output);
  console.log(`\n${textReport(report)}\n`);
  console.log(`Charts: ${path}   (${formatDuration(performance.now() - started)} in all)`);
}

main().catch(reportFailure);
