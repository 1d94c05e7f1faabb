// Distils a teacher into a small student on handwritten digits.
//   npm start                                   the quick preset
//   npm start -- --preset paper --seeds 3       the experiments of Hinton et al., resumable
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startThimble } from '@thimble/backend';
import { checkInteger, data, formatDuration, OptionError } from 'thimble';
import { reportFailure } from '../shared/failure.ts';
import { describeRun } from '../shared/run-record.ts';
import type { Trained } from './experiment.ts';
import { type PaperOptions, runPaper } from './paper.ts';
import { type QuickOptions, runQuick } from './quick.ts';
import { type Report, textReport, writeReport } from './report.ts';

const HELP = `Distils a teacher into a small student on handwritten digits.

  --preset quick|paper   quick: about a minute; paper: Hinton's experiments at scale, resumable
  --student-images N     how many images the quick preset's student gets to see (default 10000)
  --seeds N              repeat with N seeds and show mean and spread (default 1)
  --data auto|synthetic|FOLDER   where the digits come from (default auto: THIMBLE_DATA_DIR, the
                         cache, a download, or else synthetic digits)
  --output FOLDER        where report.html, result.json and checkpoints go
                         (default output/mnist-distillation/PRESET)
  --silent               no progress bars
  --help`;

const PRESETS: Record<string, (options: QuickOptions & PaperOptions) => Promise<Trained[]>> = {
  quick: runQuick,
  paper: runPaper,
};

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      preset: { type: 'string', default: 'quick' },
      'student-images': { type: 'string' },
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
  const run = PRESETS[values.preset];
  if (!run) throw new OptionError(`--preset must be quick or paper, not "${values.preset}".`);
  const seeds = Number(values.seeds);
  checkInteger('mnist-distillation', '--seeds', seeds, 1);
  const given = values['student-images'];
  if (given !== undefined) checkInteger('mnist-distillation', '--student-images', Number(given), 1);
  const output = values.output ?? join('output', 'mnist-distillation', values.preset);

  // Ctrl-C ends the run between two steps; the paper preset goes on from its checkpoint next time.
  const abort = new AbortController();
  process.once('SIGINT', () => abort.abort());

  const started = performance.now();
  await startThimble(); // tf.setBackend('thimble') that throws where it cannot
  const progress = !values.silent;
  const command = ['npm start --', `--preset ${values.preset}`, `--seeds ${seeds}`];
  if (given !== undefined) command.push(`--student-images ${given}`);
  if (values.data === 'synthetic') command.push('--data synthetic');
  const record = describeRun(command.join(' ')); // now: the checkout may change while this runs
  const { train, test } = await data.mnist({
    source: values.data,
    onProgress: progress,
    signal: abort.signal,
  });
  console.log(`Data: ${train.source}.`);

  const results: Trained[][] = [];
  for (let seed = 0; seed < seeds; seed++) {
    results.push(
      await run({
        train,
        test,
        seed,
        progress,
        signal: abort.signal,
        checkpoints: join(output, 'checkpoints'),
        ...(given === undefined ? {} : { studentImages: Number(given) }),
      }),
    );
  }
  const report: Report = {
    run: record,
    preset: values.preset,
    data: {
      source: train.synthetic ? 'synthetic digits' : 'MNIST',
      synthetic: train.synthetic,
      train: train.size,
      test: test.size,
    },
    seeds: Array.from({ length: seeds }, (_, i) => i),
    results,
  };
  const path = await writeReport(report, output);
  console.log(`\n${textReport(report)}\n`);
  console.log(`Learning curves: ${path}   (${formatDuration(performance.now() - started)} in all)`);
}

main().catch(reportFailure);
