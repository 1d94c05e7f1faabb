import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { Random, withSeed } from '@thimble/base';
import { evaluate, fit, predictAll } from '@thimble/core';
import { beforeAll, describe, expect, it } from 'vitest';

beforeAll(async () => {
  tf.env().set('IS_TEST', true);
  await tf.setBackend('cpu');
});

/** Two classes, by the sign of the first of two coordinates. */
function points(n: number, seed = 1) {
  const random = new Random('points', seed);
  const xs = Float32Array.from({ length: 2 * n }, () => random.uniform(-1, 1));
  const ys = Float32Array.from({ length: 2 * n }, (_, i) =>
    (xs[i - (i % 2)]! > 0 ? 1 : 0) === i % 2 ? 1 : 0,
  );
  return { xs, ys };
}

function classifier(seed = 3) {
  return withSeed(seed, () =>
    tfl.sequential({
      layers: [
        tfl.layers.dense({ units: 8, activation: 'relu', inputShape: [2] }),
        tfl.layers.dense({ units: 2, activation: 'softmax' }),
      ],
    }),
  );
}

describe('fit', () => {
  it('learns without compile', async () => {
    const model = classifier();
    const history = await fit(model, points(200), {
      epochs: 20,
      optimizer: 'adam',
      learningRate: 0.01,
      loss: 'categoricalCrossentropy',
      metrics: ['accuracy'],
      validationData: points(100, 2),
      progress: false,
    });
    expect(history.epochs).toBe(20);
    expect(history.steps).toBe(20 * 7);
    expect(Object.keys(history.logs)).toEqual(['loss', 'accuracy', 'val_loss', 'val_accuracy']);
    expect(history.logs.val_accuracy!.at(-1)).toBeGreaterThan(0.9);
    const result = await evaluate(model, points(100, 2), {
      loss: 'categoricalCrossentropy',
      metrics: ['accuracy'],
      progress: false,
    });
    expect(result).toEqual({
      loss: history.logs.val_loss!.at(-1),
      accuracy: history.logs.val_accuracy!.at(-1),
    });
    const [output] = await predictAll(model, points(100, 2), { progress: false });
    expect(output!.shape).toEqual([100, 2]);
    model.dispose();
  });
});
