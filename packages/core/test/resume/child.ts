// A training run in a process of its own, to be killed: node child.js <checkpoint file> <result file>
import '@tensorflow/tfjs-backend-cpu';
import { writeFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { Random, withSeed } from '@thimble/base';
import { type BatchSource, fit } from '@thimble/core';

const [checkpoint, result] = process.argv.slice(2) as [string, string];
tf.env().set('IS_TEST', true); // no greeting
await tf.setBackend('cpu');

const model = withSeed(5, () =>
  tfl.sequential({
    layers: [
      tfl.layers.dense({ units: 12, activation: 'relu', inputShape: [3] }),
      tfl.layers.batchNormalization({}),
      tfl.layers.dropout({ rate: 0.3 }),
      tfl.layers.dense({ units: 2, activation: 'softmax' }),
    ],
  }),
);

/** Two classes by the sign of the sum, seen through fresh noise at every draw. */
function noisy(size: number, seed: number): BatchSource {
  const random = new Random(seed);
  const values = Array.from({ length: size }, () => [0, 1, 2].map(() => random.uniform(-1, 1)));
  return {
    size,
    varies: true,
    batch(indices, noise) {
      const rows = Array.from(indices, (i) => values[i]!);
      return {
        xs: tf.tensor2d(rows.map((row) => row.map((x) => x + (noise?.normal(0, 0.3) ?? 0)))),
        ys: tf.tensor2d(rows.map(([a, b, c]) => (a! + b! + c! > 0 ? [0, 1] : [1, 0]))),
      };
    },
  };
}

let counted = 0;
const history = await fit(model, noisy(75, 1), {
  epochs: 8,
  batchSize: 8,
  optimizer: 'adam',
  learningRate: ({ step }) => 0.02 / (1 + step / 50),
  loss: 'categoricalCrossentropy',
  metrics: ['accuracy'],
  validationData: noisy(40, 2),
  earlyStopping: { patience: 3 },
  seed: 11,
  progress: false,
  checkpoint: { path: checkpoint, everySteps: 2 },
  callbacks: [
    {
      async onBatchEnd() {
        counted++;
        process.stdout.write('.');
        await new Promise((resolve) => setTimeout(resolve, 3));
      },
      state: () => counted,
      restore: (state) => {
        counted = state as number;
      },
    },
  ],
});

const weights = model.getWeights().map((weight) => Array.from(weight.dataSync()));
const { seconds: _, ...rest } = history;
writeFileSync(result, JSON.stringify({ weights, counted, ...rest }));
