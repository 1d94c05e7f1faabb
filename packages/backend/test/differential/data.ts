// What the cases draw from: shapes, and tensors of several kinds of values.
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { values } from '../helpers.ts';

/** A tensor as plain data. */
export interface Input {
  shape: number[];
  data: ArrayLike<number>;
  dtype: 'float32' | 'int32' | 'bool';
  /** Whether its gradient is computed. */
  learned: boolean;
}

/** Kinds of float32 values. `ties` are small whole numbers, so with zeros; `special` has NaN and infinities. */
export type Kind = 'plain' | 'ties' | 'negative' | 'positive' | 'distinct' | 'special';

const ODD = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, -0, 1e10];

/** Seeded values of a kind. */
export function fill(shape: number[], seed: number, kind: Kind = 'plain'): Float32Array {
  const plain = values(shape, seed);
  switch (kind) {
    case 'plain':
      return plain;
    case 'ties':
      return values(shape, seed, 4);
    case 'negative':
      return plain.map((value) => -0.1 - Math.abs(value));
    case 'positive':
      return plain.map((value) => 0.1 + Math.abs(value));
    case 'distinct': {
      const order = [...plain.keys()].sort((i, j) => (plain[i] as number) - (plain[j] as number));
      const ranks = new Float32Array(plain.length);
      for (const [rank, at] of order.entries()) ranks[at] = rank / 4 - 2;
      return ranks;
    }
    case 'special':
      return plain.map((value, i) =>
        i % 3 === seed % 3 ? (ODD[(i + seed) % ODD.length] as number) : value * 3,
      );
  }
}

/** A float32 tensor with a gradient. */
export function floats(shape: number[], seed: number, kind: Kind = 'plain'): Input {
  return { shape, data: fill(shape, seed, kind), dtype: 'float32', learned: true };
}

/** The same tensor, without a gradient. */
export function fixed(input: Input): Input {
  return { ...input, learned: false };
}

/** An int32 tensor of whole numbers from `low` to below `high`. */
export function ints(shape: number[], seed: number, low: number, high: number): Input {
  const data = values(shape, seed).map((value) =>
    Math.min(high - 1, low + Math.floor(((value + 1) / 2) * (high - low))),
  );
  return { shape, data, dtype: 'int32', learned: false };
}

/** A bool tensor. */
export function bools(shape: number[], seed: number): Input {
  const data = values(shape, seed).map((value) => Number(value > 0));
  return { shape, data, dtype: 'bool', learned: false };
}

/** A tensor of any type. */
export function typed(shape: number[], seed: number, dtype: Input['dtype'], kind?: Kind): Input {
  if (dtype === 'bool') return bools(shape, seed);
  return dtype === 'int32' ? ints(shape, seed, -4, 9) : floats(shape, seed, kind);
}

export const seed: fc.Arbitrary<number> = fc.nat(99_999);
export const flag: fc.Arbitrary<boolean> = fc.boolean();
export const dtype: fc.Arbitrary<Input['dtype']> = fc.constantFrom('float32', 'int32', 'bool');

/** One of the arguments. */
export const one = <const T>(...choices: T[]): fc.Arbitrary<T> => fc.constantFrom(...choices);

/** A size from 1 on. */
export const upTo = (max: number): fc.Arbitrary<number> => fc.integer({ min: 1, max });

/** Channel counts around the widths of vectors and tiles. */
export const channels: fc.Arbitrary<number> = one(1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33);

/** Batches, the empty one among them. */
export const batch: fc.Arbitrary<number> = one(1, 1, 1, 2, 3, 0);

/** A shape of some rank; sizes from `least`, now and then one long axis. */
export function shapes(minRank: number, maxRank: number, least = 1): fc.Arbitrary<number[]> {
  const side = fc.oneof(
    { weight: 12, arbitrary: fc.integer({ min: 1, max: 5 }) },
    { weight: 1, arbitrary: fc.integer({ min: least, max: 1 }) },
    { weight: 1, arbitrary: fc.integer({ min: 6, max: 37 }) },
  );
  return fc.array(side, { minLength: minRank, maxLength: maxRank });
}

/** A shape with some of its axes, negative ones among them. */
export function shapesWithAxes(
  maxRank: number,
  least = 1,
): fc.Arbitrary<{ shape: number[]; axes: number[]; keepDims: boolean; seed: number }> {
  return shapes(1, maxRank, least).chain((shape) =>
    fc.record({
      shape: fc.constant(shape),
      axes: fc
        .uniqueArray(fc.nat(shape.length - 1), { minLength: 1 })
        .chain((axes) => fc.tuple(...axes.map((axis) => one(axis, axis - shape.length)))),
      keepDims: flag,
      seed,
    }),
  );
}

/** A shape with one of its axes, which may be counted from the end. */
export function shapesWithAxis(
  maxRank: number,
  least = 1,
): fc.Arbitrary<{ shape: number[]; axis: number; seed: number }> {
  return shapes(1, maxRank, least).chain((shape) =>
    fc.record({
      shape: fc.constant(shape),
      axis: fc.integer({ min: -shape.length, max: shape.length - 1 }),
      seed,
    }),
  );
}

/** Two shapes that broadcast against each other, the second possibly of lower rank. */
export const pairs: fc.Arbitrary<{ a: number[]; b: number[]; seed: number }> = fc
  .record({
    axes: fc.array(fc.tuple(one(1, 2, 3, 5, 7), one('both', 'both', 'a', 'b')), { maxLength: 4 }),
    cut: fc.nat(4),
    swap: flag,
    seed,
  })
  .map(({ axes, cut, swap, seed }) => {
    const a = axes.map(([size, kind]) => (kind === 'b' ? 1 : size));
    const b = axes
      .map(([size, kind]) => (kind === 'a' ? 1 : size))
      .slice(Math.min(cut, axes.length));
    return swap ? { a: b, b: a, seed } : { a, b, seed };
  });

/** The sizes of an axis. */
export const sizeOf = (shape: readonly number[]): number => tf.util.sizeFromShape([...shape]);
