// Products of signs with binary weights, on bits; ops of @thimble/quantization call them by name.
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import type { KernelConfig, TensorInfo } from '@tensorflow/tfjs-core';
import { type ConvAttrs, type ConvInfo, convInfo, isEmpty, sizes } from '../conv-info.ts';
import { matMul } from '../mat-mul.ts';
import { address, simd, withScratch } from '../simd.ts';
import { defineKernel, free, reshaped, type Tensors } from '../stock.ts';
import { conv2D } from './forward-convolution.ts';

type Operands = Tensors<'x' | 'kernel'>;
type Call = { inputs: object; attrs: object; backend: BackendWasm };

/** The product on bits; undefined where x holds more than -1 and 1, or an output's weights more than -a and a. */
function onBits(
  backend: BackendWasm,
  { x, kernel }: Operands,
  info: ConvInfo,
): TensorInfo | undefined {
  const { inHeight, inWidth, inChannels, outChannels, filterHeight, filterWidth } = info;
  const { xnorConv, xnorScratch } = simd();
  const windows = [inChannels, outChannels, filterHeight, filterWidth] as const;
  const y = backend.makeOutput(info.outShape, 'float32');
  let done = 0;
  withScratch(backend, xnorScratch(inHeight, inWidth, ...windows), (work) => {
    const [from, to] = [address(backend, x), address(backend, y)];
    done = xnorConv(from, address(backend, kernel), to, ...sizes(info), work);
  });
  if (done) return y;
  free(backend, y);
  return undefined;
}

/** The convolution of signs with binary weights, [height, width, in, out], padded with zeros. */
const binaryConv2D = defineKernel<Operands, ConvAttrs>(
  'ThimbleBinaryConv2D',
  ({ inputs, attrs, backend }) => {
    const { x, kernel } = inputs;
    const info = convInfo('ThimbleBinaryConv2D', x.shape, kernel.shape, attrs, false);
    const y = isEmpty(info) ? undefined : onBits(backend, inputs, info);
    if (y) return y;
    const run = conv2D.kernelFunc as (call: Call) => TensorInfo;
    return run({ inputs: { x, filter: kernel }, attrs, backend });
  },
);

/** x kernel for signs [rows, in] and binary weights [in, out]: a convolution of single pixels. */
const binaryMatMul = defineKernel<Operands, object>(
  'ThimbleBinaryMatMul',
  ({ inputs: { x, kernel }, backend }) => {
    const [rows, inputs] = x.shape as [number, number];
    const outputs = kernel.shape[1]!;
    const image = reshaped(x, [1, rows, 1, inputs]);
    const filter = reshaped(kernel, [1, 1, inputs, outputs]);
    const attrs = { strides: 1, pad: 'valid' } as const;
    const info = convInfo('ThimbleBinaryMatMul', image.shape, filter.shape, attrs, false);
    const y = isEmpty(info) ? undefined : onBits(backend, { x: image, kernel: filter }, info);
    return y ? reshaped(y, [rows, outputs]) : matMul(backend, x, kernel, false, false);
  },
);

export const xnorKernels: readonly KernelConfig[] = [binaryConv2D, binaryMatMul];
