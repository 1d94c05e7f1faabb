// The morphological dilation of an image and its gradients. Stock takes 1.2e-38 for a maximum below 0.
import {
  backend_util,
  Dilation2D,
  type Dilation2DAttrs,
  Dilation2DBackpropFilter,
  Dilation2DBackpropInput,
  type KernelConfig,
  type TensorInfo,
} from '@tensorflow/tfjs-core';
import { type Call, defineKernel, type Tensors } from '../stock.ts';

type Numbers = Float32Array | Int32Array | Uint8Array;
type Inputs = Tensors<'x' | 'filter'> & { dy?: TensorInfo };

/** y[i,j,c] = max over a,b of x[i*s + a*d - p, j*s + b*d - p, c] + w[a,b,c]; NaN where one is NaN. */
export const dilation2D: KernelConfig = define(
  Dilation2D,
  (_, shape) => shape,
  (y, at, value) => {
    y[at.y] = value;
  },
);

/** dx[the place in x of the first maximum] += dy. */
export const dilation2DBackpropInput: KernelConfig = define(
  Dilation2DBackpropInput,
  ({ x }) => x.shape,
  (dx, { x, y }, _, dy) => {
    if (x >= 0) (dx[x] as number) += dy[y] as number;
  },
);

/** dw[the place in w of the first maximum] += dy. */
export const dilation2DBackpropFilter: KernelConfig = define(
  Dilation2DBackpropFilter,
  ({ filter }) => filter.shape,
  (dw, { filter, y }, _, dy) => {
    if (filter >= 0) (dw[filter] as number) += dy[y] as number;
  },
);

/** The places of a maximum; in x and in the filter -1 where the window holds nothing. */
interface At {
  y: number;
  x: number;
  filter: number;
}

function define(
  name: string,
  shapeOf: (inputs: Inputs, shape: number[]) => number[],
  put: (out: Numbers, at: At, value: number, dy: Numbers) => void,
): KernelConfig {
  return defineKernel<Inputs, Dilation2DAttrs>(name, ({ inputs, attrs, backend }) => {
    const info = geometry({ inputs, attrs, backend });
    const out = backend.makeOutput(shapeOf(inputs, info.outShape), inputs.x.dtype);
    const [x, filter, to, dy] = [inputs.x, inputs.filter, out, inputs.dy ?? inputs.x].map(
      (tensor) => backend.typedArrayFromHeap(tensor),
    ) as [Numbers, Numbers, Numbers, Numbers];
    to.fill(0);
    forMaxima(x, filter, info, (at, value) => put(to, at, value, dy));
    return out;
  });
}

function geometry({ inputs, attrs }: Call<Inputs, Dilation2DAttrs>): backend_util.Conv2DInfo {
  return backend_util.computeDilation2DInfo(
    inputs.x.shape as [number, number, number, number],
    inputs.filter.shape as [number, number, number],
    attrs.strides,
    attrs.pad,
    'NHWC',
    attrs.dilations,
  );
}

function forMaxima(
  x: Numbers,
  filter: Numbers,
  info: backend_util.Conv2DInfo,
  use: (at: At, value: number) => void,
): void {
  const { batchSize, inHeight, inWidth, inChannels, outHeight, outWidth, padInfo } = info;
  const { filterHeight, filterWidth, strideHeight, strideWidth } = info;
  const { dilationHeight, dilationWidth } = info;
  let y = 0;
  for (let n = 0; n < batchSize; n++) {
    for (let i = 0; i < outHeight; i++) {
      for (let j = 0; j < outWidth; j++) {
        for (let c = 0; c < inChannels; c++) {
          const at = { y: y++, x: -1, filter: -1 };
          let best = Number.NEGATIVE_INFINITY;
          for (let a = 0; a < filterHeight; a++) {
            const h = i * strideHeight + a * dilationHeight - padInfo.top;
            if (h < 0 || h >= inHeight) continue;
            for (let b = 0; b < filterWidth; b++) {
              const w = j * strideWidth + b * dilationWidth - padInfo.left;
              if (w < 0 || w >= inWidth) continue;
              const source = ((n * inHeight + h) * inWidth + w) * inChannels + c;
              const tap = (a * filterWidth + b) * inChannels + c;
              const value = (x[source] as number) + (filter[tap] as number);
              if (value > best || at.x < 0 || (Number.isNaN(value) && !Number.isNaN(best))) {
                best = value;
                at.x = source;
                at.filter = tap;
              }
            }
          }
          use(at, best);
        }
      }
    }
  }
}
