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

/** A weight in a workspace, as float32 or as codes of a byte each; its mask is not made. */
export class StoredWeight implements GraphWeight {
  readonly encoding: Encoding;
  readonly codes: CodeBytes | undefined;
  readonly #at: Address;
  readonly #work: Workspace;
  #data: Float32Array | undefined;

  constructor(encoding: Encoding, stored: Address | CodeBytes, work: Workspace) {
    this.encoding = encoding;
    this.codes = typeof stored === 'number' ? undefined : stored;
    this.#at = typeof stored === 'number' ? stored : stored.at;
    this.#work = work;
  }

  /** Where its values are as float32; those of codes are made behind all else. */
  place(): Address {
    if (!this.codes) return this.#at;
    const { shape, values } = this.encoding;
    const at = wordsOf(this.codes, this.#work);
    toValues(this.#work, at, shape, values as Affine);
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

/** Codes of a word each, of codes of a byte each. */
export function wordsOf({ at, size, low }: CodeBytes, work: Workspace): Address {
  const words = work.take(4 * size);
  work.kernels.packedSymbols(at, 8, words, size, low, 256);
  return words;
}
