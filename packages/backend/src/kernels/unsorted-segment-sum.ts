import {
  type KernelConfig,
  type TensorInfo,
  UnsortedSegmentSum,
  type UnsortedSegmentSumAttrs,
  util,
} from '@tensorflow/tfjs-core';
import { ShapeError } from '@thimble/base';
import { type Call, defineKernel, type Tensors } from '../stock.ts';

/**
 * out[s] = sum of the x[i] whose segmentIds[i] = s: the gradient of gather and of embeddings. Stock wasm
 * lacks it. Ids outside 0 ... numSegments - 1 are left out, as on the cpu backend.
 */
export const unsortedSegmentSum: KernelConfig = defineKernel<
  Tensors<'x' | 'segmentIds'>,
  UnsortedSegmentSumAttrs
>(UnsortedSegmentSum, run);

function run({
  inputs: { x, segmentIds },
  attrs: { numSegments },
  backend,
}: Call<Tensors<'x' | 'segmentIds'>, UnsortedSegmentSumAttrs>): TensorInfo {
  const [rows, ...rest] = x.shape;
  if (segmentIds.shape.length !== 1 || segmentIds.shape[0] !== rows) {
    throw new ShapeError(
      `unsortedSegmentSum: segmentIds must have one id for each of the ${rows} rows, not shape [${segmentIds.shape}].`,
    );
  }
  const out = backend.makeOutput([numSegments, ...rest], x.dtype);
  const values = backend.typedArrayFromHeap(x);
  const ids = backend.typedArrayFromHeap(segmentIds);
  const sums = backend.typedArrayFromHeap(out).fill(0);
  const size = util.sizeFromShape(rest);
  if (size === 1) {
    for (let row = 0; row < ids.length; row++) {
      const id = ids[row] as number;
      if (id >= 0 && id < numSegments) (sums[id] as number) += values[row] as number;
    }
    return out;
  }
  for (let row = 0; row < ids.length; row++) {
    const id = ids[row] as number;
    if (id < 0 || id >= numSegments) continue;
    let target = id * size;
    for (let i = row * size; i < (row + 1) * size; i++) {
      (sums[target++] as number) += values[i] as number;
    }
  }
  return out;
}
