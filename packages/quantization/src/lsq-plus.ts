// Learned step and offset for activations that are not spread evenly around 0.
import * as tf from '@tensorflow/tfjs-core';
import { checkOptions } from '@thimble/base';
import {
  type ActivationQuantizer,
  Numbers,
  registerActivationQuantizer,
  started,
} from './activation.ts';
import { sumTo } from './codes.ts';
import { checkBits } from './fake-quant.ts';
import { learnedStep, SMALLEST, scaledGradient, stepValue } from './lsq.ts';

/** Options of {@link lsqPlus}. */
export interface LsqPlusOptions {
  /** Bits of a code, 2 to 16. */
  bits: number;
}

/** Step and offset at one place. */
export interface LsqPlusState {
  step: Numbers;
  offset: Numbers;
  /** 1 once both were set from a batch. */
  ready: Numbers;
}

const CLASS_NAME = 'ThimbleLsqPlus';

/**
 * Quantises activations with a step s and an offset b that are trained: codes 0 to `p = 2^bits - 1`, the
 * lowest for about b.
 *
 * - forward: `x' = s (clip(round(x / s) + z, 0, p) - z)`, `z = clip(round(-b / s), 0, p)`. The paper has
 *   `x' = s clip(round((x - b) / s), 0, p) + b`; here b is moved to a whole number of steps, so that 0 is
 *   exact and integers can compute it
 * - backward, as in the paper: with `u = (x - b) / s` inside where `0 <= round(x / s) + z <= p`:
 *   `dx'/dx` 1 inside, else 0; `dx'/ds = round(x / s) + z - u` inside, 0 below, p above; `dx'/db` 0 inside,
 *   else 1. Those of s and b are scaled by `g = 1 / sqrt(N p)`, N activations of one example
 * - start, from the first training batch that is rounded: `s = (max - min) / p`, `b = min`, with 0 in the
 *   range
 *
 * Paper: Bhalgat et al., "LSQ+: Improving low-bit quantization through learnable offsets and better
 * initialization", 2020, sections 3.1 and 3.3. For weights it has no offset: use `lsq`.
 *
 * @example
 * quantizeAware(model, { weights: lsq({ bits: 4 }), activations: lsqPlus({ bits: 4 }) });
 */
export function lsqPlus(options: LsqPlusOptions): ActivationQuantizer<LsqPlusState> {
  checkOptions('lsqPlus', options, ['bits']);
  checkBits('lsqPlus', options.bits);
  const { bits } = options;
  const high = 2 ** bits - 1;
  const scaleOf = ({ step }: LsqPlusState) => stepValue(step);
  const zeroPointOf = (state: LsqPlusState) =>
    Math.min(high, Math.max(0, Math.round(-state.offset.values[0]! / scaleOf(state))));
  return {
    getClassName: () => CLASS_NAME,
    getConfig: () => ({ ...options }),
    buildActivation: (site) => ({
      step: new Numbers(site.addWeight('step', [], 1, true)),
      offset: new Numbers(site.addWeight('offset', [], 0, true)),
      ready: new Numbers(site.addWeight('step_ready', [], 0, false)),
    }),
    quantize(x, state, moment) {
      const { step, offset, ready } = state;
      const begin = () => {
        const bottom = tf.minimum(tf.min(x), 0);
        const width = tf.sub(tf.maximum(tf.max(x), 0), bottom);
        step.variable.assign(tf.maximum(tf.div(width, high), SMALLEST));
        offset.variable.assign(bottom);
      };
      if (!started(ready, moment, begin)) return undefined;
      const g = 1 / Math.sqrt((x.size / (x.shape[0] ?? 1)) * high);
      const scale = learnedStep(step.variable, g);
      const shift = scaledGradient(offset.variable, g);
      const codes = codesAround(x, scale, shift, zeroPointOf(state), high);
      return { codes, scale, axis: null, learned: true };
    },
    activationCode(state) {
      if (state.ready.values[0] === 0) return undefined;
      return { bits, scale: scaleOf(state), zeroPoint: zeroPointOf(state), low: 0, high };
    },
  };
}
registerActivationQuantizer(
  CLASS_NAME,
  (config) => lsqPlus(config as unknown as LsqPlusOptions) as ActivationQuantizer,
);

/**
 * Codes k without the zero point z. Their gradient is such that `k s` has that of the docstring above:
 * `dk/dx = 1 / s` inside; `dk/ds = (s z + b - x) / s^2` inside, `z / s` outside; `dk/db = 1 / s` outside.
 */
function codesAround(
  values: tf.Tensor,
  scale: tf.Tensor,
  offset: tf.Tensor,
  zeroPoint: number,
  high: number,
): tf.Tensor {
  const [low, top] = [-zeroPoint, high - zeroPoint];
  const op = tf.customGrad((...args) => {
    const save = args.pop() as tf.GradSaveFunc;
    const [x, s, b] = args as [tf.Tensor, tf.Tensor, tf.Tensor];
    save([x, s, b]);
    return {
      value: tf.clipByValue(tf.round(tf.div(x, s)), low, top),
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
        const [x, s, b] = saved as [tf.Tensor, tf.Tensor, tf.Tensor];
        const rounded = tf.round(tf.div(x, s));
        const passes = tf.logicalAnd(tf.greaterEqual(rounded, low), tf.lessEqual(rounded, top));
        const perStep = tf.div(dy, s);
        const dx = tf.where(passes, perStep, tf.zerosLike(dy));
        const outside = tf.sub(perStep, dx);
        const within = tf.div(tf.add(tf.mul(s, zeroPoint), tf.sub(b, x)), s);
        const ds = tf.add(tf.mul(dx, within), tf.mul(outside, zeroPoint));
        return [dx, sumTo(ds, s.shape), sumTo(outside, b.shape)];
      },
    };
  });
  return op(values, scale, offset);
}
