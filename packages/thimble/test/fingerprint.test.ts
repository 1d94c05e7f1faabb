import '@thimble/backend';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { fingerprintOf, OptionError, withSeed } from 'thimble';
import { beforeAll, expect, test } from 'vitest';

beforeAll(() => tf.setBackend('thimble'));

const network = (seed: number, units = 4) =>
  withSeed(seed, () =>
    tfl.sequential({ layers: [tfl.layers.dense({ name: 'only', units, inputShape: [3] })] }),
  );
const rows = (first: number, size = 300) => {
  const x = Float32Array.from({ length: 3 * size }, (_, i) => (i === 0 ? first : i));
  return source(x, size);
};
const source = (x: Float32Array, size: number) => ({
  size,
  batch: (indices: Uint32Array) => ({
    xs: tf.tensor2d(Array.from(indices, (i) => Array.from(x.subarray(3 * i, 3 * i + 3)))),
    ys: tf.zeros([indices.length, 1]),
  }),
});

test('the same for the same network and data, another for others; keeps no tensors', () => {
  const [model, twin, other, wide] = [network(1), network(1), network(2), network(1, 5)];
  const before = tf.memory().numTensors;
  const one = fingerprintOf(model, [rows(0), undefined]);
  expect(one).toMatch(/^[0-9a-f]{8}$/);
  expect(fingerprintOf(twin, [rows(0)])).toBe(one);
  const others = [
    fingerprintOf(other, [rows(0)]),
    fingerprintOf(wide, [rows(0)]),
    fingerprintOf(model, [rows(9)]),
    fingerprintOf(model, [rows(0, 301)]),
    fingerprintOf(model, [rows(0), rows(0)]),
    fingerprintOf(model, [rows(0)], { weights: false }),
    fingerprintOf(wide, [rows(0)], { weights: false }),
  ];
  expect(new Set([one, ...others]).size).toBe(8);
  expect(fingerprintOf(other, [rows(0)], { weights: false })).toBe(others[5]);
  expect(() => fingerprintOf(model, [], { weight: false } as never)).toThrow(OptionError);
  expect(tf.memory().numTensors).toBe(before);
});
