// Optimizers by name, and their learning rate.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { OptionError } from '@thimble/base';

/** Name of an optimizer that Thimble knows. */
export type OptimizerName =
  | 'sgd'
  | 'momentum'
  | 'adagrad'
  | 'adadelta'
  | 'adam'
  | 'adamax'
  | 'rmsprop';

const makers: Record<OptimizerName, () => tf.Optimizer> = {
  sgd: () => tf.train.sgd(0.01),
  momentum: () => tf.train.momentum(0.01, 0.9),
  adagrad: () => tf.train.adagrad(0.01),
  adadelta: () => tf.train.adadelta(1, 0.95),
  adam: () => tf.train.adam(0.001),
  adamax: () => tf.train.adamax(0.002),
  rmsprop: () => tf.train.rmsprop(0.001),
};

/** An optimizer for a run; `owned` when the run made it and must dispose of it. */
export interface RunOptimizer {
  optimizer: tf.Optimizer;
  owned: boolean;
}

/** The optimizer that the option tells, else the compiled one, else Adam. */
export function chooseOptimizer(
  option: OptimizerName | tf.Optimizer | undefined,
  model: LayersModel,
): RunOptimizer {
  if (option === undefined && model.optimizer) return { optimizer: model.optimizer, owned: false };
  if (typeof option === 'object' && typeof option.applyGradients === 'function') {
    return { optimizer: option, owned: false };
  }
  const name = option ?? 'adam';
  if (typeof name !== 'string' || !Object.hasOwn(makers, name)) {
    throw new OptionError(
      `fit: unknown optimizer "${String(name)}". Known optimizers: ${Object.keys(makers).join(', ')}; or give one made by tf.train.`,
    );
  }
  return { optimizer: makers[name](), owned: true };
}

interface Rated {
  learningRate: number;
  setLearningRate?(rate: number): void;
}

/** The learning rate of an optimizer; NaN where it has none that can be read. */
export function learningRateOf(optimizer: tf.Optimizer): number {
  const { learningRate } = optimizer as unknown as Partial<Rated>;
  return typeof learningRate === 'number' ? learningRate : Number.NaN;
}

/** Sets the learning rate of any tfjs optimizer; SGD and its kin keep it in a tensor. */
export function setLearningRate(optimizer: tf.Optimizer, rate: number): void {
  const rated = optimizer as unknown as Rated;
  if (rated.learningRate === rate) return;
  if (typeof rated.learningRate !== 'number') {
    throw new OptionError(
      `fit: the optimizer ${optimizer.getClassName()} has no learningRate to set. Leave the option learningRate out.`,
    );
  }
  if (rated.setLearningRate) rated.setLearningRate(rate);
  else rated.learningRate = rate;
}
