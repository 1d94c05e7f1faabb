// Half precision: a weight in 16 bits without scale or codebook.
import * as tf from '@tensorflow/tfjs-core';
import { checkOptions } from '@thimble/base';
import { registerTransform, type WeightTransform } from '@thimble/core';
import { straightThrough } from './straight-through.ts';

const CLASS_NAME = 'ThimbleFloat16';

/** The largest number that half precision has. */
export const LARGEST_HALF = 65504;

/**
 * Stores a weight in half precision (IEEE 754 binary16: 11 significant bits, from 2^-24 to 65504).
 *
 * - forward: the nearest half; halves between two round to the even one, and what is too large becomes the
 *   largest, 65504
 * - backward (straight-through): the gradient of the identity
 *
 * @example
 * parametrize(layer, { kernel: [float16()] });
 */
export function float16(options: Record<string, never> = {}): WeightTransform<null> {
  checkOptions('float16', options, []);
  return {
    getClassName: () => CLASS_NAME,
    getConfig: () => ({}),
    build: () => null,
    apply: (weight) => straightThrough(weight, rounded),
    bake: rounded,
    encoding: () => ({ values: { type: 'float', bits: 16 } }),
  };
}
registerTransform(CLASS_NAME, () => float16());

function rounded(weight: tf.Tensor): tf.Tensor {
  return tf.tensor(Float32Array.from(weight.dataSync(), toHalf), weight.shape);
}

/** The step between halves below 2^-14, and the exponent where it begins to grow. */
const SMALLEST_EXPONENT = -14;
const SIGNIFICANT_BITS = 11;

/** The half nearest to a number; ties go to the even one. */
export function toHalf(value: number): number {
  const size = Math.abs(value);
  if (!(size > 0 && size < Number.POSITIVE_INFINITY)) return value;
  const exponent = Math.max(Math.floor(Math.log2(size)), SMALLEST_EXPONENT);
  const step = 2 ** (exponent - SIGNIFICANT_BITS + 1);
  const steps = size / step;
  const below = Math.floor(steps);
  const rest = steps - below;
  const up = rest > 0.5 || (rest === 0.5 && below % 2 === 1);
  return Math.sign(value) * Math.min((below + (up ? 1 : 0)) * step, LARGEST_HALF);
}
