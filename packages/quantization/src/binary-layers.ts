// Layers that compute with binary weights.
import * as tfl from '@tensorflow/tfjs-layers';
import { OptionError, UnsupportedError } from '@thimble/base';
import { expectedKernels, parametrize, parametrizedWeights } from '@thimble/core';
import { type BinaryConnectOptions, binaryConnect } from './binary-connect.ts';
import { checkArguments, checkModel } from './targets.ts';

/** Arguments of {@link binaryDense}: those of `tf.layers.dense`, and those of binaryConnect. */
export type BinaryDenseArgs = Parameters<typeof tfl.layers.dense>[0] & BinaryConnectOptions;

/** Arguments of {@link binaryConv2d}: those of `tf.layers.conv2d`, and those of binaryConnect. */
export type BinaryConv2dArgs = Parameters<typeof tfl.layers.conv2d>[0] & BinaryConnectOptions;

/**
 * Makes every kernel of a layer binary by {@link binaryConnect}: `kernel`, `depthwiseKernel`,
 * `pointwiseKernel`, `recurrentKernel` and `embeddings`, whichever it has. Biases stay real. The layer
 * itself is changed and returned, built or not; of a Bidirectional or TimeDistributed it is the layers inside.
 *
 * @throws {UnsupportedError} for a model, and for a layer without kernels or of a class of your own that is not
 *   built yet.
 * @throws {OptionError} for a mode that is not known, and for a layer that is binary already.
 * @example
 * const layer = binarized(tfl.layers.conv2d({ filters: 20, kernelSize: 5 }), { mode: 'stochastic' });
 */
export function binarized<L extends tfl.layers.Layer>(
  layer: L,
  options: BinaryConnectOptions = {},
): L {
  const transform = binaryConnect(options);
  checkModel('binarized', layer);
  if (layer instanceof tfl.LayersModel) {
    throw new UnsupportedError(
      `binarized: "${layer.name}" is a model. Call it for those of its layers that are to be binary; ` +
        'the last one is best left real, or followed by batch normalization.',
    );
  }
  const kernels = expectedKernels(layer);
  if (kernels.length === 0) {
    const { className } = layer.constructor as unknown as { className: string };
    throw new UnsupportedError(
      `binarized: layer "${layer.name}" (${className}) has no kernel, or none that is known before it is ` +
        'built. A weight of another name takes the transform too: ' +
        'parametrize(layer, { kernel: [binaryConnect()] }).',
    );
  }
  if (binary.has(layer) || isBinary(layer)) {
    throw new OptionError(`binarized: layer "${layer.name}" is binary already. Call it once.`);
  }
  parametrize(layer, Object.fromEntries(kernels.map((name) => [name, [transform]])));
  binary.add(layer);
  return layer;
}

/** Layers that were made binary here, built or not. */
const binary = new WeakSet<tfl.layers.Layer>();

function isBinary(layer: tfl.layers.Layer): boolean {
  const name = binaryConnect().getClassName();
  return parametrizedWeights(layer).some(({ links }) =>
    links.some(({ transform }) => transform.getClassName() === name),
  );
}

/**
 * A dense layer with a binary kernel: `y = activation(x sign(W) + b)`; see {@link binaryConnect} for how it
 * trains. Sums of many +-1 are large: a batch normalization behind it brings them back to size.
 *
 * @throws {OptionError} for a mode that is not known.
 * @example
 * const model = tfl.sequential({ layers: [binaryDense({ units: 10, mode: 'stochastic', inputShape: [784] })] });
 */
export function binaryDense(args: BinaryDenseArgs): tfl.layers.Layer {
  return withBinaryKernel('binaryDense', tfl.layers.dense, args);
}

/**
 * A 2D convolution with a binary kernel, which is [height, width, in, out]; see {@link binaryConnect}.
 *
 * @throws {OptionError} for a mode that is not known.
 * @example
 * const layer = binaryConv2d({ filters: 20, kernelSize: 5 });
 */
export function binaryConv2d(args: BinaryConv2dArgs): tfl.layers.Layer {
  return withBinaryKernel('binaryConv2d', tfl.layers.conv2d, args);
}

function withBinaryKernel<A>(
  owner: string,
  make: (args: A) => tfl.layers.Layer,
  args: A & BinaryConnectOptions,
): tfl.layers.Layer {
  checkArguments(owner, args);
  const { mode, scaleLearningRate, ...own } = args;
  const options: BinaryConnectOptions = {};
  if (mode !== undefined) options.mode = mode;
  if (scaleLearningRate !== undefined) options.scaleLearningRate = scaleLearningRate;
  return binarized(make(own as A), options);
}
