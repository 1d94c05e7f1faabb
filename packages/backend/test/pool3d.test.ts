import '../src/index.ts';
import * as tf from '@tensorflow/tfjs-core';
import { ShapeError } from '@thimble/base';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { check, expectGradient, on, values } from './helpers.ts';
import { expectAlike, read } from './special.ts';

const three = (max: number) =>
  fc.tuple(fc.integer({ min: 1, max }), fc.integer({ min: 1, max }), fc.integer({ min: 1, max }));
const pools = fc
  .record({
    batch: fc.constantFrom(1, 1, 2),
    size: three(6),
    channels: fc.constantFrom(1, 2, 3, 4, 5, 7, 16, 22, 33),
    kernel: three(3),
    stride: three(3),
    pad: fc.constantFrom('same' as const, 'valid' as const),
    seed: fc.nat(1000),
  })
  .filter(({ pad, size, kernel }) => pad === 'same' || kernel.every((k, i) => k <= size[i]!));

type Pool = typeof pools extends fc.Arbitrary<infer T> ? T : never;

const volume = ({ batch, size, channels, seed }: Pool): tf.Tensor5D => {
  const shape: [number, number, number, number, number] = [batch, ...size, channels];
  return tf.tensor5d(values(shape, seed), shape);
};

/** Whether tfjs pads by a negative number, so that cpu skips the first values. */
const skips = ({ size, kernel, stride, pad }: Pool) =>
  pad === 'same' &&
  size.some((n, i) => (Math.ceil(n / stride[i]!) - 1) * stride[i]! + kernel[i]! < n);

test('pooling in three dimensions equals the cpu backend', () =>
  check(
    pools.filter((pool) => !skips(pool)),
    150,
    (pool) =>
      expectAlike(() => {
        const { kernel, stride, pad } = pool;
        const x = tf.sub(volume(pool), 0.7) as tf.Tensor5D;
        return [tf.maxPool3d(x, kernel, stride, pad), tf.avgPool3d(x, kernel, stride, pad)];
      }, 1e-6),
  ));

test('pooling in two dimensions equals the cpu backend in float32 and int32', () =>
  check(pools, 150, (pool) =>
    expectAlike(() => {
      const [, height, width] = pool.size;
      const shape = [pool.batch, height, width, pool.channels] as [number, number, number, number];
      const x = tf.tensor4d(values(shape, pool.seed), shape);
      const kernel = pool.kernel.slice(1) as [number, number];
      const stride = pool.stride.slice(1) as [number, number];
      const whole = tf.tensor4d(values(shape, pool.seed, 9), shape, 'int32');
      return [
        tf.maxPool(x, kernel, stride, pool.pad),
        tf.avgPool(x, kernel, stride, pool.pad),
        tf.maxPool(whole, kernel, stride, pool.pad),
      ];
    }, 1e-6),
  ));

/** Values 0.1 apart in a shuffled order: a small step never changes which one is largest. */
function apart(shape: number[], seed: number): Float32Array {
  const order = values(shape, seed);
  const ranks = [...order.keys()].sort((i, j) => order[i]! - order[j]!);
  const data = new Float32Array(order.length);
  for (const [rank, index] of ranks.entries()) data[index] = 0.1 * rank - 4;
  return data;
}

test('the gradients in three dimensions agree with finite differences, padding included', () =>
  check(pools, 25, async (pool) => {
    const { batch, size, channels, kernel, stride, pad, seed } = pool;
    if (channels > 5) return;
    const shape = [batch, ...size, channels];
    for (const run of [tf.maxPool3d, tf.avgPool3d]) {
      await expectGradient(
        (x) => {
          const y = run(x as tf.Tensor5D, kernel, stride, pad);
          return tf.sum(tf.mul(y, tf.tensor(values(y.shape, 3), y.shape))) as tf.Scalar;
        },
        [{ shape, data: apart(shape, seed) }],
        { tolerance: 5e-3 },
      );
    }
  }));

test('the maximum of negative values is negative, where stock wasm gives 1.2e-38', async () => {
  const compute = () => {
    const x = tf.tensor5d([-4, -2, -3, -1, -5, -6, -7, -8], [1, 2, 2, 2, 1]);
    const pool = (t: tf.Tensor) => tf.maxPool3d(t as tf.Tensor5D, 2, 2, 'valid');
    return [pool(x), tf.grad(pool)(x)];
  };
  expect((await on('thimble', compute)).map(({ data }) => data)).toEqual([
    [-1],
    [0, 0, 0, 1, 0, 0, 0, 0],
  ]);
  expect((await on('wasm', compute))[0]?.data[0]).toBeGreaterThan(0);
});

test('a window of equal values gives its gradient to the first', async () => {
  const [dx] = await on('thimble', () =>
    tf.grad((t) => tf.maxPool3d(t as tf.Tensor5D, 2, 2, 'valid'))(tf.zeros([1, 2, 2, 2, 1])),
  );
  expect(dx?.data).toEqual([1, 0, 0, 0, 0, 0, 0, 0]);
});

test('the gradient of a padded mean divides by the values in the window', async () => {
  const [dx] = await on('thimble', () =>
    tf.grad((t) => tf.avgPool3d(t as tf.Tensor5D, [1, 1, 2], 1, 'same'))(tf.ones([1, 1, 1, 2, 1])),
  );
  expect(dx?.data).toEqual([0.5, 1.5]);
});

test('a NaN anywhere in a window is kept, in two and in three dimensions', async () => {
  for (let at = 0; at < 4; at++) {
    const data = [1, 2, 3, 4];
    data[at] = Number.NaN;
    const results = await on('thimble', () => [
      tf.maxPool(tf.tensor4d(data, [1, 2, 2, 1]), 2, 2, 'valid'),
      tf.avgPool(tf.tensor4d(data, [1, 2, 2, 1]), 2, 2, 'valid'),
      tf.maxPool3d(tf.tensor5d(data, [1, 1, 2, 2, 1]), [1, 2, 2], 1, 'valid'),
      tf.maxPool(
        tf.tensor4d(
          data.flatMap((v) => [v, v, v, v, v]),
          [1, 2, 2, 5],
        ),
        2,
        2,
        'valid',
      ),
    ]);
    for (const { data: found } of results) expect(found.every(Number.isNaN)).toBe(true);
  }
  const nan = [Number.NaN, 1, 2, 3];
  const stock = () => tf.maxPool(tf.tensor4d(nan, [1, 2, 2, 1]), 2, 2, 'valid');
  expect((await on('wasm', stock))[0]?.data).toEqual([Number.NEGATIVE_INFINITY]);
});

test('maxPoolWithArgmax of negative values, where stock wasm gives index 0', async () => {
  const compute = (includeBatch: boolean) => () => {
    const x = tf.tensor4d([-4, -1, -2, -3, -5, -6, -8, -7], [2, 1, 4, 1]);
    const { result, indexes } = tf.maxPoolWithArgmax(x, [1, 2], [1, 2], 'valid', includeBatch);
    return [result, indexes];
  };
  expect(await read('thimble', compute(false))).toEqual([
    { dtype: 'float32', shape: [2, 1, 2, 1], data: [-1, -2, -5, -7] },
    { dtype: 'int32', shape: [2, 1, 2, 1], data: [1, 2, 0, 3] },
  ]);
  expect((await read('thimble', compute(true)))[1]?.data).toEqual([1, 2, 4, 7]);
});

test('maxPoolWithArgmax equals the cpu backend', () =>
  check(pools, 60, ({ batch, size, channels, kernel, stride, pad, seed }) =>
    expectAlike(() => {
      const shape = [batch, size[1], size[2], channels] as [number, number, number, number];
      const x = tf.tensor4d(values(shape, seed), shape);
      const window = [kernel[1], kernel[2]] as [number, number];
      const step = [stride[1], stride[2]] as [number, number];
      const { result, indexes } = tf.maxPoolWithArgmax(x, window, step, pad, seed % 2 === 0);
      return [result, indexes];
    }),
  ));

test('rounding up adds a window that is cut to the image', async () => {
  const [maxima, means] = await on('thimble', () => {
    const x = tf.tensor4d([1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 3, 3, 1]);
    return [tf.maxPool(x, 2, 2, 0, 'ceil'), tf.avgPool(x, 2, 2, 0, 'ceil')];
  });
  expect(maxima).toEqual({ shape: [1, 2, 2, 1], data: [5, 6, 8, 9] });
  expect(means?.data).toEqual([3, 4.5, 7.5, 9]);
});

test('a window in the padding alone is refused by name', async () => {
  await tf.setBackend('thimble');
  const x = tf.ones<tf.Rank.R4>([1, 4, 4, 1]);
  expect(() => tf.maxPool(x, 2, 3, 1, 'ceil')).toThrow(ShapeError);
  expect(() => tf.avgPool(x, 5, 1, 'valid')).toThrow(/AvgPool: with kernel \[1,5,5\]/);
  x.dispose();
});

test('a numeric padding counts for each axis by its own kernel size', async () => {
  const [y] = await on('thimble', () =>
    tf.maxPool(tf.ones<tf.Rank.R4>([1, 6, 6, 1]), [3, 1], [1, 2], 0),
  );
  expect(y?.shape).toEqual([1, 4, 3, 1]);
});
