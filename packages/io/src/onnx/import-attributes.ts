// Attributes of ONNX nodes, checked.
import { FileFormatError, UnsupportedError } from '@thimble/base';
import type { Shape } from '@thimble/graph';
import type { OnnxNode } from './messages.ts';
import { at } from './reader.ts';

export function intOf(node: OnnxNode, name: string, missing: number): number {
  return node.attributes.find((attribute) => attribute.name === name)?.i ?? missing;
}

export function floatOf(node: OnnxNode, name: string, missing: number): number {
  return node.attributes.find((attribute) => attribute.name === name)?.f ?? missing;
}

export function intsOf(node: OnnxNode, name: string): number[] | undefined {
  return node.attributes.find((attribute) => attribute.name === name)?.ints;
}

export function textOf(node: OnnxNode, name: string): string | undefined {
  const text = node.attributes.find((attribute) => attribute.name === name)?.s;
  return text && new TextDecoder().decode(text);
}

/** Throws unless an attribute that is not understood has the value that changes nothing. */
export function requireInt(node: OnnxNode, name: string, wanted: number): void {
  const value = intOf(node, name, wanted);
  if (value === wanted) return;
  throw new UnsupportedError(`${at(node)} has ${name} ${value}; only ${wanted} is read.`);
}

/** Windows over the spatial axes. */
export interface Windows {
  window: number[];
  strides: number[];
  dilations: number[];
  /** 'same' or 'valid', where that is what the paddings are. */
  padding: 'same' | 'valid' | 'explicit';
  before: number[];
  after: number[];
}

const LARGEST = 2 ** 16;

/** The windows of a convolution or pooling node over an image, channels last. */
export function windowsOf(node: OnnxNode, window: number[], { length, ...image }: Shape): Windows {
  const sizes = Object.values(image as Record<number, number | null>).slice(0, -1);
  const list = (name: string, missing: number, count: number, low: number): number[] => {
    const values = intsOf(node, name) ?? [];
    const whole = values.length > 0 ? values : new Array<number>(count).fill(missing);
    const good = (n: number) => Number.isInteger(n) && n >= low && n <= LARGEST;
    if (whole.length === count && whole.every(good)) return whole;
    throw new FileFormatError(
      `${at(node)} has ${name} [${whole}] for ${count / (low === 0 ? 2 : 1)} axes.`,
    );
  };
  const axes = length - 1;
  if (window.length !== axes || axes > 2 || axes < 1) {
    throw new UnsupportedError(
      `${at(node)} has windows over ${window.length} axes of a value with ${axes}; one or two are read.`,
    );
  }
  if (!window.every((n) => Number.isInteger(n) && n >= 1 && n <= LARGEST)) {
    throw new FileFormatError(`${at(node)} has windows of [${window}].`);
  }
  const strides = list('strides', 1, axes, 1);
  const dilations = list('dilations', 1, axes, 1);
  const pads = list('pads', 0, 2 * axes, 0);
  const auto = textOf(node, 'auto_pad') ?? 'NOTSET';
  const made = { window, strides, dilations, before: pads.slice(0, axes), after: pads.slice(axes) };
  if (auto === 'VALID') return { ...made, padding: 'valid' };
  if (auto === 'SAME_UPPER') return { ...made, padding: 'same' };
  if (auto !== 'NOTSET') {
    throw new UnsupportedError(`${at(node)} has the padding ${auto}; write the paddings out.`);
  }
  if (pads.every((n) => n === 0)) return { ...made, padding: 'valid' };
  const same = sizes.every((size, i) => {
    const reach = (window[i]! - 1) * dilations[i]! + 1;
    // With a stride of one the size does not matter.
    if (size === null && strides[i]! > 1) return false;
    const known = size ?? reach;
    const count = Math.ceil(known / strides[i]!);
    const whole = Math.max(0, (count - 1) * strides[i]! + reach - known);
    const first = Math.floor(whole / 2);
    return made.before[i] === first && made.after[i] === whole - first;
  });
  return { ...made, padding: same ? 'same' : 'explicit' };
}

/** The sizes that windows give. */
export function outputSizes(sizes: Shape, { window, strides, dilations, padding }: Windows): Shape {
  return sizes.map((size, i) => {
    if (size === null) return null;
    if (padding === 'same') return Math.ceil(size / strides[i]!);
    return Math.floor((size - (window[i]! - 1) * dilations[i]! - 1) / strides[i]!) + 1;
  });
}
