// Trains networks with binary weights and activations on handwritten digits, beside their float twins.
//   npm run mnist-binary                                  the quick preset, a few minutes
//   npm run mnist-binary -- --preset paper --epochs 50    the papers' networks, resumable
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { OptionError } from 'thimble';
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
import { PRESETS, runExperiment, type Trained } from './experiment.ts';
import type { Part } from './networks.ts';
import { type Report, textReport, writeReport } from './report.ts';

const OWNER = 'mnist-binary';
const PARTS: Record<string, Part> = { 'binary-connect': 'binaryConnect', xnor: 'xnor', bnn: 'bnn' };

const HELP = `Trains networks with binary weights and activations, beside their float twins.

  --preset quick|paper   quick: a few epochs of small networks; paper: 3x1024 (BinaryConnect, 1000 epochs),
                         LeNet-5 (60), 3x512 (BNN, 1000 epochs); hours to days, resumable
  --epochs N             as many epochs for every network
  --only binary-connect|xnor|bnn   one part of the experiment; may be given several times
  --images N             train on the first N images
  --seeds N              repeat with N seeds and show mean and spread (default 1)
  --first-seed N         the first of them (default 0)
  --data auto|synthetic|FOLDER   where the digits come from (default auto: THIMBLE_DATA_DIR, the
                         cache, a download, or else synthetic digits)
  --output FOLDER        where report.html, result.json and checkpoints go
                         (default output/mnist-binary/PRESET)
  --silent               no progress bars
  --help`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      ...OPTIONS,
      epochs: { type: 'string' },
      only: { type: 'string', multiple: true },
      images: { type: 'string' },
      'first-seed': { type: 'string', default: '0' },
    },
  });
  if (values.help) {
    console.log(HELP);
    return;
  }
  let preset = presetNamed(PRESETS, values.preset);
  const command = ['npm run mnist-binary --', `--preset ${values.preset}`];
  if (values.epochs !== undefined) {
    const epochs = wholeNumber(OWNER, '--epochs', values.epochs, 1);
    preset = { ...preset, epochs: { binaryConnect: epochs, xnor: epochs, bnn: epochs } };
    command.push(`--epochs ${epochs}`);
  }
  const parts = values.only?.map((name) => {
    if (Object.hasOwn(PARTS, name)) return PARTS[name]!;
    throw new OptionError(`--only must be ${Object.keys(PARTS).join(', ')}, not "${name}".`);
  });
  for (const name of values.only ?? []) command.push(`--only ${name}`);
  if (values.images !== undefined) command.push(`--images ${values.images}`);
  const number = wholeNumber(OWNER, '--seeds', values.seeds, 1);
  const first = wholeNumber(OWNER, '--first-seed', values['first-seed'], 0);
  command.push(`--seeds ${number}`);
  if (first > 0) command.push(`--first-seed ${first}`);
  if (values.data === 'synthetic') command.push('--data synthetic');
  const output = values.output ?? join('output', OWNER, values.preset);

  const working = await begin(command.join(' '), values);
  const { train: all, test, progress, signal } = working;
  const images =
    values.images === undefined ? all.size : wholeNumber(OWNER, '--images', values.images, 1);
  const train = all.take(Math.min(images, all.size));

  const seeds = seedsFrom(first, number);
  const results: Trained[][] = [];
  for (const seed of seeds) {
    const checkpoints = join(output, 'checkpoints');
    results.push(
      await runExperiment({ preset, train, test, seed, parts, progress, signal, checkpoints }),
    );
  }
  const report: Report = {
    run: working.record,
    preset: values.preset,
    data: recordData({ train, test }),
    seeds,
    results,
  };
  const path = await writeReport(report, output);
  finish(textReport(report), 'Written to', path, working);
}

main().catch(reportFailure);
