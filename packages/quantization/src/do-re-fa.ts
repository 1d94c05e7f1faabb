// DoReFa: weights squashed into [-1, 1], activations clipped to [0, 1].
import * as tf from '@tensorflow/tfjs-core';
import { checkOptions } from '@thimble/base';
import { registerTransform, type WeightTransform } from '@thimble/core';
import { type ActivationQuantizer, OBSERVE, registerActivationQuantizer } from './activation.ts';
import { codesOf, untracked, valuesOf } from './codes.ts';
import { checkBits } from './fake-quant.ts';

/** Options of {@link doReFa}. */
export interface DoReFaOptions {
  /** Bits of a code, 2 to 16. For one bit see the binary weights. */
  bits: number;
}

/** For weights and for activations; made by {@link doReFa}. */
export type DoReFa = WeightTransform<null> & ActivationQuantizer<null>;

const CLASS_NAME = 'ThimbleDoReFa';

/**
 * Quantises weights to `2^bits` values from -1 to 1, and activations to as many from 0 to 1. With
 * `p = 2^bits - 1` and `q(x) = round(x p) / p`, halves to even:
 *
 * - weights: `w' = 2 q(t / (2 m) + 1/2) - 1`, `t = tanh(w)`, `m = max|t|`;
 *   `dL/dw = dL/dw' (1 - t^2) / m`, m taken for a constant
 * - activations: `x' = q(clip(x, 0, 1))`; `dL/dx = dL/dx'` where `0 <= x <= 1`, else 0
 *
 * The values are the odd multiples of 1/p: 0 is not one of them. A mask belongs behind this transform, not
 * before it. A weight of zeros becomes 1/p or -1/p everywhere.
 *
 * Paper: Zhou et al., "DoReFa-Net", 2016, sections 2.3 and 2.4.
 *
 * @example
 * quantizeAware(model, { weights: doReFa({ bits: 2 }), activations: doReFa({ bits: 2 }) });
 */
export function doReFa(options: DoReFaOptions): DoReFa {
  checkOptions('doReFa', options, ['bits']);
  checkBits('doReFa', options.bits);
  const { bits } = options;
  const high = 2 ** bits - 1;
  /** Odd whole numbers k; values are k / p. */
  const oddCodes = (weight: tf.Tensor) => {
    const t = tf.tanh(weight);
    const m = untracked(() => tf.maximum(tf.max(tf.abs(t)), 1e-12));
    const unit = tf.add(tf.div(tf.div(t, m), 2), 0.5);
    const codes = codesOf(unit, { scale: tf.scalar(1 / high), low: 0, high });
    return tf.sub(tf.mul(codes, 2), high);
  };
  return {
    getClassName: () => CLASS_NAME,
    getConfig: () => ({ ...options }),
    build: () => null,
    apply: (weight) =>
      valuesOf({ codes: oddCodes(weight), scale: tf.scalar(1 / high), axis: null, learned: false }),
    bake: (weight) => tf.mul(oddCodes(weight), tf.scalar(1 / high)),
    encoding: () => ({
      values: {
        type: 'codebook',
        bits,
        centroids: Float32Array.from(
          { length: high + 1 },
          (_, code) => (2 * code - high) * Math.fround(1 / high),
        ),
      },
    }),
    buildActivation: () => null,
    quantize(x, _state, { stage }) {
      if (stage === OBSERVE) return undefined;
      const scale = tf.scalar(1 / high);
      return { codes: codesOf(x, { scale, low: 0, high }), scale, axis: null, learned: false };
    },
    activationCode: () => ({ bits, scale: Math.fround(1 / high), zeroPoint: 0, low: 0, high }),
  };
}
registerTransform(
  CLASS_NAME,
  (config) => doReFa(config as unknown as DoReFaOptions) as WeightTransform,
);
registerActivationQuantizer(
  CLASS_NAME,
  (config) => doReFa(config as unknown as DoReFaOptions) as ActivationQuantizer,
);
