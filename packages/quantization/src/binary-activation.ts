// Binary activations: the sign of what comes in.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { checkOptions, OptionError } from '@thimble/base';
import { binarySign, passInside } from './sign.ts';

type LayerArgs = NonNullable<ConstructorParameters<typeof tfl.layers.Layer>[0]>;

/** What {@link binaryActivation} takes beside the arguments of every layer. */
export interface BinaryActivationOptions {
  /** What comes out below 0, and from 0 on: -1 and +1 (default), or 0 and 1. */
  values?: 'signs' | 'zeroOne';
  /** What passes of the gradient where |x| <= 1: all of it (default), or `2 - 2 |x|` of it. */
  gradient?: 'straightThrough' | 'approximate';
}

/** Arguments of {@link binaryActivation}: those of every layer of `tf.layers`, and its own. */
export type BinaryActivationArgs = LayerArgs & BinaryActivationOptions;

const LAYER_ARGS = [
  'name',
  'inputShape',
  'batchInputShape',
  'batchSize',
  'dtype',
  'trainable',
  'weights',
  'inputDType',
];

/**
 * A layer that makes its input binary.
 *
 * - forward: `y = +1` where `x >= 0`, else -1; with `values: 'zeroOne'` 1 and 0
 * - backward: `dL/dx = dL/dy` where `|x| <= 1`, else 0; with `gradient: 'approximate'`,
 *   `dL/dx = dL/dy max(0, 2 - 2 |x|)`, the derivative of a smoother function (Bi-Real Net)
 *
 * Inputs should lie around 0: put a batch normalization in front. Not for the image that a network begins
 * with. A NaN stays one.
 *
 * Papers: Hubara, Courbariaux, Soudry, El-Yaniv, Bengio, "Binarized Neural Networks", 2016, section 1.3;
 * Liu et al., "Bi-Real Net", 2018, section 3.3.
 *
 * @throws {OptionError} for values or a gradient that are not known.
 * @example
 * const model = tfl.sequential({ layers: [
 *   tfl.layers.dense({ units: 64, inputShape: [784] }),
 *   tfl.layers.batchNormalization(),
 *   binaryActivation(),
 *   binaryDense({ units: 10 }),
 * ] });
 */
export function binaryActivation(args: BinaryActivationArgs = {}): tfl.layers.Layer {
  checkOptions('binaryActivation', args, [...LAYER_ARGS, 'values', 'gradient']);
  return new ThimbleBinaryActivation(args);
}

/** The sign of x, or 0 and 1, with the gradients of {@link binaryActivation}. */
export function binarised(
  x: tf.Tensor,
  { values = 'signs', gradient = 'straightThrough' }: BinaryActivationOptions = {},
): tf.Tensor {
  const op = tf.customGrad((...args) => {
    const [input, save] = args as [tf.Tensor, tf.GradSaveFunc];
    save([input]);
    const signs = binarySign(input);
    return {
      value: values === 'signs' ? signs : tf.mul(tf.add(signs, 1), 0.5),
      gradFunc(dy: tf.Tensor, saved: tf.Tensor[]) {
        const from = saved[0]!;
        if (gradient === 'straightThrough') return passInside(from, dy);
        return tf.mul(dy, tf.relu(tf.sub(2, tf.mul(tf.abs(from), 2))));
      },
    };
  });
  return op(x);
}

function check(name: string, value: string | undefined, known: string[]): void {
  if (value === undefined || known.includes(value)) return;
  throw new OptionError(`binaryActivation: ${name} must be ${known.join(' or ')}, not "${value}".`);
}

class ThimbleBinaryActivation extends tfl.layers.Layer {
  static className = 'ThimbleBinaryActivation';
  readonly options: BinaryActivationOptions;

  constructor(args: BinaryActivationArgs) {
    const { values, gradient, ...own } = args;
    super(own);
    check('values', values, ['signs', 'zeroOne']);
    check('gradient', gradient, ['straightThrough', 'approximate']);
    this.options = { ...(values ? { values } : {}), ...(gradient ? { gradient } : {}) };
    this.supportsMasking = true;
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.tidy(() => binarised(Array.isArray(inputs) ? inputs[0]! : inputs, this.options));
  }

  override computeOutputShape(inputShape: tfl.Shape): tfl.Shape {
    return inputShape;
  }

  override getConfig(): tf.serialization.ConfigDict {
    return { ...super.getConfig(), ...this.options };
  }
}
tf.serialization.registerClass(ThimbleBinaryActivation);
