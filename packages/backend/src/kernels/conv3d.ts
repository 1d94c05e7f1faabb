// Convolutions of volumes in NDHWC: columns of the input's windows, one image of the batch at a time, and
// one matrix product each. Stock misplaces the gradients at strides above 1, and the input gradient at any
// stride where the input is deeper than the filter.
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import {
  Conv3D,
  type Conv3DAttrs,
  Conv3DBackpropFilterV2,
  type Conv3DBackpropFilterV2Attrs,
  Conv3DBackpropInputV2,
  type Conv3DBackpropInputV2Attrs,
  type KernelConfig,
  util,
} from '@tensorflow/tfjs-core';
import type { Pointer } from '@thimble/kernels';
import { address, simd, withScratch } from '../simd.ts';
import { defineKernel, type Tensors, zeros } from '../stock.ts';
import { type Block, type Conv3DInfo, columnSize, conv3DInfo, layOut } from './columns3d.ts';

/** The rows of columns that are laid out at once hold at most so many values, or one row. */
const COLUMN_VALUES = 262_144;

/** y[i,j,k,o] = sum over a,b,c,m of x[i*s+a*d-p, j*s+b*d-p, k*s+c*d-p, m] w[a,b,c,m,o]. */
export const conv3D: KernelConfig = defineKernel<Tensors<'x' | 'filter'>, Conv3DAttrs>(
  Conv3D,
  ({ inputs: { x, filter }, attrs, backend }) => {
    const info = conv3DInfo(x.shape, filter.shape, attrs, attrs.dilations);
    const out = zeros(backend, info.outShape);
    inBlocks(backend, info, (block, columns, gemmScratch) => {
      const { first, rows } = block;
      layOut(backend, x, columns, info, block, false);
      const to = address(backend, out) + first * info.outChannels * 4;
      const [w, depth] = [address(backend, filter), columnSize(info)];
      simd().gemm(columns, w, to, rows, info.outChannels, depth, false, false, false, gemmScratch);
    });
    return out;
  },
);

/** dw[a,b,c,m,o] = sum over n,i,j,k of x[n, i*s+a-p, j*s+b-p, k*s+c-p, m] dy[n,i,j,k,o]. */
export const conv3DBackpropFilter: KernelConfig = defineKernel<
  Tensors<'x' | 'dy'>,
  Conv3DBackpropFilterV2Attrs
>(Conv3DBackpropFilterV2, ({ inputs: { x, dy }, attrs, backend }) => {
  const info = conv3DInfo(x.shape, attrs.filterShape, attrs, 1);
  const out = zeros(backend, attrs.filterShape);
  inBlocks(backend, info, (block, columns, gemmScratch) => {
    const { first, rows } = block;
    layOut(backend, x, columns, info, block, false);
    const from = address(backend, dy) + first * info.outChannels * 4;
    const [dw, depth] = [address(backend, out), columnSize(info)];
    simd().gemm(columns, from, dw, depth, info.outChannels, rows, true, false, true, gemmScratch);
  });
  return out;
});

/** dx[h,w,d,m] = sum of dy[i,j,k,o] w[a,b,c,m,o] over all taps a,b,c with i*s+a-p = h, and so on. */
export const conv3DBackpropInput: KernelConfig = defineKernel<
  Tensors<'dy' | 'filter'>,
  Conv3DBackpropInputV2Attrs
>(Conv3DBackpropInputV2, ({ inputs: { dy, filter }, attrs, backend }) => {
  const info = conv3DInfo(attrs.inputShape, filter.shape, attrs, 1);
  const out = zeros(backend, attrs.inputShape);
  inBlocks(backend, info, (block, columns, gemmScratch) => {
    const { first, rows } = block;
    const from = address(backend, dy) + first * info.outChannels * 4;
    const [w, depth] = [address(backend, filter), columnSize(info)];
    simd().gemm(from, w, columns, rows, depth, info.outChannels, false, true, false, gemmScratch);
    layOut(backend, out, columns, info, block, true);
  });
  return out;
});

/** Calls `use` for block after block of output pixels, with memory for their columns and for the product. */
function inBlocks(
  backend: BackendWasm,
  info: Conv3DInfo,
  use: (block: Block, columns: Pointer, gemmScratch: Pointer) => void,
): void {
  const pixels = util.sizeFromShape(info.outShape.slice(0, 4));
  const size = columnSize(info);
  if (pixels * size * info.outChannels === 0) return;
  const rows = Math.min(pixels, Math.max(1, Math.floor(COLUMN_VALUES / size)));
  const { gemmScratch } = simd();
  const { outChannels } = info;
  const bytes = Math.max(
    gemmScratch(rows, outChannels, size, false),
    gemmScratch(size, outChannels, rows, false),
    gemmScratch(rows, size, outChannels, true),
  );
  withScratch(backend, rows * size * 4 + bytes, (scratch) => {
    for (let first = 0; first < pixels; first += rows) {
      const block = { first, rows: Math.min(rows, pixels - first) };
      use(block, scratch, scratch + rows * size * 4);
    }
  });
}
