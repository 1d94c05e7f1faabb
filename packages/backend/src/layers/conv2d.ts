// Conv2D layers go through tf.fused.conv2d, whose gradient is fixed inside of the op: it refuses a
// dilation, and it computes the gradients of input and filter whether they are asked for or not.
// Through tf.conv2d a dilated layer trains, and a layer without a bias loses nothing and saves the
// input gradient where it is the first or frozen.
import { add, conv2d, type Tensor, type Tensor4D, tidy, transpose } from '@tensorflow/tfjs-core';
import { type LayerVariable, layers } from '@tensorflow/tfjs-layers';
import { only, patchCall } from './patch.ts';

interface Conv {
  rank: number;
  kernel: LayerVariable;
  bias: LayerVariable | null;
  strides: [number, number];
  padding: string;
  dataFormat: string;
  dilationRate: [number, number];
  activation: { apply(x: Tensor): Tensor } | null;
}

/** Lets Conv2D layers that are dilated, or have no bias, train through tf.conv2d. */
export function installConv2D(): void {
  const sample = layers.conv2d({ name: 'sample', filters: 1, kernelSize: 1 });
  patchCall<Conv>(sample, (layer, stock, inputs, kwargs) => {
    const { rank, dilationRate, padding, dataFormat } = layer;
    const ours = rank === 2 && (!layer.bias || dilationRate.some((rate) => rate > 1));
    if (!ours || !kwargs.training || padding === 'causal') return stock(inputs, kwargs);
    return tidy(() => {
      const first = dataFormat === 'channelsFirst';
      const x = first ? transpose(only(inputs), [0, 2, 3, 1]) : only(inputs);
      const pad = padding === 'same' ? 'same' : 'valid';
      const kernel = layer.kernel.read() as Tensor4D;
      let y: Tensor = conv2d(x as Tensor4D, kernel, layer.strides, pad, 'NHWC', dilationRate);
      if (layer.bias) y = add(y, layer.bias.read());
      if (layer.activation) y = layer.activation.apply(y);
      return first ? transpose(y, [0, 3, 1, 2]) : y;
    });
  });
}
