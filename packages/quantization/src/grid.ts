// The evenly spaced values that an affine code can express, for a range of real values.
import * as tf from '@tensorflow/tfjs-core';

/** How codes are laid over a range. */
export interface GridOptions {
  /** Bits of a code, 2 to 16. */
  bits: number;
  /** True: zero sits in the middle of the codes and the range is made even, [-a, a]. Default false. */
  symmetric?: boolean;
  /** True: the lowest code is not used, so that a symmetric grid reaches equally far both ways. Default false. */
  narrowRange?: boolean;
}

/**
 * value = scale * (code - zeroPoint) for whole codes from `low` to `high`; tensors that broadcast against
 * the values.
 */
export interface Grid {
  scale: tf.Tensor;
  zeroPoint: tf.Tensor;
  low: number;
  high: number;
}

/** Below this a range is taken for empty: float32 cannot divide by its steps. */
const SMALLEST_RANGE = 1e-30;

/**
 * The grid of `2^bits` codes over [min, max]. The range is widened to include 0, and moved by less than
 * half a step so that 0 is on the grid (zero-point nudging, as in TensorFlow's fake_quant ops):
 *
 * - affine: `scale = (max - min) / (high - low)`, `zeroPoint = clip(floor(low - min / scale + 0.5))`
 * - symmetric: `scale = 2 max(|min|, |max|) / (high - low)`, `zeroPoint = 2^(bits - 1)`
 * - codes: high = 2^bits - 1; low = 0, or 1 with a narrow range
 *
 * An empty range (all zeros) gets scale 1.
 */
export function gridOf(min: tf.Tensor, max: tf.Tensor, options: GridOptions): Grid {
  const { bits, symmetric = false, narrowRange = false } = options;
  const low = narrowRange ? 1 : 0;
  const high = 2 ** bits - 1;
  return tf.tidy(() => {
    const bottom = tf.minimum(min, 0);
    const top = tf.maximum(max, 0);
    const width = symmetric ? tf.mul(tf.maximum(tf.neg(bottom), top), 2) : tf.sub(top, bottom);
    const empty = tf.lessEqual(width, SMALLEST_RANGE);
    const scale = tf.where(empty, tf.onesLike(width), tf.div(width, high - low));
    const zeroPoint = symmetric
      ? tf.fill(width.shape, 2 ** (bits - 1))
      : tf.clipByValue(tf.floor(tf.add(tf.sub(low, tf.div(bottom, scale)), 0.5)), low, high);
    return { scale, zeroPoint, low, high };
  });
}

/** The grid over the ranges that values have along some axes, which stay with size 1. */
export function gridOver(values: tf.Tensor, axes: number[], options: GridOptions): Grid {
  return gridOf(tf.min(values, axes, true), tf.max(values, axes, true), options);
}

/**
 * The value on the grid nearest to each of `values`: `scale * (clip(round(x / scale) + zeroPoint) -
 * zeroPoint)`; halves round to even.
 */
export function snap(values: tf.Tensor, grid: Grid): tf.Tensor {
  const { scale, zeroPoint, low, high } = grid;
  return tf.tidy(() => {
    const codes = tf.clipByValue(tf.add(tf.round(tf.div(values, scale)), zeroPoint), low, high);
    return tf.mul(tf.sub(codes, zeroPoint), scale);
  });
}
