// Layers with masks on their kernels.
import * as tfl from '@tensorflow/tfjs-layers';
import { UnsupportedError } from '@thimble/base';
import { expectedKernels, parametrize } from '@thimble/core';
import { type MaskOptions, mask } from './mask.ts';

/** Arguments of {@link maskedDense}: those of `tf.layers.dense`, and those of the mask. */
export type MaskedDenseArgs = Parameters<typeof tfl.layers.dense>[0] & MaskOptions;

/** Arguments of {@link maskedConv2d}: those of `tf.layers.conv2d`, and those of the mask. */
export type MaskedConv2dArgs = Parameters<typeof tfl.layers.conv2d>[0] & MaskOptions;

/** Arguments of {@link maskedDepthwiseConv2d}: those of `tf.layers.depthwiseConv2d`, and those of the mask. */
export type MaskedDepthwiseConv2dArgs = Parameters<typeof tfl.layers.depthwiseConv2d>[0] &
  MaskOptions;

/**
 * Puts a mask on every kernel of a layer: `kernel`, `depthwiseKernel`, `pointwiseKernel`, `recurrentKernel`
 * and `embeddings`, whichever it has. The layer itself is changed and returned, built or not. Of a
 * Bidirectional or TimeDistributed it is the layers inside that get masks. With `sparsity` the smallest
 * entries are masked from the start: for a layer that is built already, those that are smallest now.
 *
 * @throws {UnsupportedError} for a model, and for a layer without kernels or of a class of your own that is not
 *   built yet.
 * @example
 * const recurrent = prunable(tfl.layers.gru({ units: 8 }), { sparsity: 0.5 });
 */
export function prunable<L extends tfl.layers.Layer>(layer: L, options: MaskOptions = {}): L {
  if (layer instanceof tfl.LayersModel) {
    throw new UnsupportedError(
      `prunable: "${layer.name}" is a model. Call it for its layers; prune gives masks to all of them.`,
    );
  }
  const kernels = expectedKernels(layer);
  const { className } = layer.constructor as unknown as { className: string };
  if (kernels.length === 0) {
    throw new UnsupportedError(
      `prunable: layer "${layer.name}" (${className}) has no kernel, or none that is known before it is ` +
        'built. A weight of another name takes a mask too: parametrize(layer, { kernel: [mask()] }).',
    );
  }
  return parametrize(layer, Object.fromEntries(kernels.map((name) => [name, [mask(options)]])));
}

/**
 * A dense layer with a mask on its kernel: `y = activation(x (W * m) + b)`.
 *
 * @throws {OptionError} for a sparsity outside [0, 1).
 * @example
 * const model = tfl.sequential({ layers: [maskedDense({ units: 10, sparsity: 0.9, inputShape: [784] })] });
 */
export function maskedDense(args: MaskedDenseArgs): tfl.layers.Layer {
  return masked(tfl.layers.dense, args);
}

/**
 * A 2D convolution with a mask on its kernel, which is [height, width, in, out].
 *
 * @throws {OptionError} for a sparsity outside [0, 1).
 * @example
 * const layer = maskedConv2d({ filters: 20, kernelSize: 5, sparsity: 0.5 });
 */
export function maskedConv2d(args: MaskedConv2dArgs): tfl.layers.Layer {
  return masked(tfl.layers.conv2d, args);
}

/**
 * A depthwise 2D convolution with a mask on its kernel, which is [height, width, channels, multiplier].
 *
 * @throws {OptionError} for a sparsity outside [0, 1).
 * @example
 * const layer = maskedDepthwiseConv2d({ kernelSize: 3, padding: 'same', sparsity: 0.5 });
 */
export function maskedDepthwiseConv2d(args: MaskedDepthwiseConv2dArgs): tfl.layers.Layer {
  return masked(tfl.layers.depthwiseConv2d, args);
}

function masked<A>(make: (args: A) => tfl.layers.Layer, args: A & MaskOptions): tfl.layers.Layer {
  const { sparsity, ...own } = args;
  return prunable(make(own as A), sparsity === undefined ? {} : { sparsity });
}
