// Data by what the command line calls it.
import { existsSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { DataError, type ProgressOption, readBytes, ShapeError } from '@thimble/base';
import { type BatchSource, data } from 'thimble';
import { UsageError } from '../failure.ts';
import { parseCsv } from './csv.ts';
import { type Examples, limited, sharedNames, sourceFor } from './examples.ts';
import { imageClasses, readImages } from './images.ts';
import { parseNpy } from './npy.ts';

/** What the command line says of data. */
export interface DataOptions {
  data: string;
  validation?: string;
  test?: string;
  /** The column of labels of a table. */
  label?: string;
  /** At most so many examples of each part. */
  limit?: number;
}

/** How data is read. */
export interface Reading {
  progress: ProgressOption;
  signal?: AbortSignal;
}

/** The parts as the model takes them. */
export interface Parts {
  train: BatchSource;
  validation?: BatchSource;
  test?: BatchSource;
  /** Where they come from, in a line. */
  source: string;
  classNames?: string[];
}

/** What is known before data is read. */
interface Known {
  /** Names of the classes, which the training data has said: all others must keep to them. */
  classNames?: readonly string[] | undefined;
  /** What a file of a network calls its classes; data may have other names for them. */
  labels?: readonly string[] | undefined;
  /** Names of the values of an example, which a table of training data has said. */
  columns?: readonly string[] | undefined;
}

interface RawParts {
  train: Examples;
  validation?: Examples;
  test?: Examples;
  /** The test images of a named set, distorted. */
  shifted?(): Promise<Examples>;
}

const SETS = {
  mnist: data.mnist,
  'fashion-mnist': data.fashionMnist,
  kmnist: data.kmnist,
  cifar10: data.cifar10,
} as const;

/** The same data for a program that stands in another folder. */
export function absolute(options: DataOptions): DataOptions {
  const at = (spec: string) => {
    if (spec === 'digits' || Object.hasOwn(SETS, spec)) return spec;
    if (existsSync(spec) || !spec.includes(',')) return resolve(spec);
    return spec
      .split(',')
      .map((path) => resolve(path.trim()))
      .join();
  };
  const { data, validation, test } = options;
  return {
    ...options,
    data: at(data),
    ...(validation === undefined ? {} : { validation: at(validation) }),
    ...(test === undefined ? {} : { test: at(test) }),
  };
}

/** Reads training data and whatever goes with it. `labels`: what the file of the network calls its classes. */
export async function loadParts(
  model: LayersModel,
  options: DataOptions,
  reading: Reading,
  labels?: readonly string[],
): Promise<Parts> {
  const raw = await rawParts(options.data, model, options, reading, { labels });
  const { classNames, columns } = raw.train;
  const other = async (spec: string | undefined) => {
    if (spec === undefined) return undefined;
    const found = await rawParts(spec, model, options, reading, { classNames, columns });
    return found.test ?? found.train;
  };
  const validation = (await other(options.validation)) ?? raw.validation;
  const test = (await other(options.test)) ?? raw.test;
  return {
    train: sourceFor(model, raw.train),
    ...(validation ? { validation: sourceFor(model, validation) } : {}),
    ...(test ? { test: sourceFor(model, test) } : {}),
    source: raw.train.name,
    ...(classNames ? { classNames } : {}),
  };
}

/**
 * Reads examples to evaluate on: the test part, where there is one; and how to get at them distorted. `labels`: what the
 * classes are called in the file of the network.
 */
export async function loadExamples(
  model: LayersModel,
  options: DataOptions,
  reading: Reading,
  labels?: readonly string[],
): Promise<{ source: BatchSource; examples: Examples; shifted?: () => Promise<BatchSource> }> {
  const known: Known = { labels };
  const { train, test, shifted } = await rawParts(options.data, model, options, reading, known);
  const examples = test ?? train;
  return {
    source: sourceFor(model, examples),
    examples,
    ...(shifted ? { shifted: async () => sourceFor(model, await shifted()) } : {}),
  };
}

async function rawParts(
  spec: string,
  model: LayersModel,
  options: DataOptions,
  reading: Reading,
  known: Known = {},
): Promise<RawParts> {
  const { limit } = options;
  const set = Object.hasOwn(SETS, spec) ? SETS[spec as keyof typeof SETS] : undefined;
  if (spec === 'digits' || set) {
    const about = {
      onProgress: reading.progress,
      ...(limit === undefined ? {} : { limit }),
      ...(reading.signal ? { signal: reading.signal } : {}),
    };
    const parts = await (set
      ? set({ ...about, source: 'auto' })
      : data.mnist({ ...about, source: 'synthetic' }));
    if (set && parts.train.synthetic) {
      // Whoever asks for real digits must not get drawn ones.
      throw new DataError(`${spec} is not to be had: ${parts.train.source}.`);
    }
    return ofParts(parts, reading);
  }
  const there = await stat(spec).catch(() => undefined);
  if (!there && spec.includes(',')) return { train: limited(await twoFiles(spec), limit) };
  if (!there) {
    const names = [...Object.keys(SETS), 'digits'].join(', ');
    throw new DataError(
      `There is no file or folder "${spec}", and no data set of that name. Sets: ${names}.`,
    );
  }
  if (there.isFile()) {
    if (!/\.csv$/i.test(spec)) {
      throw new UsageError(
        `"${spec}" alone is no data: give images and labels with a comma between them, or a .csv file.`,
      );
    }
    const text = new TextDecoder().decode((await readBytes(spec))!);
    return { train: limited(parseCsv(text, spec, { label: options.label, ...known }), limit) };
  }
  return readFolder(spec, model, limit, reading, known);
}

async function readFolder(
  folder: string,
  model: LayersModel,
  limit: number | undefined,
  { progress, signal }: Reading,
  { classNames, labels }: Known,
): Promise<RawParts> {
  const names = await readdir(folder);
  const about = { ...(limit === undefined ? {} : { limit }), ...(signal ? { signal } : {}) };
  if (names.some((name) => /idx[13]-ubyte/.test(name))) {
    const parts = await data.mnist({ source: folder, onProgress: progress, ...about });
    return ofParts(parts, { progress, ...(signal ? { signal } : {}) });
  }
  const channels = channelsOf(model);
  const read = async (part: string, known?: readonly string[]) => {
    const classes = await imageClasses(part);
    if (!classes) return undefined;
    const wanted = known ?? sharedNames(labels, classes) ?? numbersOf(classes, model);
    const options = { channels, progress, ...about, ...(wanted ? { classNames: wanted } : {}) };
    return readImages(part, classes, options);
  };
  const inside = (...candidates: string[]) => candidates.find((name) => names.includes(name));
  const trainName = inside('train', 'training');
  const train = await read(trainName ? join(folder, trainName) : folder, classNames);
  if (!train) {
    throw new DataError(
      `${folder} has neither the four IDX files of MNIST nor a folder of PNG or JPEG images for each class.`,
    );
  }
  if (!trainName) return { train };
  const validationName = inside('validation', 'val', 'valid');
  const testName = inside('test');
  const validation = validationName && (await read(join(folder, validationName), train.classNames));
  const test = testName && (await read(join(folder, testName), train.classNames));
  return { train, ...(validation ? { validation } : {}), ...(test ? { test } : {}) };
}

/** Folders that are named by numbers which the model has classes for are these classes, also where some are missing. */
function numbersOf(folders: readonly string[], model: LayersModel): string[] | undefined {
  const outputs = Math.max(2, model.outputs.at(-1)!.shape.at(-1) ?? 1);
  const numbers = Array.from({ length: outputs }, (_, i) => String(i));
  return folders.every((name) => numbers.includes(name)) ? numbers : undefined;
}

/** Channels of the images that a model takes; 1 where it takes a row of values. */
function channelsOf(model: LayersModel): number {
  const shape = model.inputs[0]!.shape.slice(1);
  return shape.length === 3 ? Math.min(4, shape[2] ?? 3) : 1;
}

function ofParts({ train, test }: data.TrainAndTest, { progress, signal }: Reading): RawParts {
  const grey = test.imageShape[2] === 1;
  const about = { onProgress: progress, ...(signal ? { signal } : {}) };
  return {
    train: ofDataset(train),
    test: ofDataset(test),
    ...(grey ? { shifted: async () => ofDataset(await data.distorted(test, about)) } : {}),
  };
}

function ofDataset(set: data.ImageDataset): Examples {
  return {
    name: set.source,
    size: set.size,
    shape: [...set.imageShape],
    row: (index) => set.image(index),
    scale: 1 / 255,
    labels: { values: set.labels, width: 1 },
    classNames: [...set.classNames],
  };
}

/** Images and labels in two files. */
async function twoFiles(spec: string): Promise<Examples> {
  const paths = spec.split(',').map((path) => path.trim());
  if (paths.length !== 2) {
    throw new UsageError(
      `"${spec}": give two files with one comma between them, images and labels.`,
    );
  }
  const [images, labels] = await Promise.all(paths.map(readArray));
  const [size, ...example] = images!.shape;
  const [count, ...label] = labels!.shape;
  if (size === 0) throw new DataError(`${paths[0]} has no examples.`);
  if (size === undefined || count !== size) {
    throw new DataError(
      `${paths[0]} has ${size ?? 0} examples, but ${paths[1]} has ${count ?? 0} labels.`,
    );
  }
  if (label.length > 1) {
    throw new ShapeError(
      `${paths[1]} has the shape [${labels!.shape.join(', ')}]; labels have one axis or two.`,
    );
  }
  const shape = example.length === 2 ? [...example, 1] : example.length === 0 ? [1] : example;
  const width = shape.reduce((product, n) => product * n, 1);
  const { values, isBytes } = images!;
  const part = values as Float32Array;
  return {
    name: basename(paths[0]!),
    size,
    shape,
    row: (index) => part.subarray(index * width, (index + 1) * width),
    scale: isBytes ? 1 / 255 : 1,
    labels: { values: labels!.values, width: label[0] ?? 1 },
  };
}

async function readArray(
  path: string,
): Promise<{ shape: number[]; values: ArrayLike<number>; isBytes: boolean }> {
  const bytes = await readBytes(path);
  if (!bytes) throw new DataError(`There is no file "${path}".`);
  if (/\.npy$/i.test(path)) return parseNpy(bytes, path);
  const { shape, data: values } = await data.parseIdx(bytes, path);
  return { shape, values, isBytes: true };
}
