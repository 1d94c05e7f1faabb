// The transform of AdaRound: every weight learns whether it is rounded down or up.
import * as tf from '@tensorflow/tfjs-core';
import type { WeightTransform } from '@thimble/core';
import type { Grid } from './grid.ts';
import { type Groups, inGroups, outOfGroups } from './groups.ts';

/** How long there is to learn, and how hard the pull towards 0 and 1 is. */
export interface RoundingPull {
  steps: number;
  /** Share of the steps without the pull. */
  warmUp: number;
  strength: number;
}

/** The ends of the stretched sigmoid. */
const GAMMA = -0.1;
const ZETA = 1.1;

/** The exponent of the pull falls from the first to the second. */
const FIRST_BETA = 20;
const LAST_BETA = 2;

/**
 * `w' = s (clip(floor(w / s) + h(V) + z) - z)` with a trainable V of the shape of the weight and
 * `h(V) = clip(1.2 sigmoid(V) - 0.1, 0, 1)`; V starts where h(V) is what rounding down cuts off, so w' = w.
 * Outside training h is 0 or 1, whichever is nearer: at the start that is rounding to the nearest. Penalty:
 * `strength sum(1 - |2 h - 1|^beta)`, nothing in the warm-up, then with beta from 20 down to 2 on half a
 * cosine wave. Weights of 0 stay 0. The stored weight is not trained.
 */
export function adaptiveRounding(
  grid: Grid,
  groups: Groups | undefined,
  pull: RoundingPull,
): WeightTransform<tf.Variable> {
  const { scale, zeroPoint, low, high } = grid;
  const grouped = (values: tf.Tensor) => (groups ? inGroups(values, groups) : values);
  /** The weight with a share `up` of a step added to what is rounded down. */
  const roundedBy = (weight: tf.Tensor, up: tf.Tensor) => {
    const w = grouped(weight);
    const kept = tf.where(tf.equal(w, 0), tf.zerosLike(w), grouped(up));
    const steps = tf.add(tf.floor(tf.div(w, scale)), kept);
    const codes = tf.clipByValue(tf.add(steps, zeroPoint), low, high);
    const values = tf.mul(tf.sub(codes, zeroPoint), scale);
    return groups ? outOfGroups(values, groups) : values;
  };
  const hard = (weight: tf.Tensor, v: tf.Tensor) =>
    roundedBy(weight, tf.cast(tf.greaterEqual(v, 0), 'float32'));
  return {
    freezes: true,
    getClassName: () => 'ThimbleAdaptiveRounding',
    getConfig: () => ({}),
    build(site) {
      const start = tf.tidy(() => {
        const steps = tf.div(grouped(site.read()), scale);
        const rest = tf.sub(steps, tf.floor(steps));
        const v = tf.neg(tf.log(tf.sub(tf.div(ZETA - GAMMA, tf.sub(rest, GAMMA)), 1)));
        return groups ? outOfGroups(v, groups) : v;
      });
      const v = site.addWeight('rounding', site.shape, start, true);
      start.dispose();
      return v;
    },
    apply: (weight, v, { training }) =>
      training ? roundedBy(weight, stretched(v)) : hard(weight, v),
    penalty(_weight, v, { step }) {
      const { steps, warmUp, strength } = pull;
      const done = (step / steps - warmUp) / (1 - warmUp);
      if (done < 0) return tf.scalar(0);
      const beta = LAST_BETA + ((FIRST_BETA - LAST_BETA) / 2) * (1 + Math.cos(Math.PI * done));
      const apart = tf.abs(tf.sub(tf.mul(stretched(v), 2), 1));
      return tf.mul(tf.sum(tf.sub(1, tf.pow(apart, beta))), strength);
    },
    bake: hard,
    encoding: () => ({}),
  };
}

/** h(V). */
function stretched(v: tf.Tensor): tf.Tensor {
  return tf.clipByValue(tf.add(tf.mul(tf.sigmoid(v), ZETA - GAMMA), GAMMA), 0, 1);
}
