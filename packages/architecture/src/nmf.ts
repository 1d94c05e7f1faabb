// Factors without negative entries.
import * as tf from '@tensorflow/tfjs-core';
import { Random } from '@thimble/base';
import type { Values2d } from './svd.ts';

/** Keeps divisions finite. */
const TINY = 1e-9;

/**
 * `W ~ A H` for the positive and for the negative part of a matrix: `W+ ~ A+ H+` and `W- ~ A- H-`, each of the rank
 * given, put together as `[A+ A-]` [rows, 2 rank] and `[H+; -H-]` [2 rank, columns].
 *
 * By multiplicative updates `H <- H * (A' W) / (A' A H)`, `A <- A * (W H') / (A H H')`, under which the distance
 * never grows (Lee and Seung, "Algorithms for Non-negative Matrix Factorization", 2001), from a seeded random start.
 */
export function signedNmf(
  { rows, columns, data }: Values2d,
  rank: number,
  iterations: number,
  seed: number | string,
): [left: Values2d, right: Values2d] {
  const parts = [1, -1].map((sign) => {
    const part = Float32Array.from(data, (value) => Math.max(0, sign * value));
    return nmf(part, rows, columns, rank, iterations, new Random(seed, 'nmf', sign));
  });
  const left = new Float64Array(rows * 2 * rank);
  const right = new Float64Array(2 * rank * columns);
  for (const [p, [a, h]] of parts.entries()) {
    for (let i = 0; i < rows; i++) {
      for (let r = 0; r < rank; r++) left[(i * 2 + p) * rank + r] = a[i * rank + r]!;
    }
    for (const [i, value] of h.entries()) right[p * rank * columns + i] = p === 0 ? value : -value;
  }
  return [
    { rows, columns: 2 * rank, data: left },
    { rows: 2 * rank, columns, data: right },
  ];
}

function nmf(
  values: Float32Array,
  rows: number,
  columns: number,
  rank: number,
  iterations: number,
  random: Random,
): [Float32Array, Float32Array] {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const start = (length: number) =>
    Float32Array.from({ length }, () => Math.sqrt(mean / rank) * random.uniform(0.5, 1.5));
  const w = tf.tensor2d(values, [rows, columns]);
  let a = tf.tensor2d(start(rows * rank), [rows, rank]);
  let h = tf.tensor2d(start(rank * columns), [rank, columns]);
  for (let i = 0; i < iterations; i++) {
    const [nextA, nextH] = tf.tidy(() => {
      const above = tf.matMul(a, w, true);
      const below = tf.matMul(tf.matMul(a, a, true), h);
      const newH = tf.mul(h, tf.div(above, tf.add(below, TINY))) as tf.Tensor2D;
      const left = tf.matMul(w, newH, false, true);
      const under = tf.matMul(a, tf.matMul(newH, newH, false, true));
      return [tf.mul(a, tf.div(left, tf.add(under, TINY))) as tf.Tensor2D, newH];
    });
    tf.dispose([a, h]);
    [a, h] = [nextA!, nextH!];
  }
  const result: [Float32Array, Float32Array] = [
    a.dataSync().slice() as Float32Array,
    h.dataSync().slice() as Float32Array,
  ];
  tf.dispose([w, a, h]);
  return result;
}
