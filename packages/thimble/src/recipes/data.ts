// Training, validation and test data from whatever `compress` is given.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkOptions, DataError, Random } from '@thimble/base';
import { type BatchSource, exampleShapes, type FitData, rowsOf, toSource } from '@thimble/core';

/** Data for `compress`. */
export interface CompressParts {
  /** What the steps train on. */
  train: FitData;
  /** What choices are made by; default a tenth of the training data, which is then not trained on. */
  validation?: FitData;
  /** What is looked at once, when all is done. */
  test?: FitData;
}

/** Training data alone, or its parts. */
export type CompressData = FitData | CompressParts;

/** The parts as sources of batches. */
export interface Sources {
  train: BatchSource;
  validation: BatchSource;
  test: BatchSource | undefined;
}

const HELD_OUT = 0.1;

/** A data set that divides itself, as those of `@thimble/data` do, class by class. */
interface Divisible extends BatchSource {
  split(part: number, seed: number | string): [BatchSource, BatchSource];
}

export async function sourcesOf(
  owner: string,
  model: LayersModel,
  data: CompressData,
  seed: number | string,
): Promise<Sources> {
  if (typeof data !== 'object' || data === null) throw new DataError(`${owner}: there is no data.`);
  const parts: CompressParts = 'train' in data ? data : { train: data };
  if (parts !== data) return resolve(owner, model, parts, seed);
  checkOptions(`${owner}: data`, parts, ['train', 'validation', 'test']);
  return resolve(owner, model, parts, seed);
}

async function resolve(
  owner: string,
  model: LayersModel,
  { train, validation, test }: CompressParts,
  seed: number | string,
): Promise<Sources> {
  const shapes = exampleShapes(model);
  const source = (each: FitData, name: string) => toSource(each, shapes, `${owner}: ${name}`);
  const all = await source(train, 'train');
  const [rest, held] = validation
    ? [all, await source(validation, 'validation')]
    : heldOut(owner, all, seed);
  return { train: rest, validation: held, test: test && (await source(test, 'test')) };
}

/** All but a tenth of the examples, and that tenth. */
function heldOut(
  owner: string,
  source: BatchSource,
  seed: number | string,
): [BatchSource, BatchSource] {
  const size = Math.round(HELD_OUT * source.size);
  if (size < 1) {
    throw new DataError(
      `${owner}: ${source.size} examples are too few to hold some out for validation. Give data.validation.`,
    );
  }
  if (typeof (source as Divisible).split === 'function') {
    return (source as Divisible).split(HELD_OUT, seed);
  }
  const order = new Random(seed, 'validation').permutation(source.size);
  return [rowsOf(source, order.slice(size)), rowsOf(source, order.slice(0, size))];
}
