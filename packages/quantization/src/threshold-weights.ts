// Binary weights by a threshold: 0 and 1, or -1 and +1.
import * as tf from '@tensorflow/tfjs-core';
import { checkOptions, OptionError, Random, sizeOf } from '@thimble/base';
import { registerTransform, type WeightTransform } from '@thimble/core';
import { clipped, type Latent, latentAt, pruned, settle } from './latent.ts';
import { binarySample, binarySign, passInside, sampleSeeds } from './sign.ts';

/** Options of {@link thresholdWeights}. */
export interface ThresholdWeightsOptions {
  /** What a weight below the threshold becomes, and one that is not: 0 and 1 (default), or -1 and +1. */
  values?: 'zeroOne' | 'signs';
  /**
   * A number (default 0), the same for all entries; 'drawnOnce': one for each entry, drawn uniformly from
   * [-1, 1) when the layer is built; 'drawnEachStep': drawn anew for each training step.
   */
  threshold?: number | 'drawnOnce' | 'drawnEachStep';
  /** Seed of thresholds that are drawn once, a number; default 0. */
  seed?: number;
}

/** The state of a weight with thresholds. */
export interface ThresholdWeightsState extends Latent {
  key: string;
  /** The threshold of each entry, where they are drawn once. */
  thresholds?: tf.Variable;
}

/** A transform that makes a weight binary by thresholds; made by {@link thresholdWeights}. */
export type ThresholdWeightsTransform = WeightTransform<ThresholdWeightsState>;

const CLASS_NAME = 'ThimbleThresholdWeights';

/**
 * Makes a weight one of two values by comparing it with a threshold t, fixed or drawn at random.
 *
 * - forward: `w' = 1` where `w >= t`, else 0 (or -1 with `values: 'signs'`)
 * - backward (straight-through): `dL/dw = dL/dw'` where `|w| <= 1`, else 0
 * - update: `w <- clip(w, -1, 1)`
 * - test: the same thresholds; where they are drawn for each step, the mean of the draw:
 *   `clip((w + 1) / 2, 0, 1)`, or `clip(w, -1, 1)` with `values: 'signs'`
 *
 * With 'signs' and thresholds drawn for each step this is BinaryConnect's stochastic rule. Thresholds that
 * are drawn once are saved with the model. Entries that an earlier mask has pruned stay 0. One bit per entry;
 * 32 where the mean is used.
 *
 * Compare: Courbariaux, Bengio, David, "BinaryConnect", 2015, section 2.3.
 *
 * @throws {OptionError} for values or a threshold that are not known.
 * @example
 * parametrize(tfl.layers.dense({ units: 300 }), { kernel: [thresholdWeights({ threshold: 'drawnOnce' })] });
 */
export function thresholdWeights(options: ThresholdWeightsOptions = {}): ThresholdWeightsTransform {
  checkOptions('thresholdWeights', options, ['values', 'threshold', 'seed']);
  const { values = 'zeroOne', threshold = 0, seed = 0 } = options;
  checkThresholds(values, threshold, seed);
  const eachStep = threshold === 'drawnEachStep';
  /** From -1 and +1, or numbers between them, to the values asked for. */
  const scaled = (x: tf.Tensor, weight: tf.Tensor, state: ThresholdWeightsState) => {
    const y = values === 'signs' ? x : tf.mul(tf.add(x, 1), 0.5);
    return pruned(weight, state) ? tf.mul(y, tf.abs(tf.sign(weight))) : y;
  };
  const compared = (weight: tf.Tensor, state: ThresholdWeightsState) => {
    const limit = state.thresholds ?? (threshold as number);
    return scaled(binarySign(limit === 0 ? weight : tf.sub(weight, limit)), weight, state);
  };
  const bake = (weight: tf.Tensor, state: ThresholdWeightsState) =>
    eachStep ? scaled(clipped(weight), weight, state) : compared(weight, state);
  return {
    stochastic: eachStep,
    getClassName: () => CLASS_NAME,
    getConfig: () => ({ ...options }),
    build(site) {
      const state: ThresholdWeightsState = { ...latentAt(site), key: site.key };
      if (threshold !== 'drawnOnce') return state;
      const random = new Random(seed, 'thresholdWeights');
      const drawn = Float32Array.from({ length: sizeOf(site.shape) }, () => random.uniform(-1, 1));
      const initial = tf.tensor(drawn, site.shape);
      const thresholds = site.addWeight('thresholds', site.shape, initial, false);
      initial.dispose();
      return { ...state, thresholds };
    },
    apply(weight, state, context) {
      settle(state, context, clipped);
      if (!eachStep || !context.training) return straightThrough(weight, (w) => bake(w, state));
      const seeds = sampleSeeds(context.random(state.key, [2]).dataSync());
      return straightThrough(weight, (w) => scaled(binarySample(w, seeds), weight, state));
    },
    update: (_before, after) => clipped(after),
    bake,
    encoding() {
      if (eachStep) return { values: { type: 'float', bits: 32 } };
      if (values === 'signs') {
        return { values: { type: 'binary', bits: 1, scale: new Float32Array(0), axis: null } };
      }
      const [scale, zeroPoint] = [Float32Array.of(1), Int32Array.of(0)];
      return { values: { type: 'affine', bits: 1, scale, zeroPoint, axis: null } };
    },
  };
}
registerTransform(CLASS_NAME, (config) => thresholdWeights(config as ThresholdWeightsOptions));

/** f(weight), with the gradient of clip(weight, -1, 1). */
function straightThrough(weight: tf.Tensor, f: (weight: tf.Tensor) => tf.Tensor): tf.Tensor {
  const op = tf.customGrad((...args) => {
    const [w, save] = args as [tf.Tensor, tf.GradSaveFunc];
    save([w]);
    return {
      value: f(w),
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => passInside(saved[0]!, dy),
    };
  });
  return op(weight);
}

function checkThresholds(values: unknown, threshold: unknown, seed: number): void {
  if (values !== 'zeroOne' && values !== 'signs') {
    throw new OptionError(`thresholdWeights: values must be zeroOne or signs, not "${values}".`);
  }
  if (threshold !== 'drawnOnce' && threshold !== 'drawnEachStep' && !Number.isFinite(threshold)) {
    throw new OptionError(
      `thresholdWeights: threshold must be a number, drawnOnce or drawnEachStep, not "${threshold}".`,
    );
  }
  if (!Number.isFinite(seed)) {
    throw new OptionError(`thresholdWeights: seed must be a number, not ${seed}.`);
  }
}
