// Parts that several operations of ONNX are read with.
import { FileFormatError, ShapeError, UnsupportedError } from '@thimble/base';
import type { Constant } from './constants.ts';
import type { Windows } from './import-attributes.ts';
import type { OnnxNode } from './messages.ts';
import { at, type OnnxReader, type Value } from './reader.ts';

/** The constant, without its steps where they are not along `axis`. */
export function along(constant: Constant, axis: number): Constant {
  const { steps, ...floats } = constant;
  return steps && steps.axis !== null && steps.axis !== axis ? floats : constant;
}

/** A bias or another vector of `size` numbers. */
export function vector(reader: OnnxReader, node: OnnxNode, index: number, size: number): Constant {
  const { data } = reader.constant(node, index);
  if (data.length !== size) {
    throw new ShapeError(`${at(node)} has ${data.length} numbers for ${size} channels.`);
  }
  return { dims: [size], data };
}

/** The input with its paddings written out by a layer, where a convolution cannot have them. */
export function padded(reader: OnnxReader, node: OnnxNode, input: Value, windows: Windows): Value {
  if (windows.padding !== 'explicit') return input;
  return zeroPadded(reader, node, input, windows.before, windows.after);
}

/** An image with zeros around it. */
export function zeroPadded(
  reader: OnnxReader,
  node: OnnxNode,
  input: Value,
  before: number[],
  after: number[],
): Value {
  if (before.length !== 2) {
    throw new UnsupportedError(
      `${at(node)} pads one axis by [${before}] and [${after}]; TensorFlow.js has valid and same padding there.`,
    );
  }
  const { code, ...plain } = input;
  const padding = before.map((n, i) => [n, after[i]!]);
  const [rows, columns, channels] = input.shape as [number, number, number];
  const sizes = [rows, columns].map((n, i) => (n === null ? null : n + before[i]! + after[i]!));
  const parts = {
    op: 'zeroPadding2d',
    attributes: { padding },
    inputs: [plain],
    shape: [...sizes, channels],
  };
  const made = reader.add(`${node.outputs[0]}_padded`, parts, 'first');
  return code ? { ...made, code } : made; // rounding keeps zeros
}

/** Throws where a constant that is wanted is no list of whole numbers. */
export function wholeNumbers(node: OnnxNode, { data }: Constant): number[] {
  const values = Array.from(data);
  if (values.every((value) => Number.isInteger(value))) return values;
  throw new FileFormatError(`${at(node)} has [${values.slice(0, 8)}] where whole numbers belong.`);
}
