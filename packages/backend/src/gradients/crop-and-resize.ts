// The gradient of cropAndResize by the image, which tfjs does not have; the layer CenterCrop needs it.
import {
  CropAndResize,
  type CropAndResizeAttrs,
  engine,
  type KernelConfig,
  type NamedAttrMap,
  type NamedTensorMap,
  type Tensor,
} from '@tensorflow/tfjs-core';
import { UnsupportedError } from '@thimble/base';
import { defineKernel, floats, type Tensors, zeros } from '../stock.ts';
import { defineGradient, type Gradient } from './override.ts';

const CROP_AND_RESIZE_GRAD = 'ThimbleCropAndResizeGrad';

type Attrs = { imageShape: [number, number, number, number]; method: 'bilinear' | 'nearest' };

/** Where output position i of `out` reads along an axis of `size`, for a box from `start` to `end`. */
function position(start: number, end: number, size: number, out: number, i: number): number {
  return out > 1
    ? start * (size - 1) + (i * (end - start) * (size - 1)) / (out - 1)
    : 0.5 * (start + end) * (size - 1);
}

/** Adds dy to the pixels that were read, with the weights they were read with. */
export const cropAndResizeKernel: KernelConfig = defineKernel<
  Tensors<'dy' | 'boxes' | 'boxInd'>,
  Attrs
>(CROP_AND_RESIZE_GRAD, ({ inputs, attrs: { imageShape, method }, backend }) => {
  const [batch, height, width, channels] = imageShape;
  const [count, outHeight, outWidth] = inputs.dy.shape;
  const dx = zeros(backend, imageShape);
  const [source, boxes, target] = [inputs.dy, inputs.boxes, dx].map((t) => floats(backend, t));
  const images = backend.typedArrayFromHeap(inputs.boxInd);
  const add = (from: number, image: number, row: number, column: number, weight: number): void => {
    if (weight === 0) return;
    const to = ((image * height + row) * width + column) * channels;
    for (let c = 0; c < channels; c++) target[to + c] += source[from + c] * weight;
  };
  for (let n = 0; n < count; n++) {
    const [top, left, bottom, right] = boxes.subarray(n * 4, n * 4 + 4);
    const image = images[n];
    if (image < 0 || image >= batch) continue;
    for (let i = 0; i < outHeight; i++) {
      const y = position(top, bottom, height, outHeight, i);
      if (y < 0 || y > height - 1) continue;
      for (let j = 0; j < outWidth; j++) {
        const x = position(left, right, width, outWidth, j);
        if (x < 0 || x > width - 1) continue;
        const from = ((n * outHeight + i) * outWidth + j) * channels;
        if (method === 'nearest') {
          add(from, image, Math.round(y), Math.round(x), 1);
          continue;
        }
        const [row, column] = [Math.floor(y), Math.floor(x)];
        const [down, along] = [y - row, x - column];
        add(from, image, row, column, (1 - down) * (1 - along));
        add(from, image, row, Math.ceil(x), (1 - down) * along);
        add(from, image, Math.ceil(y), column, down * (1 - along));
        add(from, image, Math.ceil(y), Math.ceil(x), down * along);
      }
    }
  }
  return dx;
});

/** By the image; a gradient by the boxes is an UnsupportedError. */
export const cropAndResizeGradient: Gradient = defineGradient<CropAndResizeAttrs>(
  CropAndResize,
  (dy, saved, { method }) => {
    const [image, boxes, boxInd] = saved as [Tensor, Tensor, Tensor];
    const unsupported = (): never => {
      throw new UnsupportedError(
        'cropAndResize has a gradient by the image only. Compute the boxes from tensors that are not trained.',
      );
    };
    return {
      image: () => {
        const inputs = { dy, boxes, boxInd } as NamedTensorMap;
        const attrs = { imageShape: image.shape, method } as NamedAttrMap;
        return engine().runKernel(CROP_AND_RESIZE_GRAD, inputs, attrs) as Tensor;
      },
      boxes: unsupported,
      boxInd: unsupported,
    };
  },
  { inputsToSave: ['image', 'boxes', 'boxInd'] },
);
