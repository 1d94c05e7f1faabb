// Kernels that take indices from the user. Stock checks none of them, so it reads and writes outside its
// tensors; here they are checked, then stock does the work.
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import {
  CropAndResize,
  GatherNd,
  type KernelConfig,
  ScatterNd,
  SparseToDense,
  type TensorInfo,
  TensorScatterUpdate,
} from '@tensorflow/tfjs-core';
import { ShapeError } from '@thimble/base';
import { defineKernel, runStock, type Tensors } from '../stock.ts';

type Shaped = { shape: number[]; outputShape: number[] };

/** y[i.., slice..] = x[indices[i..], slice..]; an index outside x is refused. */
export const gatherNd: KernelConfig = guarded<'params' | 'indices', object>(
  GatherNd,
  ({ indices, params }) => [indices, params.shape],
);

/** y[indices[i..], slice..] += updates[i.., slice..]; an index outside y is refused. */
export const scatterNd: KernelConfig = guarded<'indices' | 'updates', Shaped>(
  ScatterNd,
  ({ indices }, { shape }) => [indices, shape],
);

/** y[indices[i..], slice..] = updates[i.., slice..], elsewhere y = x; an index outside x is refused. */
export const tensorScatterUpdate: KernelConfig = guarded<'tensor' | 'indices' | 'updates', object>(
  TensorScatterUpdate,
  ({ indices, tensor }) => [indices, tensor.shape],
);

/** y[indices[i..]] = values[i], elsewhere the default; an index outside y is refused. */
export const sparseToDense: KernelConfig = guarded<
  'sparseIndices' | 'sparseValues' | 'defaultValue',
  Shaped
>(SparseToDense, ({ sparseIndices }, { outputShape }) => [sparseIndices, outputShape]);

/** Parts of images, resized; the number of an image that is not in the batch is refused. */
export const cropAndResize: KernelConfig = guarded<'image' | 'boxes' | 'boxInd', object>(
  CropAndResize,
  ({ boxInd, image }) => [boxInd, image.shape],
);

/** The stock kernel behind a check of the indices that `find` names, for a tensor of the shape it names. */
function guarded<Names extends string, Attrs extends object>(
  name: string,
  find: (inputs: Tensors<Names>, attrs: Attrs) => [indices: TensorInfo, shape: readonly number[]],
): KernelConfig {
  return defineKernel<Tensors<Names>, Attrs>(name, ({ inputs, attrs, backend }) => {
    const [indices, shape] = find(inputs, attrs);
    checkIndices(backend, name, indices, shape);
    return runStock(backend, name, inputs, attrs);
  });
}

function checkIndices(
  backend: BackendWasm,
  name: string,
  indices: TensorInfo,
  shape: readonly number[],
): void {
  const values = backend.typedArrayFromHeap(indices);
  const parts = indices.shape.length > 1 ? (indices.shape.at(-1) as number) : 1;
  for (let i = 0; i < values.length; i++) {
    const index = values[i] as number;
    const axis = i % parts;
    if (index < 0 || index >= (shape[axis] ?? 0)) {
      throw new ShapeError(
        `${name}: index ${index} is outside axis ${axis} of a tensor of shape [${shape}].`,
      );
    }
  }
}
