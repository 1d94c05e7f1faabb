// tfjs's own convolution layer as a class to extend, and its geometry.
import type * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { ShapeError } from '@thimble/base';

/** What the types of tfjs-layers hide of a convolution. */
export interface ConvInside extends tfl.layers.Layer {
  kernel: tfl.LayerVariable;
  bias: tfl.LayerVariable | null;
  filters: number;
  useBias: boolean;
  activation: { apply(x: tf.Tensor): tf.Tensor } | null;
  strides: [number, number];
  padding: string;
  dilationRate: number | [number, number];
  kernelSize: [number, number];
  kernelInitializer: unknown;
  kernelRegularizer: unknown;
  kernelConstraint: unknown;
  biasInitializer: unknown;
  biasRegularizer: unknown;
  biasConstraint: unknown;
  inputSpec: object[];
}

/** A layer's own way to make weights, which the types give to subclasses only. */
export type AddWeight = (
  name: string,
  shape: readonly number[],
  dtype: undefined,
  initializer: unknown,
  regularizer?: unknown,
  trainable?: boolean,
  constraint?: unknown,
) => tfl.LayerVariable;

export const Conv2D = tfl.layers.conv2d({ name: 'sample', filters: 1, kernelSize: 1 })
  .constructor as new (
  args: object,
) => ConvInside;

/** Zeros around an input of that size, and the size of the output. */
export interface Geometry {
  /** Per axis: before, after. */
  pads: [[number, number], [number, number]];
  output: [number, number];
  strides: [number, number];
  dilations: [number, number];
}

/** How a convolution runs over an input of height and width. */
export function geometryOf(layer: ConvInside, height: number, width: number): Geometry {
  const { kernelSize, strides, padding, dilationRate } = layer;
  const dilations: [number, number] =
    typeof dilationRate === 'number' ? [dilationRate, dilationRate] : dilationRate;
  const axis = (size: number, i: 0 | 1): [before: number, after: number, output: number] => {
    const extent = (kernelSize[i] - 1) * dilations[i] + 1;
    if (padding !== 'same') {
      const output = Math.floor((size - extent) / strides[i]) + 1;
      if (output > 0) return [0, 0, output];
      throw new ShapeError(
        `Layer "${layer.name}": a kernel over ${extent} positions does not fit into ${size}; ` +
          "padding 'same' adds zeros.",
      );
    }
    const output = Math.ceil(size / strides[i]);
    const total = Math.max(0, (output - 1) * strides[i] + extent - size);
    const before = Math.floor(total / 2);
    return [before, total - before, output];
  };
  const [top, bottom, rows] = axis(height, 0);
  const [left, right, columns] = axis(width, 1);
  return {
    pads: [
      [top, bottom],
      [left, right],
    ],
    output: [rows, columns],
    strides,
    dilations,
  };
}

/** The one input of a layer. */
export function onlyInput(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor4D {
  return (Array.isArray(inputs) ? inputs[0]! : inputs) as tf.Tensor4D;
}
