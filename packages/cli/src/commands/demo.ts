// thimble demo
import * as tfl from '@tensorflow/tfjs-layers';
import { startThimble } from '@thimble/backend';
import { withSeed, writeBytes } from '@thimble/base';
import { compress, data, fit, recipes } from 'thimble';
import type { Context, Outcome } from '../context.ts';
import { checkOutput } from '../output.ts';
import { count, scoresText } from '../text.ts';

export interface DemoOptions {
  data?: 'digits' | 'mnist';
  output?: string;
  limit?: number;
}

/** Trains a small network on digits, compresses it and writes the file: what the library does, in a minute. */
export async function demo(
  { data: set = 'digits', output = 'demo.thimble', limit = 6000 }: DemoOptions,
  { progress, signal, say }: Context,
): Promise<Outcome> {
  await checkOutput(output);
  await startThimble();
  const source = set === 'digits' ? 'synthetic' : 'auto';
  const { train, test } = await data.mnist({ source, limit, onProgress: progress, signal });
  say(`Data: ${train.source}.`);
  const [training, validation] = train.split(0.1);
  const model = withSeed(1, () =>
    tfl.sequential({
      name: 'demo',
      layers: [
        tfl.layers.flatten({ inputShape: [28, 28, 1] }),
        tfl.layers.dense({ name: 'hidden', units: 100, activation: 'relu' }),
        tfl.layers.dense({ name: 'output', units: 10, activation: 'softmax' }),
      ],
    }),
  );
  const loss = 'categoricalCrossentropy';
  await fit(model, training, { epochs: 5, batchSize: 32, loss, progress, signal });
  const recipe = recipes.deepCompression({ sparsity: 0.9, rounds: 3, epochs: 3 });
  const {
    bytes,
    report,
    model: small,
  } = await compress(model, {
    data: { train: training, validation, test },
    recipe,
    progress,
    signal,
  });
  small.dispose();
  model.dispose();
  await writeBytes(output, bytes);
  const { before, after, ratio } = report;
  return {
    text: [
      `A network of 784-100-10 units on ${count(training.size)} digits:`,
      `before: ${count(4 * before.params)} bytes as float32, ${scoresText(before.test!)} on test data`,
      `after:  ${count(bytes.length)} bytes, ${ratio.toFixed(1)} times smaller, ${scoresText(after.test!)}`,
      `Written to ${output}. Look inside with: thimble inspect ${output} --histograms`,
    ].join('\n'),
    json: { output, source: train.source, ...report },
  };
}
