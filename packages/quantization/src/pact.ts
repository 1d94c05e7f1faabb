// Activations clipped at a learned level.
import * as tf from '@tensorflow/tfjs-core';
import { checkOptions, checkRange } from '@thimble/base';
import {
  type ActivationQuantizer,
  Numbers,
  registerActivationQuantizer,
  started,
} from './activation.ts';
import { sumTo } from './codes.ts';
import { checkBits } from './fake-quant.ts';

/** Options of {@link pact}. */
export interface PactOptions {
  /** Bits of a code, 2 to 16. */
  bits: number;
  /** The clipping level at the start, above 0. Default: the largest activation of the first training batch. */
  initial?: number;
  /** Weight of the penalty on the level. Default 2e-4. */
  decay?: number;
}

/** The state at one place of activations. */
export interface PactState {
  clip: Numbers;
  /** 1 once the level was set. */
  ready: Numbers;
}

const CLASS_NAME = 'ThimblePact';

/**
 * Quantises activations between 0 and a clipping level a that is trained: for what comes after a ReLU, or in
 * its place.
 *
 * - forward: `y = clip(x, 0, a)`, `x' = round(y p / a) a / p` with `p = 2^bits - 1`; halves round to even
 * - backward: `dL/dx = dL/dx'` where `0 <= x < a`, else 0; `dL/da = sum of dL/dx'` where `x >= a`
 * - penalty: `decay a^2` added to the loss
 * - start: `a = max(x)` of the first training batch that is rounded; until then activations pass as they are. The paper starts
 *   at 10, from where a small learning rate does not bring it back in time.
 *
 * Paper: Choi et al., "PACT: Parameterized Clipping Activation for Quantized Neural Networks", 2018,
 * section 3.
 *
 * @example
 * quantizeAware(model, { weights: doReFa({ bits: 4 }), activations: pact({ bits: 4 }) });
 */
export function pact(options: PactOptions): ActivationQuantizer<PactState> {
  checkOptions('pact', options, ['bits', 'initial', 'decay']);
  checkBits('pact', options.bits);
  const { bits, initial, decay = 2e-4 } = options;
  if (initial !== undefined) checkRange('pact', 'initial', initial, SMALLEST);
  checkRange('pact', 'decay', decay, 0);
  const high = 2 ** bits - 1;
  return {
    getClassName: () => CLASS_NAME,
    getConfig: () => ({ ...options }),
    buildActivation: (site) => ({
      clip: new Numbers(site.addWeight('clip', [], initial ?? 1, true)),
      ready: new Numbers(site.addWeight('clip_ready', [], initial === undefined ? 0 : 1, false)),
    }),
    quantize(x, { clip, ready }, moment) {
      const begin = () => clip.variable.assign(tf.maximum(tf.max(x), SMALLEST));
      if (!started(ready, moment, begin)) return undefined;
      const level = tf.maximum(clip.variable, SMALLEST);
      const scale = tf.div(level, high);
      return { codes: codesBelow(x, level, high), scale, axis: null, learned: true };
    },
    activationCode({ clip, ready }) {
      if (ready.values[0] === 0) return undefined;
      const level = Math.max(clip.values[0]!, Math.fround(SMALLEST));
      return { bits, scale: Math.fround(level / high), zeroPoint: 0, low: 0, high };
    },
    activationPenalty: ({ clip, ready }) =>
      tf.mul(tf.square(clip.variable), decay * ready.values[0]!) as tf.Scalar,
  };
}
registerActivationQuantizer(
  CLASS_NAME,
  (config) => pact(config as unknown as PactOptions) as ActivationQuantizer,
);

const SMALLEST = 1e-6;

/**
 * Codes k, 0 to p. Their gradient is such that `k a / p` has that of the docstring above: `dk/dx = p / a`
 * inside, `dk/da = -k / a` below a.
 */
function codesBelow(values: tf.Tensor, level: tf.Tensor, high: number): tf.Tensor {
  const op = tf.customGrad((...args) => {
    const save = args.pop() as tf.GradSaveFunc;
    const [x, a] = args as [tf.Tensor, tf.Tensor];
    const step = tf.div(a, high);
    const codes = tf.clipByValue(tf.round(tf.div(x, step)), 0, high);
    save([x, a, codes]);
    return {
      value: codes,
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
        const [x, a, codes] = saved as [tf.Tensor, tf.Tensor, tf.Tensor];
        const below = tf.less(x, a);
        const passes = tf.logicalAnd(below, tf.greaterEqual(x, 0));
        const none = tf.zerosLike(dy);
        const dx = tf.where(passes, tf.div(tf.mul(dy, high), a), none);
        const da = tf.where(below, tf.neg(tf.div(tf.mul(dy, codes), a)), none);
        return [dx, sumTo(da, a.shape)];
      },
    };
  });
  return op(values, level);
}
