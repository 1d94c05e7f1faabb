// Trained ternary quantisation: -n, 0 and +p, with n and p learned (TTQ).
import * as tf from '@tensorflow/tfjs-core';
import { checkOptions, checkRange } from '@thimble/base';
import { registerTransform, type WeightTransform } from '@thimble/core';

/** Options of {@link trainedTernary}. */
export interface TrainedTernaryOptions {
  /** The threshold as a fraction of the largest |w|, from 0 to 1; default 0.05. */
  threshold?: number;
}

/** The state of a ternary weight with learned scales. */
export interface TrainedTernaryState {
  /** What a weight above the threshold becomes. */
  positive: tf.Variable;
  /** What a weight below minus the threshold becomes, with the sign changed. */
  negative: tf.Variable;
}

/** A transform that makes a weight ternary with learned scales; made by {@link trainedTernary}. */
export type TrainedTernaryTransform = WeightTransform<TrainedTernaryState>;

const CLASS_NAME = 'ThimbleTrainedTernary';

/**
 * A ternary weight whose two values are trained with it.
 *
 * - threshold: `d = t max |w|`
 * - forward: `w' = +p` where `w > d`, `-n` where `w < -d`, else 0
 * - backward to the scales: `dL/dp = sum dL/dw'` over `w > d`, `dL/dn = -sum dL/dw'` over `w < -d`
 *   (the paper prints the latter without the minus)
 * - backward to the weight: `dL/dw = dL/dw'` times p where `w > d`, n where `w < -d`, else 1
 *
 * Scales begin as the mean of |w| over their entries, those of the weight when the layer is built, or 1
 * where there are none. They are trainable weights of the layer, and small: the optimizer moves them as fast
 * as it moves any other weight. Two bits per entry with a table of three values.
 *
 * Paper: Zhu, Han, Mao, Dally, "Trained Ternary Quantization", 2017, sections 3.1 and 3.2.
 *
 * @throws {OptionError} for a threshold outside [0, 1].
 * @example
 * parametrize(tfl.layers.dense({ units: 300 }), { kernel: [trainedTernary()] });
 */
export function trainedTernary(options: TrainedTernaryOptions = {}): TrainedTernaryTransform {
  checkOptions('trainedTernary', options, ['threshold']);
  const { threshold = 0.05 } = options;
  checkRange('trainedTernary', 'threshold', threshold, 0, 1);
  /** 1 where the weight is above the threshold, and 1 where it is below minus the threshold. */
  const sides = (weight: tf.Tensor) => {
    const limit = tf.mul(tf.max(tf.abs(weight)), threshold);
    return [tf.greater(weight, limit), tf.less(weight, tf.neg(limit))].map((side) =>
      tf.cast(side, 'float32'),
    ) as [tf.Tensor, tf.Tensor];
  };
  const quantised = (weight: tf.Tensor, positive: tf.Tensor, negative: tf.Tensor) => {
    const [up, down] = sides(weight);
    return tf.sub(tf.mul(up, positive), tf.mul(down, negative));
  };
  const op = tf.customGrad((...args) => {
    const [w, p, n, save] = args as [tf.Tensor, tf.Tensor, tf.Tensor, tf.GradSaveFunc];
    save([w, p, n]);
    return {
      value: quantised(w, p, n),
      gradFunc(dy: tf.Tensor, saved: tf.Tensor[]) {
        const [x, above, below] = saved as [tf.Tensor, tf.Tensor, tf.Tensor];
        const [up, down] = sides(x);
        const factor = tf.add(tf.mul(up, tf.sub(above, 1)), tf.mul(down, tf.sub(below, 1)));
        const total = (side: tf.Tensor) => tf.reshape(tf.sum(tf.mul(dy, side)), [1]);
        return [tf.mul(dy, tf.add(factor, 1)), total(up), tf.neg(total(down))];
      },
    };
  });
  return {
    getClassName: () => CLASS_NAME,
    getConfig: () => ({ ...options }),
    build(site) {
      const [positive, negative] = tf.tidy(() => {
        const weight = site.read();
        return sides(weight).map((side) => {
          const count = tf.sum(side).dataSync()[0]!;
          return count > 0 ? tf.sum(tf.mul(tf.abs(weight), side)).dataSync()[0]! / count : 1;
        }) as [number, number];
      });
      return {
        positive: site.addWeight('positive', [1], positive, true),
        negative: site.addWeight('negative', [1], negative, true),
      };
    },
    apply: (weight, { positive, negative }) => op(weight, positive, negative),
    bake: (weight, { positive, negative }) => quantised(weight, positive, negative),
    encoding(_weight, { positive, negative }) {
      const centroids = Float32Array.of(-negative.dataSync()[0]!, 0, positive.dataSync()[0]!);
      return { values: { type: 'codebook', bits: 2, centroids } };
    },
  };
}
registerTransform(CLASS_NAME, (config) => trainedTernary(config as TrainedTernaryOptions));
