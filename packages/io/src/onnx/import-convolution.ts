// Convolutions of ONNX: plain, depthwise, and of groups of channels.
import { ShapeError, UnsupportedError } from '@thimble/base';
import type { Constant } from './constants.ts';
import { endingOf } from './import-activations.ts';
import { intOf, outputSizes, windowsOf } from './import-attributes.ts';
import { along, padded, vector } from './import-parts.ts';
import type { OnnxNode } from './messages.ts';
import { at, type OnnxReader, type Value } from './reader.ts';

type Rule = (reader: OnnxReader, node: OnnxNode) => void;

export const convolution: Rule = (reader, node) => {
  const name = node.outputs[0]!;
  const weights = along(reader.constant(node, 1), 0);
  const [filters, depth, ...window] = weights.dims as [number, number, ...number[]];
  const input = reader.first(reader.value(node, 0), `${name}_input`);
  const channels = input.shape.at(-1)!;
  const group = intOf(node, 'group', 1);
  if (!(group >= 1 && depth * group === channels && filters % group === 0)) {
    throw new ShapeError(
      `${at(node)} has kernels [${weights.dims}] in ${group} groups for ${channels} channels.`,
    );
  }
  const windows = windowsOf(node, window, input.shape);
  const image = padded(reader, node, input, windows);
  const sizes = outputSizes(image.shape.slice(0, -1), windows);
  const shape = [...sizes, filters];
  const ending = endingOf(reader, name, shape.length, 1);
  const bias = node.inputs[2] ? vector(reader, node, 2, filters) : undefined;
  const attributes = {
    strides: windows.strides,
    padding: windows.padding === 'same' ? 'same' : 'valid',
    useBias: bias !== undefined,
    ...ending.attributes,
  };
  const { output } = ending;
  const finish = (made: Value) => {
    reader.values.set(output, ending.positive ? { ...made, positive: true } : made);
  };
  const spatial = window.map((_, i) => i + 2);
  if (depth === 1 && group > 1) {
    if (window.length !== 2 || windows.dilations.some((n) => n > 1)) {
      throw new UnsupportedError(
        `${at(node)} is depthwise over one axis or with dilations, which TensorFlow.js has not.`,
      );
    }
    const depthMultiplier = filters / group;
    const kernel = perChannel(weights, depthMultiplier);
    const view = [channels, depthMultiplier, ...window];
    const made = reader.add(
      output,
      {
        op: 'depthwiseConv2d',
        attributes: { ...attributes, kernelSize: window, depthMultiplier },
        inputs: [image],
        shape,
        weights: {
          depthwiseKernel: reader.weight(kernel, view, [2, 3, 0, 1], undefined, 2),
          ...(bias ? { bias: reader.weight(bias) } : {}),
        },
      },
      'first',
    );
    finish(made);
    return;
  }
  const op = window.length === 1 ? 'conv1d' : 'conv2d';
  const dilated = { ...attributes, kernelSize: window, dilationRate: windows.dilations };
  const perm = [...spatial, 1, 0];
  const conv = (as: string, from: Value, kernel: Constant, offset: Constant | undefined): Value => {
    const count = kernel.dims[0]!;
    const parts = {
      op,
      attributes: { ...dilated, filters: count },
      inputs: [from],
      shape: [...sizes, count],
      weights: {
        kernel: reader.weight(kernel, kernel.dims, perm, undefined, perm.length - 1),
        ...(offset ? { bias: reader.weight(offset) } : {}),
      },
    };
    return reader.add(as, parts, 'first');
  };
  if (group === 1) {
    finish(conv(output, image, weights, bias));
    return;
  }
  if (op === 'conv1d' || image.shape.slice(0, -1).includes(null)) {
    throw new UnsupportedError(`${at(node)} has groups of channels over one axis or open sizes.`);
  }
  // As `finalize` writes grouped convolutions: a part of the channels each, put together again.
  const parts = Array.from({ length: group }, (_, g) => {
    const cropping = [
      [0, 0],
      [g * depth, channels - (g + 1) * depth],
    ];
    const from = reader.add(
      `${output}_crop${g}`,
      {
        op: 'cropping2d',
        attributes: { cropping, dataFormat: 'channelsFirst' },
        inputs: [image],
        shape: [...image.shape.slice(0, -1), depth],
      },
      'first',
    );
    const rows = (constant: Constant) => part(constant, g, group);
    return conv(`${output}_group${g}`, from, rows(weights), bias && rows(bias));
  });
  const whole = { op: 'concatenate', attributes: { axis: -1 }, inputs: parts, shape };
  finish(reader.add(output, whole, 'first'));
};

/** Steps for each channel of a depthwise kernel that has them for each of its outputs, where they are equal. */
function perChannel(weights: Constant, multiplier: number): Constant {
  const { steps, ...floats } = weights;
  if (!steps || steps.axis === null || multiplier === 1) return weights;
  const every = <T extends Float32Array | Int32Array>(values: T) =>
    values.filter((_, i) => i % multiplier === 0) as T;
  const [scale, zeroPoint] = [every(steps.scale), every(steps.zeroPoint)];
  const equal = (values: Float32Array | Int32Array, few: Float32Array | Int32Array) =>
    values.every((value, i) => value === few[Math.floor(i / multiplier)]);
  if (!equal(steps.scale, scale) || !equal(steps.zeroPoint, zeroPoint)) return floats;
  return { ...floats, steps: { axis: steps.axis, scale, zeroPoint } };
}

/** One of `count` parts of a constant along its first axis. */
function part({ dims, data, steps }: Constant, index: number, count: number): Constant {
  const cut = <T extends { slice(a: number, b: number): T; length: number }>(values: T): T => {
    const size = values.length / count;
    return values.slice(index * size, (index + 1) * size);
  };
  const sizes = [dims[0]! / count, ...dims.slice(1)];
  const values = cut(data as Float32Array);
  if (!steps) return { dims: sizes, data: values };
  const { axis, scale, zeroPoint } = steps;
  const own = axis === null ? steps : { axis, scale: cut(scale), zeroPoint: cut(zeroPoint) };
  return { dims: sizes, data: values, steps: own };
}
