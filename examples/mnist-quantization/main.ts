// Quantises LeNet-5 on handwritten digits, after training and in it.
//   npm run mnist-quantization                                  the quick preset, a few minutes
//   npm run mnist-quantization -- --preset paper --seeds 3      trained and rounded for longer
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startThimble } from '@thimble/backend';
import { checkInteger, data, formatDuration, OptionError } from 'thimble';
import { reportFailure } from '../shared/failure.ts';
import { describeRun } from '../shared/run-record.ts';
import { type Outcome, PRESETS, runExperiment } from './experiment.ts';
import { type Report, textReport, writeReport } from './report.ts';

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
  const { values } = parseArgs({
    options: {
      preset: { type: 'string', default: 'quick' },
      seeds: { type: 'string', default: '1' },
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
  const count = Number(values.seeds);
  checkInteger('mnist-quantization', '--seeds', count, 1);
  const seeds = Array.from({ length: count }, (_, i) => i);
  const output = values.output ?? join('output', 'mnist-quantization', values.preset);

  // Ctrl-C ends the run between two steps; the training goes on from its checkpoint next time.
  const abort = new AbortController();
  process.once('SIGINT', () => abort.abort());

  const started = performance.now();
  await startThimble();
  const progress = !values.silent;
  const { signal } = abort;
  const command =
    `npm run mnist-quantization -- --preset ${values.preset} --seeds ${count}` +
    (values.data === 'synthetic' ? ' --data synthetic' : '');
  const run = describeRun(command); // now: the checkout may change while this runs
  const { train, test } = await data.mnist({ source: values.data, onProgress: progress, signal });
  console.log(`Data: ${train.source}.`);
  const results: Outcome[][] = [];
  for (const seed of seeds) {
    const checkpoints = join(output, 'checkpoints');
    results.push(await runExperiment({ preset, train, test, seed, progress, signal, checkpoints }));
  }
  const report: Report = {
    run,
    preset: values.preset,
    data: {
      source: train.synthetic ? 'synthetic digits' : 'MNIST',
      synthetic: train.synthetic,
      train: train.size,
      test: test.size,
    },
    seeds,
    results,
  };
  const path = await writeReport(report, output);
  console.log(`\n${textReport(report)}\n`);
  console.log(`Report: ${path}   (${formatDuration(performance.now() - started)} in all)`);
}

main().catch(reportFailure);
