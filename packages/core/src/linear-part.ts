// What a layer computes without its bias and its activation.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { UnsupportedError } from '@thimble/base';
import type { Layer } from './internals.ts';

/** Layers whose answer before bias and activation is a linear function of their input. */
const LINEAR = /^(Dense|(Depthwise|Separable)?Conv\d?D|Conv\dDTranspose)$/;

/** Whether {@link linearPart} can be asked of a layer: dense layers and convolutions of all kinds. */
export function isLinear(layer: Layer): boolean {
  const { className } = layer.constructor as { className?: string };
  return LINEAR.test(className ?? '');
}

/**
 * What a dense layer or a convolution answers to `input` without its bias and activation, at test time and
 * through the transforms of its weights: a linear function of the input.
 *
 * @throws {UnsupportedError} for layers of other classes.
 * @example
 * const dense = tfl.layers.dense({ units: 3, activation: 'relu', inputShape: [4] });
 * tfl.sequential({ layers: [dense] });
 * linearPart(dense, tf.ones([2, 4])); // [2, 3]: the product with the kernel
 */
export function linearPart(layer: Layer, input: tf.Tensor): tf.Tensor {
  if (!isLinear(layer)) {
    throw new UnsupportedError(
      `linearPart: "${layer.name}" (${layer.getClassName()}) is no dense layer or convolution.`,
    );
  }
  const target = layer as unknown as { activation: unknown; bias: unknown; useBias: boolean };
  const { activation, bias, useBias } = target;
  Object.assign(target, { activation: linear(), bias: null, useBias: false });
  try {
    return tf.tidy(() => layer.call(input, {}) as tf.Tensor);
  } finally {
    Object.assign(target, { activation, bias, useBias });
  }
}

/** The activation that changes nothing. */
function linear(): unknown {
  const layer = tfl.layers.activation({ activation: 'linear' });
  return (layer as unknown as { activation: unknown }).activation;
}
