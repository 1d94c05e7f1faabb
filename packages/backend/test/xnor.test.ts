import '../src/index.ts';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';

beforeAll(async () => {
  await tf.setBackend('thimble');
});

/** Numbers from 0 to 1, the same for the same seed. */
function random(seed: number): () => number {
  let state = (seed * 2_654_435_761 + 12_345) >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const signs = (length: number, next: () => number) =>
  Float32Array.from({ length }, () => (next() < 0.5 ? -1 : 1));
const upTo = (max: number) => fc.integer({ min: 1, max });

const images = fc
  .record({
    batch: upTo(2),
    height: upTo(8),
    width: upTo(8),
    channels: fc.constantFrom(1, 3, 4, 31, 32, 33, 70, 1100),
    filters: fc.constantFrom(1, 4, 15, 16, 17, 35),
    kernel: fc.tuple(upTo(3), upTo(3)),
    strides: fc.tuple(upTo(3), upTo(3)),
    dilations: fc.tuple(upTo(2), upTo(2)),
    pad: fc.constantFrom('same', 'valid'),
    seed: fc.nat(1000),
  })
  .map((c) =>
    c.strides[0] + c.strides[1] > 2 ? { ...c, dilations: [1, 1] as [number, number] } : c,
  )
  .filter(
    ({ pad, height, width, kernel: [a, b], dilations: [d, e] }) =>
      pad === 'same' || ((a - 1) * d < height && (b - 1) * e < width),
  );

/** Runs a kernel of the backend by its name. */
const run = (name: string, inputs: object, attrs: object) =>
  tf.engine().runKernel(name, inputs as never, attrs as never) as tf.Tensor;

describe('products of signs with binary weights, on bits', () => {
  test('a convolution equals that of real numbers', () => {
    fc.assert(
      fc.property(images, ({ batch, height, width, channels, filters, kernel, seed, ...attrs }) => {
        const before = tf.memory().numTensors;
        const next = random(seed);
        const scale = Float32Array.from({ length: filters }, () => 2 ** Math.floor(next() * 4));
        const taps = kernel[0] * kernel[1] * channels;
        const weights = signs(taps * filters, next).map((s, i) => s * scale[i % filters]!);
        const x = tf.tensor4d(signs(batch * height * width * channels, next), [
          batch,
          height,
          width,
          channels,
        ]);
        const w = tf.tensor4d(weights, [...kernel, channels, filters]);
        const y = run('ThimbleBinaryConv2D', { x, kernel: w }, attrs);
        const { strides, pad, dilations } = attrs;
        const want = tf.conv2d(x, w, strides, pad as 'same', 'NHWC', dilations);
        expect(y.shape).toEqual(want.shape);
        expect(y.dataSync()).toEqual(want.dataSync());
        tf.dispose([x, w, y, want]);
        expect(tf.memory().numTensors).toBe(before);
      }),
      { seed: 20_240_611, numRuns: 150 },
    );
  });

  test('a matrix product equals that of real numbers', () => {
    for (const [rows, inputs, outputs] of [
      [1, 1, 1],
      [3, 40, 17],
      [5, 2000, 33],
    ] as const) {
      const next = random(rows);
      const x = tf.tensor2d(signs(rows * inputs, next), [rows, inputs]);
      const w = tf.tensor2d(signs(inputs * outputs, next), [inputs, outputs]);
      const y = run('ThimbleBinaryMatMul', { x, kernel: w }, {});
      expect(y.dataSync()).toEqual(tf.matMul(x, w).dataSync());
    }
  });

  test.each([
    ['a value that is no sign', 0.5, 1],
    ['NaN', Number.NaN, 1],
    ['a weight of another magnitude', 1, 2],
    ['a weight that is pruned', 1, 0],
  ])('%s is multiplied as a real number', (_, value, weight) => {
    const x = tf.tensor4d([1, -1, value, 1, 1, -1, -1, 1], [1, 2, 2, 2]);
    const w = tf.tensor4d([1, -1, 1, 1, weight, -1, -1, 1], [1, 2, 2, 2]);
    const count = () => tf.engine().backend.numDataIds();
    const before = count();
    const y = run(
      'ThimbleBinaryConv2D',
      { x, kernel: w },
      { strides: 1, pad: 'same', dilations: 1 },
    );
    expect(count()).toBe(before + 1);
    expect(y.dataSync()).toEqual(tf.conv2d(x, w, 1, 'same').dataSync());
  });
});
