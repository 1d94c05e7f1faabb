// Metrics: values per example whose mean (or, for counts, sum) over all examples is reported.
import * as tf from '@tensorflow/tfjs-core';
import { OptionError } from '@thimble/base';
import { type LossFunction, type LossSpec, losses, lossSpec } from './losses.ts';

/** A metric: one value per example, or their mean. */
export type MetricFunction = (yTrue: tf.Tensor, yPred: tf.Tensor) => tf.Tensor;

/** A metric as the loop uses it. */
export interface MetricSpec {
  readonly name: string;
  readonly call: MetricFunction;
  /** Added up over the examples rather than averaged. */
  readonly count: boolean;
}

function binaryHits(yTrue: tf.Tensor, yPred: tf.Tensor, label: number, threshold: number) {
  const hits = tf.equal(tf.greater(yTrue, label), tf.greater(yPred, threshold));
  return tf.mean(tf.cast(hits, 'float32'), -1);
}

function categoricalHits(yTrue: tf.Tensor, yPred: tf.Tensor) {
  return tf.cast(tf.equal(tf.argMax(yTrue, -1), tf.argMax(yPred, -1)), 'float32');
}

function sparseHits(yTrue: tf.Tensor, yPred: tf.Tensor) {
  const predicted = tf.argMax(yPred, -1);
  const labels = tf.cast(tf.reshape(yTrue, predicted.shape), 'int32');
  return tf.cast(tf.equal(labels, predicted), 'float32');
}

/** One where the prediction is right: binary, one-hot or by class number, as loss and shapes tell. */
function hits(loss: LossSpec | undefined): MetricFunction {
  const name = loss?.name ?? '';
  const margin = name === 'hinge' || name === 'squaredHinge';
  const binary = name.startsWith('binaryCrossentropy');
  const threshold = margin || name.endsWith('FromLogits') ? 0 : 0.5;
  return (yTrue, yPred) => {
    if (binary || yPred.shape.at(-1) === 1) {
      return binaryHits(tf.reshape(yTrue, yPred.shape), yPred, margin ? 0 : 0.5, threshold);
    }
    return yTrue.size === yPred.size ? categoricalHits(yTrue, yPred) : sparseHits(yTrue, yPred);
  };
}

const ALIASES: Record<string, keyof typeof losses> = {
  mse: 'meanSquaredError',
  MSE: 'meanSquaredError',
  mae: 'meanAbsoluteError',
  MAE: 'meanAbsoluteError',
  mape: 'meanAbsolutePercentageError',
  MAPE: 'meanAbsolutePercentageError',
  cosine: 'cosineProximity',
};

/**
 * Finds a metric by its name. 'accuracy' (or 'acc') and 'errors', the number of wrong predictions,
 * choose between binary, one-hot and class-number labels by the loss and the shapes, and are right
 * for logits too.
 */
export function metricSpec(
  owner: string,
  metric: string | MetricFunction,
  loss: LossSpec | undefined,
): MetricSpec {
  if (typeof metric === 'function') {
    return { name: metric.name || 'metric', call: metric, count: false };
  }
  const spec = (call: MetricFunction, count = false): MetricSpec => ({ name: metric, call, count });
  switch (metric) {
    case 'accuracy':
    case 'acc':
      return spec(hits(loss));
    case 'errors': {
      const right = hits(loss);
      return spec((yTrue, yPred) => tf.sub(1, right(yTrue, yPred)), true);
    }
    case 'binaryAccuracy':
      return spec((yTrue, yPred) => binaryHits(tf.reshape(yTrue, yPred.shape), yPred, 0.5, 0.5));
    case 'categoricalAccuracy':
      return spec(categoricalHits);
    case 'sparseCategoricalAccuracy':
      return spec(sparseHits);
  }
  const name = ALIASES[metric] ?? metric;
  if (name in losses) return spec(lossSpec(owner, name).call as LossFunction);
  throw new OptionError(
    `${owner}: unknown metric "${metric}". Known metrics: accuracy, errors, binaryAccuracy, categoricalAccuracy, sparseCategoricalAccuracy, the names of the losses; or give a function (yTrue, yPred) => tensor with one value per example.`,
  );
}
