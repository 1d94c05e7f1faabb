// Which values of an input an answer hangs on.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkOptions } from '@thimble/base';
import { detached, inputGradients } from '@thimble/core';

/** Options of {@link saliencyMaps}. */
export interface SaliencyOptions {
  /** What the outputs are; default 'probabilities'. */
  outputs?: 'probabilities' | 'logits' | 'values';
}

/** Below this a probability has no logarithm that float32 can tell. */
const LEAST = 1e-30;

/**
 * How much the answer to each example changes with each of its values: the size of the gradient by the inputs, of
 * several channels the largest. The score is the log-odds of the class that is answered against the next one, which
 * does not vanish where the softmax is saturated; of regression it is the sum of the outputs.
 *
 * Simonyan, Vedaldi, Zisserman, "Deep Inside Convolutional Networks", 2014, section 3.
 *
 * @param x inputs; images have the shape [n, height, width, channels]
 * @returns a tensor of the shape of `x`, without channels where there are images, to be disposed of
 * @example
 * const maps = saliencyMaps(model, images); // [n, 28, 28]
 */
export function saliencyMaps(
  model: LayersModel,
  x: tf.Tensor,
  options: SaliencyOptions = {},
): tf.Tensor {
  checkOptions('saliencyMaps', options, ['outputs']);
  const { outputs: kind = 'probabilities' } = options;
  return tf.tidy(() => {
    const [gradient] = inputGradients(model, [x], (all) => scoreOf(all.at(-1)!, kind));
    const size = tf.abs(gradient!);
    return x.rank === 4 ? tf.max(size, -1) : size;
  });
}

function scoreOf(output: tf.Tensor, kind: NonNullable<SaliencyOptions['outputs']>): tf.Scalar {
  const classes = output.shape.at(-1)!;
  if (kind === 'values' || classes < 2) return tf.sum(output);
  const [first, second] = detached(() => {
    const best = tf.oneHot(tf.argMax(output, -1), classes, 1, 0, 'float32');
    const others = tf.where(tf.equal(best, 1), tf.fill(output.shape, -Infinity), output);
    return [best, tf.oneHot(tf.argMax(others, -1), classes, 1, 0, 'float32')];
  });
  const scores = kind === 'logits' ? output : tf.log(tf.add(output, LEAST));
  return tf.sum(tf.mul(scores, tf.sub(first!, second!)));
}
