// Training data in any form as a source of batches. A tensor is read once into a typed array and
// batches are cut from that: tf.gather on the whole tensor is slow (GatherV2) and holds it on the device.
import * as tf from '@tensorflow/tfjs-core';
import { DataError, type Random, ShapeError, sizeOf } from '@thimble/base';
import type { Batch, BatchSource, RawBatch } from './training.ts';

/** Numbers of many examples: a tensor, or a typed array with the examples one after the other. */
export type Values = tf.Tensor | Float32Array | Float64Array | Int32Array | Uint8Array;
type OneOrMore<T> = T | readonly T[];

/**
 * Data for `fit` and `evaluate`: a source of batches, or inputs and labels as tensors or typed arrays
 * (several, in the model's order, where the model has several inputs or outputs).
 */
export type FitData =
  | BatchSource
  | { readonly xs: OneOrMore<Values>; readonly ys: OneOrMore<Values> }
  | { readonly x: OneOrMore<Values>; readonly y: OneOrMore<Values> }
  | { readonly images: Values; readonly labels: Values }
  | readonly [OneOrMore<Values>, OneOrMore<Values>];

/** Shapes of single examples, for typed arrays, which have none of their own. */
export interface ExampleShapes {
  readonly inputs: readonly (number[] | undefined)[];
  readonly outputs: readonly (number[] | undefined)[];
}

/** Examples of one input or output, row after row. */
export interface Column {
  readonly values: Float32Array | Float64Array | Int32Array | Uint8Array;
  readonly dtype: 'float32' | 'int32' | 'bool';
  /** Shape of one example. */
  readonly shape: number[];
}

/** A source made from tensors or typed arrays; its columns can be checked before training. */
export class ColumnSource implements BatchSource {
  readonly size: number;
  readonly xs: Column[];
  readonly ys: Column[];

  constructor(size: number, xs: Column[], ys: Column[]) {
    this.size = size;
    this.xs = xs;
    this.ys = ys;
  }

  batch(indices: ArrayLike<number>): { xs: tf.Tensor[]; ys: tf.Tensor[] } {
    return {
      xs: this.xs.map((column) => takeRows(column, indices)),
      ys: this.ys.map((column) => takeRows(column, indices)),
    };
  }
}

function takeRows({ values, dtype, shape }: Column, indices: ArrayLike<number>): tf.Tensor {
  const width = sizeOf(shape);
  const n = indices.length;
  const rows = dtype === 'float32' ? new Float32Array(n * width) : new Int32Array(n * width);
  for (let i = 0; i < n; i++) {
    const start = indices[i]! * width;
    rows.set(values.subarray(start, start + width), i * width);
  }
  return tf.tensor(rows, [n, ...shape], dtype);
}

function listOf<T>(value: OneOrMore<T>): readonly T[] {
  return Array.isArray(value) ? (value as readonly T[]) : [value as T];
}

function isSource(data: FitData): data is BatchSource {
  return typeof (data as BatchSource).batch === 'function';
}

function partsOf(owner: string, data: Exclude<FitData, BatchSource>) {
  if (Array.isArray(data)) return { xs: listOf(data[0] as Values), ys: listOf(data[1] as Values) };
  const { xs, ys, x, y, images, labels } = data as Record<string, OneOrMore<Values>>;
  const inputs = xs ?? x ?? images;
  const targets = ys ?? y ?? labels;
  if (inputs === undefined || targets === undefined) {
    throw new DataError(
      `${owner}: data must be a source with size and batch(indices), or { xs, ys }, { x, y }, { images, labels } or [xs, ys] of tensors or typed arrays.`,
    );
  }
  const unused = Object.entries(data).find(
    ([name, value]) =>
      !KNOWN.includes(name) && (value instanceof tf.Tensor || ArrayBuffer.isView(value)),
  );
  if (unused) {
    throw new DataError(
      `${owner}: the data has "${unused[0]}", with which nothing would be done. Leave it out; to weigh examples or classes, give a loss of your own, (yTrue, yPred) => tensor, that does.`,
    );
  }
  return { xs: listOf(inputs), ys: listOf(targets) };
}

/** What data may hold. */
const KNOWN = ['xs', 'ys', 'x', 'y', 'images', 'labels'];

async function columnOf(
  owner: string,
  what: string,
  values: Values,
  example: number[] | undefined,
  count: number | undefined,
): Promise<{ count: number; column: Column }> {
  if (values instanceof tf.Tensor) {
    const [size, ...shape] = values.shape;
    if (size === undefined || values.dtype === 'string' || values.dtype === 'complex64') {
      throw new DataError(
        `${owner}: ${what} must be a numeric tensor with the examples along its first axis, not ${values.dtype} of shape [${values.shape}].`,
      );
    }
    const data = (await values.data()) as Column['values'];
    // One number per example is a column, as the outputs of models are.
    const column = { values: data, dtype: values.dtype, shape: shape.length > 0 ? shape : [1] };
    return { count: size, column };
  }
  if (!ArrayBuffer.isView(values)) {
    throw new DataError(`${owner}: ${what} must be a tensor or a typed array.`);
  }
  const dtype = values instanceof Int32Array ? 'int32' : 'float32';
  const width = count === undefined ? sizeOf(example ?? [1]) : values.length / count;
  if (!Number.isInteger(width) || values.length % width !== 0) {
    throw new ShapeError(
      `${owner}: ${what} has ${values.length} numbers, which is no whole number of examples${example ? ` of shape [${example}]` : ''}.`,
    );
  }
  const shape = example && sizeOf(example) === width ? example : [width];
  return { count: values.length / width, column: { values, dtype, shape } };
}

/**
 * Any training data as a source of batches. A source comes back as it is; tensors are read into memory
 * once and stay the caller's. `shapes` tells the shape of one example, for typed arrays.
 *
 * @throws DataError, ShapeError where the data has no such form, its counts disagree, or it holds numbers that
 * would not be used.
 *
 * @example
 * const source = await toSource({ xs: tf.ones([10, 4]), ys: tf.zeros([10, 1]) });
 * source.size; // 10
 */
export async function toSource(
  data: FitData,
  shapes: ExampleShapes = { inputs: [], outputs: [] },
  owner = 'toSource',
): Promise<BatchSource> {
  if (typeof data !== 'object' || data === null) {
    throw new DataError(`${owner}: there is no data.`);
  }
  if (isSource(data)) return data;
  const { xs, ys } = partsOf(owner, data);
  const inputs: Column[] = [];
  const outputs: Column[] = [];
  let size: number | undefined;
  for (const [list, columns, examples, name] of [
    [xs, inputs, shapes.inputs, 'input'],
    [ys, outputs, shapes.outputs, 'labels'],
  ] as const) {
    for (const [i, values] of list.entries()) {
      const what = list.length > 1 ? `${name} ${i}` : name;
      const { count, column } = await columnOf(owner, what, values, examples[i], size);
      if (size !== undefined && count !== size) {
        throw new DataError(
          `${owner}: ${what} has ${count} examples, but input${xs.length > 1 ? ' 0' : ''} has ${size}. They must be equal.`,
        );
      }
      size = count;
      columns.push(column);
    }
  }
  return new ColumnSource(size ?? 0, inputs, outputs);
}

/** At least two axes, as models' inputs and outputs have. Takes the tensor over. */
function asColumn(tensor: tf.Tensor): tf.Tensor {
  if (tensor.rank > 1) return tensor;
  const column = tf.reshape(tensor, [-1, 1]);
  tensor.dispose();
  return column;
}

/** Draws a batch from a source. */
export function drawBatch(source: BatchSource, indices: Uint32Array, random?: Random): Batch {
  const raw: RawBatch = source.batch(indices, random);
  const [xs, ys] = 'xs' in raw ? [raw.xs, raw.ys] : [raw.images, raw.labels];
  return {
    xs: listOf(xs).map(asColumn),
    ys: listOf(ys).map(asColumn),
    indices,
    size: indices.length,
  };
}

/** Disposes of a batch's tensors. */
export function disposeBatch(batch: Batch): void {
  tf.dispose([batch.xs, batch.ys]);
}
