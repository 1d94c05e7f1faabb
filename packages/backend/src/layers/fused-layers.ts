// Dense, Conv2D and SeparableConv2D in training: one op for product, bias and activation instead of three,
// and no gradient that nobody asks for. tfjs-layers goes through tf.fused.*, which splits up under a
// gradient, refuses a dilation, and with a linear activation computes the gradient of the input even for
// the first layer.
import {
  _FusedMatMul,
  depthwiseConv2d,
  FusedConv2D,
  type Tensor,
  type Tensor4D,
  tidy,
  transpose,
} from '@tensorflow/tfjs-core';
import { type LayerVariable, layers } from '@tensorflow/tfjs-layers';
import { fused, isFused } from '../gradients/fused.ts';
import { type Kwargs, only, patchCall } from './patch.ts';

interface Activation {
  apply(x: Tensor): Tensor;
  getClassName(): string;
}
interface Weighted {
  bias: LayerVariable | null;
  activation: Activation | null;
}
interface Dense extends Weighted {
  kernel: LayerVariable;
  invokeCallHook(inputs: Tensor | Tensor[], kwargs: Kwargs): void;
}
interface Conv extends Weighted {
  rank: number;
  strides: [number, number];
  padding: string;
  dataFormat: string;
  dilationRate: [number, number] | number;
}
interface Conv2D extends Conv {
  kernel: LayerVariable;
}
interface SeparableConv2D extends Conv {
  depthwiseKernel: LayerVariable;
  pointwiseKernel: LayerVariable;
}

/** Puts the three layers on fused ops. */
export function installFusedLayers(): void {
  const name = 'sample';
  patchCall<Dense>(layers.dense({ name, units: 1 }), (layer, stock, inputs, kwargs) => {
    const a = only(inputs);
    if (!kwargs.training || a.rank !== 2 || a.dtype !== 'float32') return stock(inputs, kwargs);
    layer.invokeCallHook(inputs, kwargs);
    const attrs = { transposeA: false, transposeB: false };
    return tidy(() => withEnd(layer, _FusedMatMul, { a, b: layer.kernel.read() }, attrs));
  });
  const conv2d = layers.conv2d({ name, filters: 1, kernelSize: 1 });
  patchCall<Conv2D>(conv2d, (layer, stock, inputs, kwargs) => {
    if (!isOurs(layer, inputs, kwargs)) return stock(inputs, kwargs);
    const filter = layer.kernel.read();
    return channelsLast(layer, inputs, (x) =>
      withEnd(layer, FusedConv2D, { x, filter }, geometry(layer)),
    );
  });
  const separable = layers.separableConv2d({ name, filters: 1, kernelSize: 1 });
  patchCall<SeparableConv2D>(separable, (layer, stock, inputs, kwargs) => {
    if (!isOurs(layer, inputs, kwargs)) return stock(inputs, kwargs);
    const { strides, pad, dilations } = geometry(layer);
    const depthwise = layer.depthwiseKernel.read() as Tensor4D;
    const filter = layer.pointwiseKernel.read();
    const pointwise = { strides: [1, 1], pad: 'valid', dilations: [1, 1], dataFormat: 'NHWC' };
    return channelsLast(layer, inputs, (image) => {
      const x = depthwiseConv2d(image as Tensor4D, depthwise, strides, pad, 'NHWC', dilations);
      return withEnd(layer, FusedConv2D, { x, filter }, pointwise);
    });
  });
}

function isOurs(layer: Conv, inputs: Tensor | Tensor[], { training }: Kwargs): boolean {
  const { rank, padding } = layer;
  return !!training && rank === 2 && padding !== 'causal' && only(inputs).dtype === 'float32';
}

function geometry({ strides, padding, dilationRate }: Conv): {
  strides: [number, number];
  pad: 'same' | 'valid';
  dilations: [number, number];
  dataFormat: 'NHWC';
} {
  const dilations: [number, number] =
    typeof dilationRate === 'number' ? [dilationRate, dilationRate] : dilationRate;
  const pad = padding === 'same' ? 'same' : 'valid';
  return { strides, pad, dilations, dataFormat: 'NHWC' };
}

/** The kernel with the layer's bias, and its activation as far as that can be fused. */
function withEnd(
  layer: Weighted,
  kernelName: typeof FusedConv2D | typeof _FusedMatMul,
  inputs: Record<string, Tensor>,
  attrs: object,
): Tensor {
  const name = layer.activation?.getClassName() ?? 'linear';
  const activation = isFused(name) ? name : 'linear';
  const y = fused(kernelName, { ...inputs, bias: layer.bias?.read() }, { ...attrs, activation });
  return activation === name ? y : (layer.activation as Activation).apply(y);
}

function channelsLast(
  { dataFormat }: Conv,
  inputs: Tensor | Tensor[],
  run: (x: Tensor) => Tensor,
): Tensor {
  const x = only(inputs);
  if (dataFormat !== 'channelsFirst') return tidy(() => run(x));
  return tidy(() => transpose(run(transpose(x, [0, 2, 3, 1])), [0, 3, 1, 2]));
}
