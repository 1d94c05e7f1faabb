// Examples from any source, before a model has said what it takes.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { DataError, ShapeError, sizeOf, UnsupportedError } from '@thimble/base';
import type { BatchSource } from 'thimble';

/** Examples with their labels. */
export interface Examples {
  /** What they are called in messages, for example the name of a file. */
  name: string;
  size: number;
  /** Of one example: [height, width, channels] of images, [columns] of tables. */
  shape: number[];
  /** The values of one example, to be multiplied by `scale`. */
  row(index: number): ArrayLike<number>;
  scale: number;
  /** A class number or a figure for each example, or several figures for each. */
  labels: { values: ArrayLike<number>; width: number };
  /** Names of the classes, where labels are class numbers. */
  classNames?: string[];
  /** True where the names come from these examples alone, and so do the numbers: in the order of the names. */
  numberedHere?: boolean;
  /** Names of the values of an example, where a table has them. */
  columns?: string[];
}

/**
 * The class number of each example, where labels tell one: as a number, or as a row of zeros and a single one; of a
 * network with one output that is a probability as 0 or 1.
 */
export function classNumbers(
  { size, labels: { values, width } }: Examples,
  outputs: number,
  probability: boolean,
): number[] | undefined {
  const all = Array.from({ length: size * width }, (_, i) => values[i]!);
  if (width === 1 && (outputs > 1 || (probability && all.every(isBit)))) return all;
  if (width === 1) return undefined;
  const rows = Array.from({ length: size }, (_, i) => all.slice(i * width, (i + 1) * width));
  const single = rows.every(
    (row) => row.every(isBit) && row.indexOf(1) >= 0 && row.indexOf(1) === row.lastIndexOf(1),
  );
  return single ? rows.map((row) => row.indexOf(1)) : undefined;
}

const isBit = (value: number) => value === 0 || value === 1;

/**
 * Throws where numbers were given to names of classes of which the network has more, so that they may not be its own.
 *
 * @throws {DataError} saying what would tell the numbers.
 */
export function checkNumbers(
  { name, classNames = [], numberedHere = false }: Examples,
  outputs: number,
): void {
  const classes = Math.max(2, outputs);
  if (!numberedHere || classNames.length >= classes) return;
  const few = classNames.slice(0, 20).join(', ');
  throw new DataError(
    `${name} has ${classNames.length} of ${classes} classes (${few}), and the file of the network does not say what its ` +
      `classes are called. Give examples of all classes, labels that are numbers from 0 to ${classes - 1}, or a .thimble ` +
      'file with the names (thimble compress keeps them).',
  );
}

/** The first so many examples. */
export function limited(examples: Examples, limit: number | undefined): Examples {
  return limit === undefined ? examples : { ...examples, size: Math.min(limit, examples.size) };
}

/** What a file calls the classes, if the data calls any of them the same. */
export function sharedNames(
  labels: readonly string[] | undefined,
  names: readonly string[],
): readonly string[] | undefined {
  return labels?.some((label) => names.includes(label)) ? labels : undefined;
}

/**
 * The examples as a model takes them: images as they are or as one row, class numbers as one-hot labels.
 *
 * @throws {ShapeError} where sizes differ, with both; {DataError} for a class that the model has no output for.
 */
export function sourceFor(model: LayersModel, examples: Examples): BatchSource {
  const [input, ...others] = model.inputs;
  if (others.length > 0 || !input) {
    throw new UnsupportedError(
      `The model has ${model.inputs.length} inputs; the command line gives one. Use the library for it.`,
    );
  }
  const wanted = input.shape.slice(1);
  checkShape(examples, wanted);
  const shape = wanted.includes(null) ? examples.shape : (wanted as number[]);
  const outputs = model.outputs[0]!.shape.at(-1) ?? 1;
  const targets = targetsFor(examples, outputs);
  const size = sizeOf(shape);
  return {
    size: examples.size,
    batch(indices) {
      const n = indices.length;
      const xs = new Float32Array(n * size);
      const ys = new Float32Array(n * outputs);
      for (let i = 0; i < n; i++) {
        const row = examples.row(indices[i]!);
        for (let k = 0; k < size; k++) {
          xs[i * size + k] = finite(examples, indices[i]!, row[k]!) * examples.scale;
        }
        targets(indices[i]!, ys, i * outputs);
      }
      return { xs: tf.tensor(xs, [n, ...shape]), ys: tf.tensor(ys, [n, outputs]) };
    },
  };
}

function checkShape({ name, shape }: Examples, wanted: readonly (number | null)[]): void {
  const same =
    shape.length === wanted.length && shape.every((n, i) => wanted[i] === null || wanted[i] === n);
  const flat = wanted.length === 1 && (wanted[0] === null || wanted[0] === sizeOf(shape));
  const unflat =
    shape.length === 1 && !wanted.includes(null) && sizeOf(wanted as number[]) === shape[0];
  if (same || flat || unflat) return;
  if (shape.length === 3) {
    throw new ShapeError(
      `The images of ${name} are ${imageText(shape)}; the model takes ${imageText(wanted)}. Resize the images, or use ` +
        'a model for their size.',
    );
  }
  throw new ShapeError(
    `The examples of ${name} have the shape [${shape.join(', ')}]; the model takes [${wanted.map((n) => n ?? '?').join(', ')}].`,
  );
}

/** "28 x 28 with 1 channel" */
function imageText(shape: readonly (number | null)[]): string {
  if (shape.length !== 3) return `${shape.map((n) => n ?? '?').join(' x ')} values`;
  const [height, width, channels] = shape.map((n) => n ?? '?');
  return `${height} x ${width} with ${channels} channel${channels === 1 ? '' : 's'}`;
}

function finite({ name }: Pick<Examples, 'name'>, index: number, value: number): number {
  if (Number.isFinite(value)) return value;
  throw new DataError(`${name}: example ${index} has ${value}. Remove or replace such examples.`);
}

type Target = (index: number, into: Float32Array, at: number) => void;

/** Writes the label of an example as the model's output is. */
function targetsFor({ name, size, labels: { values, width } }: Examples, outputs: number): Target {
  if (width === outputs) {
    return (index, into, at) => {
      for (let k = 0; k < width; k++) {
        into[at + k] = finite({ name }, index, values[index * width + k]!);
      }
    };
  }
  if (width !== 1) {
    throw new ShapeError(
      `${name} has ${width} labels an example; the model gives ${outputs} outputs.`,
    );
  }
  for (let i = 0; i < size; i++) {
    const label = values[i]!;
    if (Number.isInteger(label) && label >= 0 && label < outputs) continue;
    throw new DataError(
      `${name}: example ${i} has the label ${label}; the model has ${outputs} outputs, so labels are whole numbers ` +
        `from 0 to ${outputs - 1}.`,
    );
  }
  return (index, into, at) => {
    into[at + values[index]!] = 1;
  };
}
