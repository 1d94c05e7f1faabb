// Factors without negative entries.
import * as tf from '@tensorflow/tfjs-core';
import { Random } from '@thimble/base';
import type { Values2d } from './svd.ts';

/**
 * `W ~ A+ H+ - A- H-`, two products without negative entries, each of the rank given, put together as `[A+ A-]`
 * [rows, 2 rank] and `[H+; -H-]` [2 rank, columns].
 *
 * Both are fitted to W together: fitted to the positive and to the negative part of W apart, what they lose would
 * add up. Hierarchical alternating least squares from a seeded random start: each row of H, then each column of A,
 * becomes the best one without negative entries while all others are fixed, so that the distance never grows
 * (Cichocki, Phan, "Fast Local Algorithms for Large Scale Nonnegative Matrix and Tensor Factorizations", 2009).
 */
export function signedNmf(
  { rows, columns, data }: Values2d,
  rank: number,
  iterations: number,
  seed: number | string,
): [left: Values2d, right: Values2d] {
  const random = new Random(seed, 'nmf');
  const width = 2 * rank;
  const mean = data.reduce((sum, value) => sum + Math.abs(value), 0) / data.length;
  const start = (length: number) =>
    Float32Array.from({ length }, () => Math.sqrt(mean / rank) * random.uniform(0.5, 1.5));
  /** Row by row: the columns of A, and the rows of H. */
  const [a, h] = [start(width * rows), start(width * columns)];
  const w = tf.tensor2d(Float32Array.from(data), [rows, columns]);
  for (let i = 0; i < iterations; i++) {
    improve(h, a, w, width, false);
    improve(a, h, w, width, true);
  }
  w.dispose();
  balance(a, h, width);
  const left = new Float64Array(rows * width);
  for (const [at, value] of a.entries()) left[(at % rows) * width + Math.floor(at / rows)] = value;
  const right = Float64Array.from(h, (value, at) => (at < rank * columns ? value : -value));
  return [
    { rows, columns: width, data: left },
    { rows: width, columns, data: right },
  ];
}

/** Rows of a factor that share one matrix product: it takes in the rows of other blocks, loops those of the same. */
const BLOCK = 32;

/** Each row of a factor in turn: the best one without negative entries. */
function improve(
  rows: Float32Array,
  others: Float32Array,
  w: tf.Tensor2D,
  width: number,
  transposed: boolean,
): void {
  const size = rows.length / width;
  const signOf = (k: number) => (k < width / 2 ? 1 : -1);
  const [gram, products] = tf.tidy(() => {
    const factor = tf.tensor2d(others, [width, others.length / width]);
    const signs = tf.tensor1d(Array.from({ length: width }, (_, k) => signOf(k)));
    const square = tf.matMul(factor, factor, false, true);
    return [tf.mul(square, signs), tf.matMul(factor, w, false, transposed)];
  }) as [tf.Tensor2D, tf.Tensor2D];
  const weights = gram.dataSync();
  for (let from = 0; from < width; from += BLOCK) {
    const count = Math.min(BLOCK, width - from);
    const missing = tf.tidy(() => {
      const now = tf.matMul(tf.slice(gram, from, count), tf.tensor2d(rows, [width, size]));
      return tf.sub(tf.slice(products, from, count), now);
    });
    const left = missing.dataSync().slice();
    missing.dispose();
    for (let k = from; k < from + count; k++) {
      const square = weights[k * width + k]!; // with the sign of k
      if (square === 0) continue;
      const change = new Float32Array(size);
      for (let j = 0, at = k * size; j < size; j++, at++) {
        const best = Math.max(0, rows[at]! + left[(k - from) * size + j]! / square);
        change[j] = best - rows[at]!;
        rows[at] = best;
      }
      for (let l = k + 1; l < from + count; l++) {
        const weight = weights[l * width + k]!;
        for (let j = 0, at = (l - from) * size; j < size; j++, at++)
          left[at]! -= weight * change[j]!;
      }
    }
  }
  tf.dispose([gram, products]);
}

/** Gives the two vectors of each component the same length. */
function balance(a: Float32Array, h: Float32Array, width: number): void {
  for (let k = 0; k < width; k++) {
    const [first, second] = [a, h].map((factor) => {
      const size = factor.length / width;
      return factor.subarray(k * size, (k + 1) * size);
    });
    const [long, short] = [first!, second!].map((row) => Math.hypot(...row));
    if (long === 0 || short === 0) continue;
    const scale = Math.sqrt(short! / long!);
    first!.forEach((value, i) => {
      first![i] = value * scale;
    });
    second!.forEach((value, i) => {
      second![i] = value / scale;
    });
  }
}
