// Learned step size: the step of the codes is trained with the weights.
import * as tf from '@tensorflow/tfjs-core';
import { checkOptions } from '@thimble/base';
import { registerTransform, type WeightTransform } from '@thimble/core';
import {
  type ActivationQuantizer,
  Numbers,
  registerActivationQuantizer,
  started,
} from './activation.ts';
import { codesOf, valuesOf } from './codes.ts';
import { checkBits } from './fake-quant.ts';

/** Options of {@link lsq}. */
export interface LsqOptions {
  /** Bits of a code, 2 to 16. */
  bits: number;
  /** For weights: a step for every output unit or filter. Default false: one for the weight. */
  perChannel?: boolean;
  /** For activations: true for codes on both sides of 0. Default false, for what comes after a ReLU. */
  signed?: boolean;
}

/** The state at one weight. */
export interface LsqState {
  step: tf.Variable;
  axis: number | null;
}

/** The state at one place of activations. */
export interface LsqActivationState {
  step: Numbers;
  /** 1 once the step was set from a batch. */
  ready: Numbers;
}

/** For weights and for activations; made by {@link lsq}. */
export type Lsq = WeightTransform<LsqState> & ActivationQuantizer<LsqActivationState>;

const CLASS_NAME = 'ThimbleLsq';

/**
 * Quantises with a step s that is trained by gradient descent, for weights and for activations. With b bits
 * codes go from -Qn to Qp: `Qn = 2^(b-1)`, `Qp = 2^(b-1) - 1` for weights and signed activations, 0 and
 * `2^b - 1` for unsigned ones.
 *
 * - forward: `v' = s clip(round(v / s), -Qn, Qp)`; halves round to even
 * - backward: `dL/dv = dL/dv'` where `-Qn <= v / s <= Qp`, else 0;
 *   `dL/ds = g sum dL/dv' d` with `d = round(v / s) - v / s` there, -Qn below and Qp above
 * - gradient scale `g = 1 / sqrt(N Qp)`, N the number of weights (per channel with `perChannel`), or of
 *   activations of one example
 * - start: `s = 2 mean|v| / sqrt(Qp)`, for activations of the first training batch that is rounded
 *
 * The step is trained, saved and checkpointed as a weight of the layer; in a layer that is not trainable it
 * is not set either, and activations pass as they are until it is. What is rounded with it is
 * `max(|s|, 1e-12)`. 0 is on the grid.
 *
 * Paper: Esser et al., "Learned Step Size Quantization", 2020, section 2.
 *
 * @example
 * quantizeAware(model, { weights: lsq({ bits: 2, perChannel: true }), activations: lsq({ bits: 2 }) });
 */
export function lsq(options: LsqOptions): Lsq {
  checkOptions('lsq', options, ['bits', 'perChannel', 'signed']);
  checkBits('lsq', options.bits);
  const { bits, perChannel = false, signed = false } = options;
  const half = 2 ** (bits - 1);
  const weightEnds = { low: -half, high: half - 1 };
  const ends = signed ? weightEnds : { low: 0, high: 2 * half - 1 };
  const startFor = (values: tf.Tensor, high: number, axes?: number[]) =>
    tf.div(tf.mul(tf.mean(tf.abs(values), axes, axes !== undefined), 2), Math.sqrt(high));
  return {
    getClassName: () => CLASS_NAME,
    getConfig: () => ({ ...options }),
    build(site) {
      const axis = perChannel ? site.axes.out : null;
      const weight = site.read();
      const axes = site.shape.map((_, i) => i).filter((i) => i !== axis);
      const start = tf.tidy(() => {
        const mean = startFor(weight, weightEnds.high, axis === null ? undefined : axes);
        // All zeros, as while a model is loaded: any step does.
        return tf.where(tf.greater(mean, 0), mean, tf.onesLike(mean));
      });
      const step = site.addWeight('step', start.shape, start, true);
      tf.dispose([weight, start]);
      return { step, axis };
    },
    apply(weight, { step, axis }) {
      const count = axis === null ? weight.size : weight.size / weight.shape[axis]!;
      const scale = learnedStep(step, 1 / Math.sqrt(count * weightEnds.high));
      return valuesOf({
        codes: codesOf(weight, { scale, ...weightEnds, learned: true }),
        scale,
        axis,
        learned: true,
      });
    },
    bake(weight, { step }) {
      const scale = positive(step);
      return tf.mul(codesOf(weight, { scale, ...weightEnds }), scale);
    },
    encoding(_weight, { step, axis }) {
      const scale = Float32Array.from(positive(step).dataSync());
      const zeroPoint = new Int32Array(scale.length).fill(half);
      return { values: { type: 'affine', bits, scale, zeroPoint, axis } };
    },
    buildActivation: (site) => ({
      step: new Numbers(site.addWeight('step', [], 1, true)),
      ready: new Numbers(site.addWeight('step_ready', [], 0, false)),
    }),
    quantize(x, { step, ready }, moment) {
      const begin = () => step.variable.assign(tf.maximum(startFor(x, ends.high), SMALLEST));
      if (!started(ready, moment, begin)) return undefined;
      const features = x.size / (x.shape[0] ?? 1);
      const scale = learnedStep(step.variable, 1 / Math.sqrt(features * ends.high));
      return {
        codes: codesOf(x, { scale, ...ends, learned: true }),
        scale,
        axis: null,
        learned: true,
      };
    },
    activationCode({ step, ready }) {
      if (ready.values[0] === 0) return undefined;
      const scale = stepValue(step);
      const zeroPoint = 0 - ends.low;
      return { bits, scale, zeroPoint, low: 0, high: ends.high + zeroPoint };
    },
  };
}
registerTransform(CLASS_NAME, (config) => lsq(config as unknown as LsqOptions) as WeightTransform);
registerActivationQuantizer(
  CLASS_NAME,
  (config) => lsq(config as unknown as LsqOptions) as ActivationQuantizer,
);

export const SMALLEST = 1e-12;

function positive(step: tf.Tensor): tf.Tensor {
  return tf.maximum(tf.abs(step), SMALLEST);
}

/** The step to round with, as a number. */
export function stepValue(step: Numbers): number {
  return Math.max(Math.abs(step.values[0]!), Math.fround(SMALLEST));
}

/** The step to round with, its gradient scaled by `g`. */
export function learnedStep(step: tf.Tensor, g: number): tf.Tensor {
  return positive(scaledGradient(step, g));
}

/** A tensor as it is, whose gradient is scaled by `g`. */
export function scaledGradient(x: tf.Tensor, g: number): tf.Tensor {
  const op = tf.customGrad((value) => ({
    value: tf.clone(value as tf.Tensor),
    gradFunc: (dy) => tf.mul(dy as tf.Tensor, g),
  }));
  return op(x);
}
