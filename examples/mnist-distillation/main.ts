// Distils a teacher into a small student on handwritten digits.
//   npm start                                   the quick preset
//   npm start -- --preset paper --seeds 3       the experiments of Hinton et al., resumable
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { reportFailure } from '../shared/failure.ts';
import {
  begin,
  finish,
  OPTIONS,
  presetNamed,
  recordData,
  seedsFrom,
  wholeNumber,
} from '../shared/program.ts';
import type { Trained } from './experiment.ts';
import { type PaperOptions, runPaper } from './paper.ts';
import { type QuickOptions, runQuick } from './quick.ts';
import { type Report, textReport, writeReport } from './report.ts';

const OWNER = 'mnist-distillation';

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
      ...OPTIONS,
      'student-images': { type: 'string' },
    },
  });
  if (values.help) {
    console.log(HELP);
    return;
  }
  const run = presetNamed(PRESETS, values.preset);
  const seeds = seedsFrom(0, wholeNumber(OWNER, '--seeds', values.seeds, 1));
  const given = values['student-images'];
  if (given !== undefined) wholeNumber(OWNER, '--student-images', given, 1);
  const output = values.output ?? join('output', OWNER, values.preset);

  const command = ['npm start --', `--preset ${values.preset}`, `--seeds ${seeds.length}`];
  if (given !== undefined) command.push(`--student-images ${given}`);
  if (values.data === 'synthetic') command.push('--data synthetic');
  const working = await begin(command.join(' '), values);
  const { train, test, progress, signal } = working;

  const results: Trained[][] = [];
  for (const seed of seeds) {
    results.push(
      await run({
        train,
        test,
        seed,
        progress,
        signal,
        checkpoints: join(output, 'checkpoints'),
        ...(given === undefined ? {} : { studentImages: Number(given) }),
      }),
    );
  }
  const report: Report = {
    run: working.record,
    preset: values.preset,
    data: recordData(working),
    seeds,
    results,
  };
  const path = await writeReport(report, output);
  finish(textReport(report), 'Learning curves:', path, working);
}

main().catch(reportFailure);
