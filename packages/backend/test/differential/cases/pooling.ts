// Pooling over two and three axes, and morphological dilation.
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { type Case, define } from '../case.ts';
import { batch, floats, type Kind, one, seed } from '../data.ts';
import { each, padded, type Windows, windows } from '../windows.ts';

const kind = one<Kind>('plain', 'ties', 'negative', 'distinct');
const pool = (count: number, options: Parameters<typeof windows>[1]) =>
  fc.record({ batch, windows: windows(count, options), channels: one(1, 2, 3, 5, 8), kind, seed });
type Pool = { batch: number; windows: Windows; channels: number; kind: Kind; seed: number };

const flat = pool(2, { maxPad: 2 });
const deep = pool(3, { maxInput: 5, maxKernel: 3 });

function images(c: Pool) {
  const shape = [c.batch, ...c.windows.axes.map(({ input }) => input), c.channels];
  return floats(shape, c.seed, c.kind);
}

const two = (c: Pool) => [each<2>(c.windows, 'kernel'), each<2>(c.windows, 'stride')] as const;

const maxOnCpu = (c: Pool) => (x: tf.Tensor4D) =>
  tf.maxPool(padded(x, c.windows, Number.NEGATIVE_INFINITY), ...two(c), 'valid');

/** The sums of the windows over what they hold of the input. */
const avgOnCpu = (c: Pool) => (x: tf.Tensor4D) => {
  const sums = tf.avgPool(padded(x, c.windows), ...two(c), 'valid');
  return tf.div(
    sums,
    tf.avgPool(padded(tf.ones(x.shape) as tf.Tensor4D, c.windows), ...two(c), 'valid'),
  );
};

/** A pool over three axes: over height and width, then over depth, of a padded volume. */
function inTwoSteps(c: Pool, x: tf.Tensor5D, op: typeof tf.maxPool): tf.Tensor {
  const [batch, depth, height, width, channels] = x.shape;
  const [[kd, kh, kw], [sd, sh, sw]] = [each<3>(c.windows, 'kernel'), each<3>(c.windows, 'stride')];
  const slices = tf.reshape(x, [batch * depth, height, width, channels]);
  const pooled = op(slices as tf.Tensor4D, [kh, kw], [sh, sw], 'valid');
  const [, h, w] = pooled.shape;
  const columns = tf.reshape(pooled, [batch, depth, h * w, channels]);
  const out = op(columns as tf.Tensor4D, [kd, 1], [sd, 1], 'valid');
  return tf.reshape(out, [batch, out.shape[1], h, w, channels]);
}

/** Dilated windows with 'same' may lie in the padding alone, where there is no maximum. */
const dilations = pool(2, { maxDilation: 2 }).filter(
  ({ windows: { axes, pad } }) => pad === 'valid' || axes.every(({ dilation }) => dilation === 1),
);

export const poolingCases: readonly Case[] = [
  define('maxPool', flat, (c) => ({
    inputs: [images(c)],
    run: (x: tf.Tensor4D) => tf.maxPool(x, ...two(c), c.windows.pad),
    onCpu: maxOnCpu(c),
  })),
  define('avgPool', flat, (c) => ({
    inputs: [images(c)],
    run: (x: tf.Tensor4D) => tf.avgPool(x, ...two(c), c.windows.pad),
    onCpu: avgOnCpu(c),
  })),
  define(
    'maxPool of NaN and infinities',
    flat.filter(({ batch }) => batch > 0),
    (c) => ({
      inputs: [images({ ...c, kind: 'special' })],
      run: (x: tf.Tensor4D) => tf.maxPool(x, ...two(c), c.windows.pad),
      // cpu passes over a NaN.
      onCpu: (x: tf.Tensor4D) => {
        const lost = maxOnCpu(c)(tf.cast(tf.isNaN(x), 'float32'));
        const rest = maxOnCpu(c)(tf.where(tf.isNaN(x), Number.NEGATIVE_INFINITY, x));
        return tf.where(tf.equal(lost, 1), Number.NaN, rest);
      },
      gradient: false,
    }),
  ),
  define(
    'maxPoolWithArgmax',
    fc.record({ c: pool(2, {}), whole: fc.boolean() }),
    ({ c, whole }) => ({
      inputs: [{ ...images(c), learned: false }],
      run: (x: tf.Tensor4D) => {
        const { result, indexes } = tf.maxPoolWithArgmax(
          x,
          ...two(c),
          c.windows.pad as 'same',
          whole,
        );
        return [result, indexes];
      },
    }),
  ),
  define('pool, dilated', pool(2, { maxDilation: 2, maxStride: 1 }), (c) => ({
    inputs: [images(c)],
    run: (x: tf.Tensor4D) =>
      tf.pool(
        x,
        each<2>(c.windows, 'kernel'),
        'max',
        c.windows.pad as 'same',
        each<2>(c.windows, 'dilation'),
        each<2>(c.windows, 'stride'),
      ),
    gradient: c.windows.pad === 'valid',
  })),
  define('maxPool3d', deep, (c) => ({
    inputs: [images(c)],
    run: (x: tf.Tensor5D) =>
      tf.maxPool3d(
        x,
        each<3>(c.windows, 'kernel'),
        each<3>(c.windows, 'stride'),
        c.windows.pad as 'same',
      ),
    onCpu: (x: tf.Tensor5D) =>
      inTwoSteps(c, padded(x, c.windows, Number.NEGATIVE_INFINITY), tf.maxPool),
  })),
  define('avgPool3d', deep, (c) => ({
    inputs: [images(c)],
    run: (x: tf.Tensor5D) =>
      tf.avgPool3d(
        x,
        each<3>(c.windows, 'kernel'),
        each<3>(c.windows, 'stride'),
        c.windows.pad as 'same',
      ),
    onCpu: (x: tf.Tensor5D) =>
      tf.div(
        inTwoSteps(c, padded(x, c.windows), tf.avgPool),
        inTwoSteps(c, padded(tf.ones(x.shape) as tf.Tensor5D, c.windows), tf.avgPool),
      ),
  })),
  define('dilation2d', dilations, (c) => ({
    inputs: [
      images(c),
      floats([...c.windows.axes.map(({ kernel }) => kernel), c.channels], c.seed + 1, c.kind),
    ],
    run: (x: tf.Tensor4D, filter: tf.Tensor3D) =>
      tf.dilation2d(
        x,
        filter,
        each<2>(c.windows, 'stride'),
        c.windows.pad as 'same',
        each<2>(c.windows, 'dilation'),
      ),
  })),
];
