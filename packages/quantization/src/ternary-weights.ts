// Ternary weights: -a, 0 and +a (TWN).
import * as tf from '@tensorflow/tfjs-core';
import { checkOptions, checkRange } from '@thimble/base';
import { registerTransform, type WeightTransform } from '@thimble/core';
import { straightThrough } from './straight-through.ts';

/** Options of {@link ternaryWeights}. */
export interface TernaryWeightsOptions {
  /** The threshold as a multiple of the mean of |w|, 0 or more; default 0.7. */
  threshold?: number;
  /** True: threshold and scale of its own for every output unit or filter. Default false: one for the weight. */
  perChannel?: boolean;
}

/** The state of a ternary weight: the axis that has a scale per slice, or none, and all the others. */
export interface TernaryWeightsState {
  axis: number | null;
  shared: number[];
}

/** A transform that makes a weight ternary; made by {@link ternaryWeights}. */
export type TernaryWeightsTransform = WeightTransform<TernaryWeightsState>;

const CLASS_NAME = 'ThimbleTernaryWeights';

/**
 * Approximates a weight by one scale times -1, 0 and +1.
 *
 * - threshold: `d = 0.7 mean |w|`, which is near the best for normal and for uniform weights
 * - forward: `w' = a sign(w)` where `|w| > d`, else 0, with `a` the mean of |w| over the entries above d
 * - backward (straight-through): `dL/dw = dL/dw'`
 *
 * Test time is as in training. Two bits per entry, with a scale and a zero point. Zeros of an earlier mask
 * stay zeros, but count in the mean.
 *
 * Paper: Li, Zhang, Liu, "Ternary Weight Networks", 2016, sections 2.2 and 2.3.
 *
 * @throws {OptionError} for a threshold below 0.
 * @example
 * parametrize(tfl.layers.dense({ units: 300 }), { kernel: [ternaryWeights()] });
 */
export function ternaryWeights(options: TernaryWeightsOptions = {}): TernaryWeightsTransform {
  checkOptions('ternaryWeights', options, ['threshold', 'perChannel']);
  const { threshold = 0.7, perChannel = false } = options;
  checkRange('ternaryWeights', 'threshold', threshold, 0);
  /** 1 above the threshold, and the scale. */
  const above = (weight: tf.Tensor, { shared }: TernaryWeightsState) => {
    const size = tf.abs(weight);
    const limit = tf.mul(tf.mean(size, shared, true), threshold);
    const kept = tf.cast(tf.greater(size, limit), 'float32');
    const count = tf.maximum(tf.sum(kept, shared, true), 1);
    return { kept, scale: tf.div(tf.sum(tf.mul(size, kept), shared, true), count) };
  };
  const bake = (weight: tf.Tensor, state: TernaryWeightsState) => {
    const { kept, scale } = above(weight, state);
    return tf.mul(tf.mul(tf.sign(weight), kept), scale);
  };
  return {
    getClassName: () => CLASS_NAME,
    getConfig: () => ({ ...options }),
    build({ shape, axes }) {
      const axis = perChannel ? axes.out : null;
      return { axis, shared: shape.map((_, i) => i).filter((i) => i !== axis) };
    },
    apply: (weight, state) => straightThrough(weight, (w) => bake(w, state)),
    bake,
    encoding(weight, state) {
      const scale = Float32Array.from(above(weight, state).scale.dataSync());
      const zeroPoint = new Int32Array(scale.length).fill(1);
      return { values: { type: 'affine', bits: 2, scale, zeroPoint, axis: state.axis } };
    },
  };
}
registerTransform(CLASS_NAME, (config) => ternaryWeights(config as TernaryWeightsOptions));
