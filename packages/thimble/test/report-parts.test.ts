// The parts of a report against values worked out by hand.
import '@thimble/backend';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { expectNoLeaks } from '@thimble/testing';
import {
  calibration,
  classScores,
  energyOf,
  fgsm,
  lower,
  mask,
  median,
  parametrize,
  pgd,
  quantize,
  regressionScores,
  saliencyMaps,
  timesInTurn,
} from 'thimble';
import { beforeAll, describe, expect, test } from 'vitest';

beforeAll(async () => {
  await tf.setBackend('thimble');
});

/** softmax([w.x, 0]) of two or more inputs. */
function linear(w: readonly number[], activation: 'softmax' | 'linear' = 'softmax') {
  const weights = [tf.tensor2d(w.map((each) => [each, 0]))];
  return tfl.sequential({
    layers: [
      tfl.layers.dense({
        units: 2,
        useBias: false,
        activation,
        inputShape: [w.length],
        weights,
      }),
    ],
  });
}

describe('scores', () => {
  test('of classes: in all and by class', () => {
    const values = Float32Array.of(3, 1, 0, /**/ 0, 2, 2, /**/ 1, 0, 5, /**/ 9, 0, 0);
    const { accuracy, errors, perClass } = classScores(values, [0, 1, 2, 2], 3);
    expect({ accuracy, errors }).toEqual({ accuracy: 0.75, errors: 1 }); // the first of equal outputs counts
    expect(perClass).toEqual([
      { examples: 1, right: 1 },
      { examples: 1, right: 1 },
      { examples: 2, right: 1 },
    ]);
    expect(() => classScores(values, [0], 3)).toThrow(/1 labels need 3 outputs/);
  });

  test('of regression', () => {
    // Differences 1, -3, 0, 2: mean size 6/4, mean square 14/4.
    const { mae, rmse } = regressionScores(Float32Array.of(1, 2, 3, 4), [0, 5, 3, 2]);
    expect(mae).toBe(1.5);
    expect(rmse).toBeCloseTo(Math.sqrt(3.5), 12);
  });

  test('calibration, each example in a bin of its own', () => {
    const pairs = (list: number[]) => Float32Array.from(list.flatMap((p) => [p, 1 - p]));
    // Right, wrong, right, wrong: (|1 - 0.95| + |0 - 0.85| + |1 - 0.65| + |0 - 0.55|) / 4 = 0.45
    const { ece, bins } = calibration(pairs([0.95, 0.85, 0.65, 0.55]), [0, 1, 0, 1], 2, 10);
    expect(ece).toBeCloseTo(0.45, 6);
    expect(bins.map(({ examples }) => examples)).toEqual([0, 0, 0, 0, 0, 1, 1, 0, 1, 1]);
  });

  test('calibration averages within a bin, and a border belongs to the lower one', () => {
    const pairs = Float32Array.of(0.92, 0.08, 0.98, 0.02, 0.75, 0.25, 0.75, 0.25);
    // (0.75, 1]: half right at 0.95, (0.5, 0.75]: both right at 0.75. 2/4 * 0.45 + 2/4 * 0.25 = 0.35
    const { ece, bins } = calibration(pairs, [0, 1, 0, 0], 2, 4);
    expect(ece).toBeCloseTo(0.35, 6);
    expect(bins[2]).toMatchObject({ examples: 2, accuracy: 1 });
    expect(bins[3]!.confidence).toBeCloseTo(0.95, 6);
  });
});

describe('attacks on a linear network', () => {
  const w = [2, -1, 0.5];
  const x = () => tf.tensor2d([[0.5, 0.5, 0.05]]);
  // The loss of class 0 falls with w.x, so each value moves against the sign of its weight.
  const moved = [0.4, 0.6, 0];

  test('the fast gradient sign method moves every value by epsilon, within the range', () => {
    const found = fgsm(linear(w), x(), tf.tensor2d([[1, 0]]), { epsilon: 0.1 });
    expect(Array.from(found.dataSync())).toEqual(moved.map((v) => expect.closeTo(v, 6)));
    const other = fgsm(linear(w, 'linear'), x(), tf.tensor2d([[0, 1]]), {
      epsilon: 0.1,
      loss: 'categoricalCrossentropyFromLogits',
      range: [0, 0.55],
    });
    const up = [0.55, 0.4, 0.15];
    expect(Array.from(other.dataSync())).toEqual(up.map((v) => expect.closeTo(v, 6)));
  });

  test('projected gradient descent ends in the corner, wherever it begins', () => {
    // Ten steps of a quarter of epsilon are 2.5 epsilon; across the ball it is 2.
    for (const seed of [0, 1, 2]) {
      const found = pgd(linear(w), x(), tf.tensor2d([[1, 0]]), { epsilon: 0.1, seed });
      expect(Array.from(found.dataSync())).toEqual(moved.map((v) => expect.closeTo(v, 6)));
    }
    // One step from a random place: not yet there, but within the ball.
    const one = pgd(linear(w), x(), tf.tensor2d([[1, 0]]), {
      epsilon: 0.1,
      steps: 1,
      stepSize: 0.01,
    });
    const values = Array.from(one.dataSync());
    for (const [i, v] of [0.5, 0.5, 0.05].entries()) {
      expect(Math.abs(values[i]! - v)).toBeLessThanOrEqual(0.1 + 1e-6);
    }
    expect(values[0]).not.toBeCloseTo(0.4, 3);
  });

  test('leave no tensor, and refuse what they do not know', async () => {
    const model = linear(w);
    const [a, b] = [x(), tf.tensor2d([[1, 0]])];
    await expectNoLeaks(() => pgd(model, a, b, { epsilon: 0.1, steps: 3 }).dispose());
    expect(() => fgsm(model, a, b, { epsilon: -1 })).toThrow(/epsilon/);
    expect(() => fgsm(model, a, b, { epsilon: 1, steps: 3 } as never)).toThrow(/unknown option/);
  });
});

describe('saliency maps', () => {
  test('are the gradient of the log-odds, also where the softmax is saturated', () => {
    // log p1 - log p2 = w.x, whatever x is: the map is |w|.
    for (const scale of [0.1, 20]) {
      const map = saliencyMaps(linear([2, -1, 0.5]), tf.fill([1, 3], scale));
      expect(Array.from(map.dataSync())).toEqual([2, 1, 0.5].map((v) => expect.closeTo(v, 4)));
    }
  });

  test('take the largest of the channels', () => {
    const model = tfl.sequential({
      layers: [
        tfl.layers.flatten({ inputShape: [1, 2, 2] }),
        tfl.layers.dense({
          units: 1,
          weights: [tf.tensor2d([[1], [-3], [2], [0]]), tf.zeros([1])],
        }),
      ],
    });
    const map = saliencyMaps(model, tf.ones([1, 1, 2, 2]), { outputs: 'values' });
    expect(map.shape).toEqual([1, 1, 2]);
    expect(Array.from(map.dataSync())).toEqual([3, 2]);
  });
});

describe('energy', () => {
  const dense = (layer?: tfl.layers.Layer) =>
    tfl.sequential({ layers: [layer ?? tfl.layers.dense({ units: 3, inputShape: [2] })] });

  test('of floats', () => {
    // 6 x (3.7 + 0.9); 9 weights of 32 bits x 640; 2 + 3 values written and read x 5: picojoules.
    const { arithmetic, weights, values, total } = energyOf(lower(dense()));
    expect(arithmetic).toBeCloseTo(6 * 4.6e-6, 12);
    expect(weights).toBeCloseTo(9 * 640e-6, 12);
    expect(values).toBeCloseTo(5 * 10e-6, 12);
    expect(total).toBeCloseTo(27.6e-6 + 5760e-6 + 50e-6, 12);
  });

  test('pruned weights are not multiplied', () => {
    const kernel = tf.tensor2d([
      [1, 0.1, 2],
      [0.2, 3, 0.3],
    ]);
    const weights = [kernel, tf.zeros([3])];
    const layer = parametrize(tfl.layers.dense({ units: 3, inputShape: [2], weights }), {
      kernel: [mask({ sparsity: 0.5 })],
    });
    const model = dense(layer);
    expect(energyOf(lower(model)).arithmetic).toBeCloseTo(3 * 4.6e-6, 12);
  });

  test('whole numbers of 8 bits cost an 8-bit multiplication and a 32-bit addition', async () => {
    const x = tf.randomUniform([50, 2], -1, 1, 'float32', 1);
    const data = { xs: x, ys: tf.zeros([50, 3]) };
    const small = await quantize(dense(), { bits: 8, calibration: data, progress: false });
    expect(energyOf(lower(small)).arithmetic).toBeCloseTo(6 * 0.3e-6, 12);
  });
});

test('times are taken in turn, without those of warming up', async () => {
  const order: string[] = [];
  const times = await timesInTurn([() => order.push('a'), () => order.push('b')], {
    repeats: 3,
    progress: false,
  });
  expect(order.join('')).toBe('ab'.repeat(6)); // 3 to warm up, 3 that count
  expect(times.map(({ length }) => length)).toEqual([3, 3]);
  expect(median([5, 1, 9])).toBe(5);
});
