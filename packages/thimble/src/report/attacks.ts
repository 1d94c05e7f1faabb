// Inputs that are changed so that a network errs.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkInteger, checkOptions, checkRange, OptionError, Random } from '@thimble/base';
import { inputGradients, type LossFunction, type LossName, lossSpec } from '@thimble/core';

/** Options of {@link fgsm}. */
export interface FgsmOptions {
  /** How far each value may move, in the units of the inputs. */
  epsilon: number;
  /** What is made larger; default 'categoricalCrossentropy'. */
  loss?: LossName | LossFunction;
  /** Least and largest value of an input; default [0, 1]. */
  range?: readonly [number, number];
}

/** Options of {@link pgd}. */
export interface PgdOptions extends FgsmOptions {
  /** Default 10. */
  steps?: number;
  /** How far a step goes; default `2.5 * epsilon / steps`. */
  stepSize?: number;
  /** Of the random start; default 0. */
  seed?: number | string;
}

type Resolved = Required<Pick<FgsmOptions, 'epsilon' | 'range'>> & { loss: LossFunction };

const KNOWN: readonly (keyof FgsmOptions)[] = ['epsilon', 'loss', 'range'];

function resolved(owner: string, options: FgsmOptions, known: readonly string[]): Resolved {
  checkOptions(owner, options, known);
  const { epsilon, loss = 'categoricalCrossentropy', range = [0, 1] } = options;
  checkRange(owner, 'epsilon', epsilon, 0);
  if (!(range[0] < range[1])) {
    throw new OptionError(`${owner}: range must be [least, largest], not [${range.join(', ')}].`);
  }
  const { call } = lossSpec(owner, loss);
  return { epsilon, range, loss: call };
}

/** The sign of the gradient of the loss by the inputs; of a network with several outputs by the last. */
function uphill(model: LayersModel, x: tf.Tensor, y: tf.Tensor, loss: LossFunction): tf.Tensor {
  return tf.tidy(() => {
    const score = (outputs: tf.Tensor[]) => tf.sum(loss(y, outputs.at(-1)!)) as tf.Scalar;
    return tf.sign(inputGradients(model, [x], score)[0]!);
  });
}

/**
 * The fast gradient sign method: `x' = clip(x + epsilon * sign(dL/dx))`, every value moved as far as it may, in the
 * direction that makes the loss of the right label larger.
 *
 * Goodfellow, Shlens, Szegedy, "Explaining and Harnessing Adversarial Examples", 2015, section 4.
 *
 * @param x inputs, the batch first
 * @param y labels, as the loss takes them
 * @returns inputs of the same shape, to be disposed of
 * @throws {OptionError} for unknown options and values out of range.
 * @example
 * const fooling = fgsm(model, images, labels, { epsilon: 0.1 });
 */
export function fgsm(
  model: LayersModel,
  x: tf.Tensor,
  y: tf.Tensor,
  options: FgsmOptions,
): tf.Tensor {
  const { epsilon, range, loss } = resolved('fgsm', options, KNOWN);
  return tf.tidy(() => {
    const step = tf.mul(uphill(model, x, y, loss), epsilon);
    return tf.clipByValue(tf.add(x, step), ...range);
  });
}

/**
 * Projected gradient descent: from a random place within `epsilon` of x, steps of `stepSize * sign(dL/dx)`, each
 * followed by a projection back to within `epsilon` of x (in every value) and into the range.
 *
 * Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", 2018, section 2.1.
 *
 * @param x inputs, the batch first
 * @param y labels, as the loss takes them
 * @returns inputs of the same shape, to be disposed of
 * @throws {OptionError} for unknown options and values out of range.
 * @example
 * const fooling = pgd(model, images, labels, { epsilon: 0.1, steps: 5 });
 */
export function pgd(
  model: LayersModel,
  x: tf.Tensor,
  y: tf.Tensor,
  options: PgdOptions,
): tf.Tensor {
  const { epsilon, range, loss } = resolved('pgd', options, [
    ...KNOWN,
    'steps',
    'stepSize',
    'seed',
  ]);
  const { steps = 10, seed = 0 } = options;
  checkInteger('pgd', 'steps', steps, 1);
  const { stepSize = (2.5 * epsilon) / steps } = options;
  checkRange('pgd', 'stepSize', stepSize, 0);
  const random = new Random(seed, 'pgd');
  const start = Float32Array.from({ length: x.size }, () => random.uniform(-epsilon, epsilon));
  const project = (moved: tf.Tensor) => {
    const near = tf.minimum(tf.maximum(moved, tf.sub(x, epsilon)), tf.add(x, epsilon));
    return tf.clipByValue(near, ...range);
  };
  let now = tf.tidy(() => project(tf.add(x, tf.tensor(start, x.shape))));
  for (let i = 0; i < steps; i++) {
    const before = now;
    try {
      now = tf.tidy(() => {
        const step = tf.mul(uphill(model, before, y, loss), stepSize);
        return project(tf.add(before, step));
      });
    } finally {
      before.dispose();
    }
  }
  return now;
}
