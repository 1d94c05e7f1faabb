// Loss functions by name. Each gives one value per example (or per position); a step takes the mean.
import * as tf from '@tensorflow/tfjs-core';
import { OptionError } from '@thimble/base';

/** A loss: one value per example, or their mean. */
export type LossFunction = (yTrue: tf.Tensor, yPred: tf.Tensor) => tf.Tensor;

/** As tfjs and Keras have it. */
const EPSILON = 1e-7;

/**
 * max(x, least), with no gradient below `least`. It lets NaN through, which tf.clipByValue and tf.maximum
 * lose on wasm.
 */
function atLeast(x: tf.Tensor, least: number): tf.Tensor {
  const bounded = tf.customGrad((...args) => {
    const [value, save] = args as [tf.Tensor, tf.GradSaveFunc];
    save([value]);
    return {
      value: tf.where(tf.less(value, least), tf.fill(value.shape, least), value),
      gradFunc: (dy, [saved]) => tf.where(tf.less(saved!, least), tf.zerosLike(dy), dy),
    };
  });
  return bounded(x);
}

function oneHot(yTrue: tf.Tensor, yPred: tf.Tensor): tf.Tensor {
  const labels = tf.cast(tf.reshape(yTrue, [-1]), 'int32');
  return tf.reshape(tf.oneHot(labels, yPred.shape.at(-1)!), yPred.shape);
}

function meanSquaredError(yTrue: tf.Tensor, yPred: tf.Tensor): tf.Tensor {
  return tf.mean(tf.square(tf.sub(yPred, yTrue)), -1);
}

function meanAbsoluteError(yTrue: tf.Tensor, yPred: tf.Tensor): tf.Tensor {
  return tf.mean(tf.abs(tf.sub(yPred, yTrue)), -1);
}

function meanAbsolutePercentageError(yTrue: tf.Tensor, yPred: tf.Tensor): tf.Tensor {
  const ratio = tf.div(tf.sub(yTrue, yPred), atLeast(tf.abs(yTrue), EPSILON));
  return tf.mul(tf.mean(tf.abs(ratio), -1), 100);
}

function meanSquaredLogarithmicError(yTrue: tf.Tensor, yPred: tf.Tensor): tf.Tensor {
  const log = (x: tf.Tensor) => tf.log(tf.add(atLeast(x, EPSILON), 1));
  return tf.mean(tf.square(tf.sub(log(yTrue), log(yPred))), -1);
}

function logcosh(yTrue: tf.Tensor, yPred: tf.Tensor): tf.Tensor {
  const difference = tf.sub(yPred, yTrue);
  const softplus = tf.softplus(tf.mul(difference, -2));
  return tf.mean(tf.sub(tf.add(difference, softplus), Math.LN2), -1);
}

/** 1 - t y, with the label 0 of one-hot rows taken for -1. */
function margin(yTrue: tf.Tensor, yPred: tf.Tensor): tf.Tensor {
  const target = tf.where(tf.equal(yTrue, 0), tf.fill(yTrue.shape, -1), yTrue);
  return atLeast(tf.sub(1, tf.mul(target, yPred)), 0);
}

function hinge(yTrue: tf.Tensor, yPred: tf.Tensor): tf.Tensor {
  return tf.mean(margin(yTrue, yPred), -1);
}

function squaredHinge(yTrue: tf.Tensor, yPred: tf.Tensor): tf.Tensor {
  return tf.mean(tf.square(margin(yTrue, yPred)), -1);
}

function categoricalHinge(yTrue: tf.Tensor, yPred: tf.Tensor): tf.Tensor {
  const right = tf.sum(tf.mul(yTrue, yPred), -1);
  const wrong = tf.max(tf.mul(tf.sub(1, yTrue), yPred), -1);
  return atLeast(tf.add(tf.sub(wrong, right), 1), 0);
}

function categoricalCrossentropy(yTrue: tf.Tensor, yPred: tf.Tensor): tf.Tensor {
  const probabilities = tf.div(yPred, tf.sum(yPred, -1, true));
  return tf.neg(tf.sum(tf.mul(yTrue, tf.log(atLeast(probabilities, EPSILON))), -1));
}

function sparseCategoricalCrossentropy(yTrue: tf.Tensor, yPred: tf.Tensor): tf.Tensor {
  return categoricalCrossentropy(oneHot(yTrue, yPred), yPred);
}

function categoricalCrossentropyFromLogits(yTrue: tf.Tensor, yPred: tf.Tensor): tf.Tensor {
  return tf.neg(tf.sum(tf.mul(yTrue, tf.logSoftmax(yPred)), -1));
}

function sparseCategoricalCrossentropyFromLogits(yTrue: tf.Tensor, yPred: tf.Tensor): tf.Tensor {
  return categoricalCrossentropyFromLogits(oneHot(yTrue, yPred), yPred);
}

function binaryCrossentropy(yTrue: tf.Tensor, yPred: tf.Tensor): tf.Tensor {
  const yes = tf.mul(yTrue, tf.log(atLeast(yPred, EPSILON)));
  const no = tf.mul(tf.sub(1, yTrue), tf.log(atLeast(tf.sub(1, yPred), EPSILON)));
  return tf.neg(tf.mean(tf.add(yes, no), -1));
}

function binaryCrossentropyFromLogits(yTrue: tf.Tensor, yPred: tf.Tensor): tf.Tensor {
  // softplus(z) - y z, with softplus(z) = relu(z) + log(1 + exp(-|z|)), which never overflows.
  const softplus = tf.add(tf.relu(yPred), tf.log1p(tf.exp(tf.neg(tf.abs(yPred)))));
  return tf.mean(tf.sub(softplus, tf.mul(yTrue, yPred)), -1);
}

function kullbackLeiblerDivergence(yTrue: tf.Tensor, yPred: tf.Tensor): tf.Tensor {
  const ratio = tf.div(atLeast(yTrue, EPSILON), atLeast(yPred, EPSILON));
  return tf.sum(tf.mul(yTrue, tf.log(ratio)), -1);
}

function poisson(yTrue: tf.Tensor, yPred: tf.Tensor): tf.Tensor {
  return tf.mean(tf.sub(yPred, tf.mul(yTrue, tf.log(tf.add(yPred, EPSILON)))), -1);
}

function cosineProximity(yTrue: tf.Tensor, yPred: tf.Tensor): tf.Tensor {
  const unit = (x: tf.Tensor) =>
    tf.div(x, tf.sqrt(atLeast(tf.sum(tf.square(x), -1, true), EPSILON)));
  return tf.neg(tf.sum(tf.mul(unit(yTrue), unit(yPred)), -1));
}

/** Name of a loss that Thimble knows. */
export type LossName =
  | 'meanSquaredError'
  | 'meanAbsoluteError'
  | 'meanAbsolutePercentageError'
  | 'meanSquaredLogarithmicError'
  | 'logcosh'
  | 'hinge'
  | 'squaredHinge'
  | 'categoricalHinge'
  | 'categoricalCrossentropy'
  | 'sparseCategoricalCrossentropy'
  | 'categoricalCrossentropyFromLogits'
  | 'sparseCategoricalCrossentropyFromLogits'
  | 'binaryCrossentropy'
  | 'binaryCrossentropyFromLogits'
  | 'kullbackLeiblerDivergence'
  | 'poisson'
  | 'cosineProximity';

/**
 * The losses by name, as functions of labels and predictions with one value per example. Those whose
 * name ends in FromLogits take the values before softmax or sigmoid, and keep their precision where a
 * probability would be rounded to 0 or 1. The sparse ones take class numbers, the others one-hot rows;
 * `hinge` and `squaredHinge` take -1 and +1, and for one-hot rows 0 in place of -1.
 *
 * @example
 * const each = losses.meanSquaredError(tf.tensor2d([[1, 2]]), tf.tensor2d([[1, 4]])); // [2]
 */
export const losses: Readonly<Record<LossName, LossFunction>> = {
  meanSquaredError,
  meanAbsoluteError,
  meanAbsolutePercentageError,
  meanSquaredLogarithmicError,
  logcosh,
  hinge,
  squaredHinge,
  categoricalHinge,
  categoricalCrossentropy,
  sparseCategoricalCrossentropy,
  categoricalCrossentropyFromLogits,
  sparseCategoricalCrossentropyFromLogits,
  binaryCrossentropy,
  binaryCrossentropyFromLogits,
  kullbackLeiblerDivergence,
  poisson,
  cosineProximity,
};

const ALIASES: Record<string, LossName> = {
  mse: 'meanSquaredError',
  mae: 'meanAbsoluteError',
};

/** What labels a loss takes: class numbers, 0 to 1, the shape of the output, or anything. */
export type Target = 'classes' | 'probabilities' | 'same' | 'any';

/** A loss as the loop uses it. */
export interface LossSpec {
  readonly name: string;
  readonly call: LossFunction;
  readonly target: Target;
}

function targetOf(name: LossName): Target {
  if (name.startsWith('sparse')) return 'classes';
  return name.startsWith('binary') || name.startsWith('categoricalCross')
    ? 'probabilities'
    : 'same';
}

/** Finds a loss by its name, or names a function. */
export function lossSpec(owner: string, loss: string | LossFunction): LossSpec {
  const names = Object.keys(losses) as LossName[];
  const name =
    typeof loss === 'string'
      ? (ALIASES[loss] ?? names.find((n) => n === loss))
      : names.find((n) => losses[n] === loss);
  if (name) return { name, call: losses[name], target: targetOf(name) };
  if (typeof loss === 'function') {
    return { name: loss.name || 'loss', call: loss, target: 'any' };
  }
  throw new OptionError(
    `${owner}: unknown loss "${loss}". Known losses: ${names.join(', ')}; or give a function (yTrue, yPred) => tensor.`,
  );
}
