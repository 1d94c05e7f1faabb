// Matrix products.
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { type Case, define } from '../case.ts';
import { fixed, flag, floats, ints, one, seed, upTo } from '../data.ts';

const side = one(1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33);
const turned = (rows: number, columns: number, transpose: boolean): number[] =>
  transpose ? [columns, rows] : [rows, columns];

const product = fc.record({
  rows: fc.oneof({ weight: 15, arbitrary: side }, { weight: 1, arbitrary: one(0) }),
  inner: side,
  columns: side,
  transposeA: flag,
  transposeB: flag,
  batchA: fc.array(one(1, 2, 3), { maxLength: 3 }),
  shareB: fc.array(flag, { minLength: 3, maxLength: 3 }),
  cutB: fc.nat(3),
  swap: flag,
  seed,
});

/** Batch shapes that broadcast against each other. */
function batches(c: { batchA: number[]; shareB: boolean[]; cutB: number; swap: boolean }) {
  const b = c.batchA
    .map((size, i) => (c.shareB[i] ? 1 : size))
    .slice(Math.min(c.cutB, c.batchA.length));
  return c.swap ? [b, c.batchA] : [c.batchA, b];
}

/** x repeated to the whole batch, so that no backend has to broadcast. */
function spread(x: tf.Tensor, batch: number[]): tf.Tensor {
  const shape = [...batch, ...x.shape.slice(-2)];
  return tf.mul(tf.reshape(x, [...shape.slice(x.rank).map(() => 1), ...x.shape]), tf.ones(shape));
}

const activations = one(
  'linear' as const,
  'relu' as const,
  'relu6' as const,
  'elu' as const,
  'sigmoid' as const,
  'prelu' as const,
  'leakyrelu' as const,
);

const EQUATIONS: [equation: string, ...operands: string[]][] = [
  ['ij,jk->ik', 'ij', 'jk'],
  ['ij,jk->ki', 'ij', 'jk'],
  ['bij,bjk->bik', 'bij', 'bjk'],
  ['bhqd,bhkd->bhqk', 'bhqd', 'bhkd'],
  ['bij,jk->bik', 'bij', 'jk'],
  ['ij,ij->', 'ij', 'ij'],
  ['i,j->ij', 'i', 'j'],
  ['ij->ji', 'ij'],
  ['ijk->ik', 'ijk'],
  ['ij->', 'ij'],
  ['ijk,kl->ijl', 'ijk', 'kl'],
];

export const matMulCases: readonly Case[] = [
  define('matMul', product, (c) => {
    const [batchA, batchB] = batches(c) as [number[], number[]];
    const batch = tf.broadcast_util.assertAndGetBroadcastShape(batchA, batchB);
    const { transposeA, transposeB } = c;
    return {
      inputs: [
        floats([...batchA, ...turned(c.rows, c.inner, transposeA)], c.seed),
        floats([...batchB, ...turned(c.inner, c.columns, transposeB)], c.seed + 1),
      ],
      run: (a: tf.Tensor, b: tf.Tensor) => tf.matMul(a, b, transposeA, transposeB),
      onCpu: (a: tf.Tensor, b: tf.Tensor) =>
        tf.matMul(spread(a, batch), spread(b, batch), transposeA, transposeB),
      gradient: c.rows > 0,
    };
  }),
  define('matMul of int32', product, (c) => ({
    inputs: [
      ints(turned(c.rows, c.inner, c.transposeA), c.seed, -9, 10),
      ints(turned(c.inner, c.columns, c.transposeB), c.seed + 1, -9, 10),
    ],
    run: (a: tf.Tensor, b: tf.Tensor) => tf.matMul(a, b, c.transposeA, c.transposeB),
  })),
  define(
    'fused.matMul',
    fc.record({ product, activation: activations, bias: one('none', 'row', 'one') }),
    ({ product: c, activation, bias }) => {
      const batch = c.batchA.slice(0, 1);
      const inputs = [
        floats([...batch, ...turned(c.rows, c.inner, c.transposeA)], c.seed),
        floats([...batch, ...turned(c.inner, c.columns, c.transposeB)], c.seed + 1),
        ...(activation === 'prelu' ? [floats([c.columns], c.seed + 2)] : []),
        ...(bias === 'none' ? [] : [floats([bias === 'row' ? c.columns : 1], c.seed + 3)]),
      ];
      const run = (a: tf.Tensor, b: tf.Tensor, ...rest: tf.Tensor[]) => {
        const alpha = activation === 'prelu' ? rest[0] : undefined;
        const added = bias === 'none' ? undefined : rest.at(-1);
        return { a, b, alpha, added };
      };
      return {
        inputs,
        run: (...tensors: tf.Tensor[]) => {
          const { a, b, alpha, added } = run(...(tensors as [tf.Tensor, tf.Tensor]));
          return tf.fused.matMul({
            ...{ a, b, transposeA: c.transposeA, transposeB: c.transposeB },
            ...{ bias: added, activation, preluActivationWeights: alpha, leakyreluAlpha: 0.3 },
          });
        },
        onCpu: (...tensors: tf.Tensor[]) => {
          const { a, b, alpha, added } = run(...(tensors as [tf.Tensor, tf.Tensor]));
          const y = tf.matMul(a, b, c.transposeA, c.transposeB);
          return activate(added ? tf.add(y, added) : y, activation, alpha);
        },
        gradient: c.rows > 0,
      };
    },
  ),
  define('dot and outerProduct', fc.record({ size: side, other: side, seed }), (c) => ({
    inputs: [floats([c.size], c.seed), floats([c.size], c.seed + 1), floats([c.other], c.seed + 2)],
    run: (a: tf.Tensor1D, b: tf.Tensor1D, other: tf.Tensor1D) => [
      tf.dot(a, b),
      tf.outerProduct(a, other),
    ],
  })),
  define(
    'einsum',
    fc.record({
      equation: fc.constantFrom(...EQUATIONS),
      sizes: fc.array(upTo(5), { minLength: 9, maxLength: 9 }),
      seed,
    }),
    ({ equation: [equation, ...operands], sizes, seed }) => ({
      inputs: operands.map((letters, i) =>
        floats(
          [...letters].map((letter) => sizes['bdhijklqk'.indexOf(letter)] as number),
          seed + i,
        ),
      ),
      run: (...tensors: tf.Tensor[]) => tf.einsum(equation, ...tensors),
    }),
    { gradient: 'slopes' },
  ),
  define('confusionMatrix', fc.record({ count: upTo(9), classes: one(2, 3, 5), seed }), (c) => ({
    inputs: [ints([c.count], c.seed, 0, c.classes), ints([c.count], c.seed + 1, 0, c.classes)],
    run: (labels: tf.Tensor1D, predictions: tf.Tensor1D) =>
      tf.math.confusionMatrix(labels, predictions, c.classes),
  })),
  define(
    'linear algebra',
    fc.record({ size: upTo(4), seed }),
    (c) => ({
      inputs: [fixed(floats([c.size, c.size], c.seed))],
      run: (x: tf.Tensor2D) => [tf.linalg.bandPart(x, 1, 0), tf.linalg.gramSchmidt(x) as tf.Tensor],
    }),
    { tolerance: 1e-3 },
  ),
];

/** An activation of the fused ops, in other ops. */
export function activate(y: tf.Tensor, activation: string, alpha?: tf.Tensor): tf.Tensor {
  switch (activation) {
    case 'relu':
      return tf.relu(y);
    case 'relu6':
      return tf.relu6(y);
    case 'elu':
      return tf.elu(y);
    case 'sigmoid':
      return tf.sigmoid(y);
    case 'prelu':
      return tf.prelu(y, alpha as tf.Tensor);
    case 'leakyrelu':
      return tf.leakyRelu(y, 0.3);
    default:
      return y;
  }
}

export { activations };
