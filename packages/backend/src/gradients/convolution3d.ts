// Convolutions in three dimensions. Stock has no gradient of conv3dTranspose and refuses dilations. A
// dilated filter is a larger one with zeros between its values, so its gradients are those of that
// filter.
import {
  Conv3D,
  type Conv3DAttrs,
  Conv3DBackpropFilterV2,
  Conv3DBackpropInputV2,
  type Conv3DBackpropInputV2Attrs,
  conv3d,
  engine,
  type NamedAttrMap,
  pad,
  reshape,
  slice,
  stridedSlice,
  type Tensor,
  type Tensor5D,
} from '@tensorflow/tfjs-core';
import { defineGradient, type Gradient } from './override.ts';

type Window = Pick<Conv3DAttrs, 'strides' | 'pad'>;
type Rates = readonly [number, number, number];

function run(kernelName: string, inputs: Record<string, Tensor>, attrs: object): Tensor {
  return engine().runKernel(kernelName, inputs, attrs as NamedAttrMap) as Tensor;
}

function ratesOf(dilations: unknown): Rates {
  const rates = dilations ?? 1;
  return typeof rates === 'number' ? [rates, rates, rates] : (rates as Rates);
}

/** The filter with rate - 1 zeros between neighbours. */
function widen(filter: Tensor, rates: Rates): Tensor {
  return rates.reduce((wide, rate, axis) => {
    if (rate === 1) return wide;
    const { shape } = wide;
    const size = shape[axis] as number;
    const before = shape.slice(0, axis).reduce((a, b) => a * b, 1);
    const flat = reshape(wide, [before, size, 1, -1]);
    const apart = pad(flat, [
      [0, 0],
      [0, 0],
      [0, rate - 1],
      [0, 0],
    ]);
    const length = (size - 1) * rate + 1;
    const rows = reshape(apart, [before, size * rate, -1]);
    const cut = slice(rows, [0, 0, 0], [before, length, -1]);
    return reshape(
      cut,
      shape.map((old, i) => (i === axis ? length : old)),
    );
  }, filter);
}

/** Forward y = x * w; backward dx and dw are the adjoints in x and in w. */
export const conv3dGradient: Gradient = defineGradient<Conv3DAttrs>(
  Conv3D,
  (dy, saved, { strides, pad: padding, dilations }) => {
    const [x, filter] = saved as [Tensor, Tensor];
    const rates = ratesOf(dilations);
    const window = { strides, pad: padding };
    return {
      x: () => inputGradient(dy, widen(filter, rates), x.shape, window),
      filter: () => {
        const dilated = filter.shape.map((size, i) => (i < 3 ? (size - 1) * rates[i] + 1 : size));
        const wide = filterGradient(x, dy, dilated, window);
        if (rates.every((rate) => rate === 1)) return wide;
        return stridedSlice(wide, [0, 0, 0, 0, 0], dilated, [...rates, 1, 1]);
      },
    };
  },
);

/** conv3dTranspose is dx above, which is linear in dy and in w. */
export const conv3dTransposeGradient: Gradient = defineGradient<Conv3DBackpropInputV2Attrs>(
  Conv3DBackpropInputV2,
  (dx, saved, { strides, pad: padding }) => {
    const [dy, filter] = saved as [Tensor, Tensor5D];
    return {
      dy: () => conv3d(dx as Tensor5D, filter, strides, padding as 'same' | 'valid'),
      filter: () => filterGradient(dx, dy, filter.shape, { strides, pad: padding as 'same' }),
    };
  },
  { inputsToSave: ['dy', 'filter'] },
);

function inputGradient(dy: Tensor, filter: Tensor, inputShape: number[], attrs: Window): Tensor {
  return run(Conv3DBackpropInputV2, { dy, filter }, { ...attrs, inputShape });
}

function filterGradient(x: Tensor, dy: Tensor, filterShape: number[], attrs: Window): Tensor {
  return run(Conv3DBackpropFilterV2, { x, dy }, { ...attrs, filterShape });
}
