// Activations clipped at a learned level.
import * as tf from '@tensorflow/tfjs-core';
import { checkOptions, checkRange } from '@thimble/base';
import {
  type ActivationQuantizer,
  Numbers,
  OBSERVE,
  registerActivationQuantizer,
} from './activation.ts';
import { sumTo } from './codes.ts';
import { checkBits } from './fake-quant.ts';

/** Options of {@link pact}. */
export interface PactOptions {
  /** Bits of a code, 2 to 16. */
  bits: number;
  /** The clipping level at the start, above 0. Default 10. */
  initial?: number;
  /** Weight of the penalty on the level. Default 2e-4. */
  decay?: number;
}

const CLASS_NAME = 'ThimblePact';

/**
 * Quantises activations between 0 and a clipping level a that is trained: for what comes after a ReLU, or in
 * its place.
 *
 * - forward: `y = clip(x, 0, a)`, `x' = round(y p / a) a / p` with `p = 2^bits - 1`; halves round to even
 * - backward: `dL/dx = dL/dx'` where `0 <= x < a`, else 0; `dL/da = sum of dL/dx'` where `x >= a`
 * - penalty: `decay a^2` added to the loss
 *
 * Paper: Choi et al., "PACT: Parameterized Clipping Activation for Quantized Neural Networks", 2018,
 * section 3.
 *
 * @example
 * quantizeAware(model, { weights: doReFa({ bits: 4 }), activations: pact({ bits: 4, initial: 6 }) });
 */
export function pact(options: PactOptions): ActivationQuantizer<Numbers> {
  checkOptions('pact', options, ['bits', 'initial', 'decay']);
  checkBits('pact', options.bits);
  const { bits, initial = 10, decay = 2e-4 } = options;
  checkRange('pact', 'initial', initial, 1e-6);
  checkRange('pact', 'decay', decay, 0);
  const high = 2 ** bits - 1;
  return {
    getClassName: () => CLASS_NAME,
    getConfig: () => ({ ...options }),
    buildActivation: (site) => new Numbers(site.addWeight('clip', [], initial, true)),
    quantize(x, { variable }, { stage }) {
      if (stage === OBSERVE) return undefined;
      const level = tf.maximum(variable, SMALLEST);
      const scale = tf.div(level, high);
      return { codes: codesBelow(x, level, high), scale, axis: null, learned: true };
    },
    activationCode({ values }) {
      const level = Math.max(values[0]!, Math.fround(SMALLEST));
      return { bits, scale: Math.fround(level / high), zeroPoint: 0, low: 0, high };
    },
    activationPenalty: ({ variable }) => tf.mul(tf.square(variable), decay) as tf.Scalar,
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
