// What networks are made of beside products: normalisation and losses.
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { type Case, define } from '../case.ts';
import { bools, fixed, floats, type Kind, one, seed, shapes, upTo } from '../data.ts';

type Loss = (
  labels: tf.Tensor,
  predictions: tf.Tensor,
  weights: tf.Tensor | undefined,
  reduction: tf.Reduction,
) => tf.Tensor;
const { losses } = tf;

const LOSSES: Record<string, [run: Loss, labels: Kind | 'zeros and ones', predictions: Kind]> = {
  absoluteDifference: [(y, p, w, r) => losses.absoluteDifference(y, p, w, r), 'plain', 'plain'],
  cosineDistance: [(y, p, w, r) => losses.cosineDistance(y, p, 0, w, r), 'plain', 'plain'],
  hingeLoss: [(y, p, w, r) => losses.hingeLoss(y, p, w, r), 'zeros and ones', 'plain'],
  huberLoss: [(y, p, w, r) => losses.huberLoss(y, p, w, 0.7, r), 'plain', 'plain'],
  logLoss: [(y, p, w, r) => losses.logLoss(y, p, w, 1e-3, r), 'zeros and ones', 'positive'],
  meanSquaredError: [(y, p, w, r) => losses.meanSquaredError(y, p, w, r), 'plain', 'plain'],
  sigmoidCrossEntropy: [
    (y, p, w, r) => losses.sigmoidCrossEntropy(y, p, w, 0.1, r),
    'zeros and ones',
    'plain',
  ],
};

const reductions = one(
  tf.Reduction.NONE,
  tf.Reduction.MEAN,
  tf.Reduction.SUM,
  tf.Reduction.SUM_BY_NONZERO_WEIGHTS,
);

const lossCases = Object.entries(LOSSES).map(([name, [run, labels, predictions]]) =>
  define(
    `losses.${name}`,
    fc.record({ shape: shapes(2, 3), weighted: fc.boolean(), reduction: reductions, seed }),
    ({ shape, weighted, reduction, seed }) => ({
      inputs: [
        labels === 'zeros and ones'
          ? { ...bools(shape, seed), dtype: 'float32' as const }
          : fixed(floats(shape, seed, labels)),
        floats(shape, seed + 1, predictions),
        ...(weighted && name !== 'cosineDistance' ? [fixed(floats(shape, seed + 2, 'ties'))] : []),
      ],
      run: (y: tf.Tensor, p: tf.Tensor, w?: tf.Tensor) =>
        run(y, predictions === 'positive' ? tf.div(p, 1.3) : p, w, reduction),
    }),
    { tolerance: 2e-5 },
  ),
);

const normed = fc.record({
  shape: shapes(2, 5),
  scale: fc.boolean(),
  offset: fc.boolean(),
  epsilon: one(1e-3, 1e-5),
  seed,
});

export const networkCases: readonly Case[] = [
  ...lossCases,
  define(
    'losses.softmaxCrossEntropy',
    fc.record({
      rows: upTo(5),
      classes: one(1, 2, 5, 10),
      reduction: reductions,
      smooth: one(0, 0.1),
      seed,
    }),
    (c) => ({
      inputs: [
        { ...bools([c.rows, c.classes], c.seed), dtype: 'float32' as const },
        floats([c.rows, c.classes], c.seed + 1),
      ],
      run: (y: tf.Tensor, p: tf.Tensor) =>
        losses.softmaxCrossEntropy(y, p, undefined, c.smooth, c.reduction),
    }),
  ),
  define('batchNorm', normed, (c) => {
    const depth = c.shape.at(-1) as number;
    const inputs = [
      floats(c.shape, c.seed),
      floats([depth], c.seed + 1),
      floats([depth], c.seed + 2, 'positive'),
      ...(c.offset ? [floats([depth], c.seed + 3)] : []),
      ...(c.scale ? [floats([depth], c.seed + 4)] : []),
    ];
    const parts = (rest: tf.Tensor1D[]) => ({
      offset: c.offset ? rest[0] : undefined,
      scale: c.scale ? rest.at(-1) : undefined,
    });
    return {
      inputs,
      run: (x: tf.Tensor, mean: tf.Tensor1D, variance: tf.Tensor1D, ...rest: tf.Tensor1D[]) => {
        const { offset, scale } = parts(rest);
        return tf.batchNorm(x, mean, variance, offset, scale, c.epsilon);
      },
      onCpu: (x: tf.Tensor, mean: tf.Tensor1D, variance: tf.Tensor1D, ...rest: tf.Tensor1D[]) => {
        const { offset, scale } = parts(rest);
        let y: tf.Tensor = tf.div(tf.sub(x, mean), tf.sqrt(tf.add(variance, c.epsilon)));
        if (scale) y = tf.mul(y, scale);
        return offset ? tf.add(y, offset) : y;
      },
    };
  }),
  define(
    'localResponseNormalization',
    fc.record({ shape: shapes(4, 4), radius: upTo(5), seed }),
    (c) => ({
      inputs: [floats(c.shape, c.seed)],
      run: (x: tf.Tensor4D) => tf.localResponseNormalization(x, c.radius, 1.5, 0.5, 0.6),
    }),
  ),
  define('layer normalisation by hand', fc.record({ shape: shapes(2, 4), seed }), (c) => ({
    inputs: [floats(c.shape, c.seed), floats([c.shape.at(-1) as number], c.seed + 1)],
    run: (x: tf.Tensor, gamma: tf.Tensor) => {
      const { mean, variance } = tf.moments(x, -1, true);
      return tf.mul(tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, 0.01))), gamma);
    },
  })),
  define('a cell of an LSTM by hand', fc.record({ rows: upTo(3), units: upTo(5), seed }), (c) => ({
    inputs: [
      floats([c.rows, c.units], c.seed),
      floats([2 * c.units, 4 * c.units], c.seed + 1),
      floats([4 * c.units], c.seed + 2),
      floats([c.rows, c.units], c.seed + 3),
      floats([c.rows, c.units], c.seed + 4),
    ],
    run: (x: tf.Tensor2D, w: tf.Tensor2D, b: tf.Tensor1D, state: tf.Tensor2D, h: tf.Tensor2D) =>
      tf.basicLSTMCell(tf.scalar(1), w, b, x, state, h),
  })),
];
