// A weight in the memory in which a file is decoded.
import { type Encoding, sizeOf, type ValueCode } from '@thimble/base';
import type { GraphWeight } from '@thimble/graph';
import { toValues } from './values.ts';
import type { Address, Workspace } from './workspace.ts';

type Affine = Extract<ValueCode, { type: 'affine' }>;

/** Codes of a byte each: how much more than `low` they are; none is above `most`. */
export interface CodeBytes {
  at: Address;
  size: number;
  low: number;
  most: number;
}

/** Values as float32 at ascending places; all others are 0. */
export interface KeptValues {
  places: Address;
  kept: Address;
  count: number;
}

/** What a workspace holds of a weight: all values as float32, or what they can be made of. */
export type Stored = { at: Address } | { codes: CodeBytes } | { entries: KeptValues };

/** A weight in a workspace; its mask is not made. */
export class StoredWeight implements GraphWeight {
  readonly encoding: Encoding;
  readonly codes?: CodeBytes;
  readonly entries?: KeptValues;
  readonly #at?: Address;
  readonly #work: Workspace;
  #data: Float32Array | undefined;

  constructor(encoding: Encoding, stored: Stored, work: Workspace) {
    this.encoding = encoding;
    if ('codes' in stored) this.codes = stored.codes;
    else if ('entries' in stored) this.entries = stored.entries;
    else this.#at = stored.at;
    this.#work = work;
  }

  /** Where all its values are as float32; those that are not there are made behind all else. */
  place(): Address {
    const { shape, values } = this.encoding;
    const work = this.#work;
    if (this.entries) return scattered(this.entries, sizeOf(shape), work);
    if (!this.codes) return this.#at!;
    const at = wordsOf(this.codes, work);
    toValues(work, at, shape, values as Affine);
    return at;
  }

  /** The values in memory of their own, made when they are first asked for. */
  get data(): Float32Array {
    const work = this.#work;
    const { mark } = work;
    this.#data ??= work.floats(this.place(), sizeOf(this.encoding.shape));
    work.rewind(mark);
    return this.#data;
  }
}

function scattered({ places, kept, count }: KeptValues, size: number, work: Workspace): Address {
  const at = work.zeros(4 * size);
  work.kernels.scatter(places, kept, count, at);
  return at;
}

/** Codes of a word each, of codes of a byte each. */
export function wordsOf({ at, size, low }: CodeBytes, work: Workspace): Address {
  const words = work.take(4 * size);
  work.kernels.packedSymbols(at, 8, words, size, low, 256);
  return words;
}
