// Trains the networks of the playground on MNIST and writes them as .thimble files, with what the page says of
// them and some digits of the test set to begin with.
//   npm run playground:train          about ten minutes; goes on where it was interrupted
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import { type data, encode, evaluateExits, load, summarize } from 'thimble';
import { reportFailure } from '../shared/failure.ts';
import { begin } from '../shared/program.ts';
import { testErrors } from '../shared/test-errors.ts';
import type { Card, Listing } from './cards.ts';
import { type Length, trainedForms } from './networks.ts';

const LENGTH: Length = { epochs: 5, tuning: 4 };
const SAMPLES = 30;

/** Writes all files into a folder. */
export async function writeNetworks(
  folder: string,
  run: {
    train: data.ImageDataset;
    test: data.ImageDataset;
    progress: boolean;
    signal?: AbortSignal;
  },
  length: Length,
  command: string,
  checkpoints?: string,
): Promise<Card[]> {
  const { test } = run;
  const [train] = run.train.split(1 / 12, 'validation');
  await mkdir(folder, { recursive: true });
  const cards: Card[] = [];
  const training = { ...run, ...length, train, seed: 0, ...(checkpoints ? { checkpoints } : {}) };
  for await (const { id, title, about, model, width } of trainedForms(training)) {
    const bytes = await encode(model);
    await writeFile(join(folder, `${id}.thimble`), bytes);
    const again = await load(bytes); // errors are those of the file
    const exits = again.outputs.length > 1;
    const errors = exits
      ? (await evaluateExits(again, test, { batchSize: 500, progress: false })).exits.map(
          ({ accuracy }) => Math.round((1 - accuracy) * test.size),
        )
      : [await testErrors(again, test)];
    cards.push({
      id,
      title,
      about,
      bytes: bytes.length,
      macs: summarize(model).total.macs,
      errors,
      ...(width === undefined ? {} : { width }),
    });
    again.dispose();
    console.log(`${id}: ${bytes.length} bytes, ${errors.join(', ')} errors`);
  }
  const listing: Listing = {
    command,
    data: train.synthetic ? 'synthetic digits' : 'MNIST',
    testSize: test.size,
    cards,
    samples: samplesOf(test),
  };
  await writeFile(join(folder, 'networks.json'), `${JSON.stringify(listing, null, 1)}\n`);
  return cards;
}

/** Some digits, each class equally often. */
function samplesOf(test: data.ImageDataset): Listing['samples'] {
  const { images, labels } = test.tensors({ limit: Math.min(300, test.size) });
  const [pixels, truth] = [images.dataSync(), tf.tidy(() => tf.argMax(labels, -1).dataSync())];
  images.dispose();
  labels.dispose();
  const size = 28 * 28;
  const taken = new Array<number>(10).fill(0);
  const samples: Listing['samples'] = [];
  for (const [i, label] of truth.entries()) {
    if (taken[label]! >= SAMPLES / 10) continue;
    taken[label]!++;
    const values = Uint8Array.from(pixels.subarray(i * size, (i + 1) * size), (v) =>
      Math.round(255 * v),
    );
    samples.push({ label, pixels: Buffer.from(values).toString('base64') });
  }
  return samples;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      data: { type: 'string', default: 'auto' },
      output: { type: 'string', default: 'examples/playground/public/networks' },
      silent: { type: 'boolean', default: false },
    },
  });
  const command = 'npm run playground:train';
  const run = await begin(command, values);
  await writeNetworks(values.output, run, LENGTH, command, 'output/playground');
}

if (process.argv[1]?.endsWith('train.js')) main().catch(reportFailure);
