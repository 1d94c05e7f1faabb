// Ops on signs, where the sign of 0 is +1.
import * as tf from '@tensorflow/tfjs-core';
import { namedOp } from '@thimble/core';

/** Kernels that a backend may have: see {@link binarySign}, {@link binarySample} and {@link passInside}. */
export const BINARY_SIGN = 'ThimbleBinarySign';
export const BINARY_SAMPLE = 'ThimbleBinarySample';
const CLIP_GRAD = 'ThimbleClipByValueGrad';

/** +1 where x >= 0, -1 where x < 0; NaN stays, so that a diverged training shows. No gradient. */
export function binarySign(x: tf.Tensor): tf.Tensor {
  return namedOp(BINARY_SIGN, { x }, {}, () =>
    tf.where(tf.less(x, 0), -1, tf.where(tf.greaterEqual(x, 0), 1, x)),
  );
}

/** dy where |x| <= 1, else 0. */
export function passInside(x: tf.Tensor, dy: tf.Tensor): tf.Tensor {
  return namedOp(CLIP_GRAD, { saved: x, dy }, { low: -1, high: 1 }, () => {
    const inside = tf.lessEqual(tf.abs(x), 1);
    return tf.where(inside, dy, tf.zerosLike(dy));
  });
}

/** Two numbers in [0, 1) as the two 32-bit words from which {@link binarySample} draws. */
export function sampleSeeds(uniform: ArrayLike<number>): [number, number] {
  const word = (value: number) => Math.floor(value * 2 ** 32) >>> 0;
  return [word(uniform[0]!), word(uniform[1]!)];
}

/**
 * +1 with the probability clip((x + 1) / 2, 0, 1), else -1: +1 where `u < (x + 1) / 2`, with u of entry i
 * the upper 24 bits of a hash of i and the seeds. No gradient.
 */
export function binarySample(x: tf.Tensor, [first, second]: [number, number]): tf.Tensor {
  return namedOp(BINARY_SAMPLE, { x }, { first, second }, () => {
    const threshold = new Float32Array(x.size);
    for (let i = 0; i < threshold.length; i++) threshold[i] = 2 * hashed(i, first, second) - 1;
    return tf.where(tf.less(tf.tensor(threshold, x.shape), x), 1, -1);
  });
}

/** Uniform in [0, 1) in steps of 2^-24: the finalizer of MurmurHash3, the second word mixed in halfway. */
function hashed(i: number, first: number, second: number): number {
  let h = i ^ first;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ second ^ (h >>> 13), 0xc2b2ae35);
  return ((h ^ (h >>> 16)) >>> 8) * 2 ** -24;
}
