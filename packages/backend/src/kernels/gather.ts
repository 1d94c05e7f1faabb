// Stock reads beyond its input with batchDims above 0, and copies value by value.
import {
  backend_util,
  GatherV2,
  type GatherV2Attrs,
  type KernelConfig,
  util,
} from '@tensorflow/tfjs-core';
import { ShapeError } from '@thimble/base';
import { address, simd } from '../simd.ts';
import { defineKernel, type Tensors } from '../stock.ts';

/**
 * out[batch.., outer.., index.., slice..] = x[batch.., outer.., indices[batch.., index..], slice..], where
 * the `batchDims` first axes are the batch and `axis` is the one looked up.
 *
 * @throws ShapeError for an index outside the axis.
 */
export const gather: KernelConfig = defineKernel<Tensors<'x' | 'indices'>, GatherV2Attrs>(
  GatherV2,
  ({ inputs: { x, indices }, attrs, backend }) => {
    const axis = util.parseAxisParam(attrs.axis, x.shape)[0] as number;
    const { batchSize, outerSize, dimSize, sliceSize, outputShape } =
      backend_util.segment_util.collectGatherOpShapeInfo(x, indices, axis, attrs.batchDims ?? 0);
    const { firstOutside, gatherBlocks } = simd();
    const size = util.sizeFromShape(indices.shape);
    const list = address(backend, indices);
    const outside = firstOutside(list, size, dimSize);
    if (outside >= 0) {
      const index = backend.typedArrayFromHeap(indices)[outside];
      throw new ShapeError(
        `gather: index ${index} (number ${outside} of the indices) is outside axis ${axis} of the input [${x.shape}], ` +
          `which has ${dimSize} entries: 0 to ${dimSize - 1}.`,
      );
    }
    const out = backend.makeOutput(outputShape, x.dtype);
    const [from, to] = [address(backend, x), address(backend, out)];
    const bytes = sliceSize * util.bytesPerElement(x.dtype);
    const count = size / batchSize;
    for (let batch = 0; batch < batchSize; batch++) {
      for (let outer = 0; outer < outerSize; outer++) {
        const block = (batch * outerSize + outer) * bytes;
        const at = list + batch * count * 4;
        gatherBlocks(from + block * dimSize, at, to + block * count, count, bytes);
      }
    }
    return out;
  },
);
