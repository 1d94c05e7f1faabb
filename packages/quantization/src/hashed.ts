// HashedNets: a small vector of real weights, and hashes that say which of them an entry is.
import * as tf from '@tensorflow/tfjs-core';
import {
  checkInteger,
  checkOptions,
  checkRange,
  hashedPlaces,
  OptionError,
  sizeOf,
} from '@thimble/base';
import { readValues, registerTransform, type WeightTransform } from '@thimble/core';
import { checkShared } from './shared-values.ts';

/** Options of {@link hashed}: how many real weights, by `buckets` or by `ratio`. */
export interface HashedOptions {
  /** Real weights, at least 1. */
  buckets?: number;
  /** Real weights as a fraction of the entries, above 0 and up to 1; rounded up. */
  ratio?: number;
  /** A whole number from 0 to 2^32 - 1; default 0. */
  seed?: number;
  /**
   * The real weights at first. 'entry' (default): the first entry of each bucket with its sign taken back,
   * so that they have the spread that the layer's initializer gives. 'mean': the mean of all of them, which
   * comes nearest to a weight that is trained already.
   */
  start?: 'entry' | 'mean';
}

/** The state of a hashed weight. */
export interface HashedState {
  /** The real weights v. */
  weights: tf.Variable;
  /** For every entry its place in [v, -v]. Made of the seed, not stored. */
  places: Int32Array;
  shape: number[];
}

/** A transform that takes a weight from a few real ones by hashing; made by {@link hashed}. */
export type HashedTransform = WeightTransform<HashedState>;

const OWNER = 'hashed';
const CLASS_NAME = 'ThimbleHashed';
const RANGE = 2 ** 32;

/**
 * Shares K real weights out among the entries of a weight at random, by hashes of the number of the entry:
 * `w'_i = s(i) v_h(i)`.
 *
 * - `h(i) = floor(K xxHash32(i, seed) / 2^32)`, `s(i) = +1` or -1 by the lowest bit of a second xxHash32;
 *   entries are numbered in the order in which TensorFlow.js keeps them
 * - backward: `dL/dv_k = sum of s(i) dL/dw'_i over all i with h(i) = k`; nothing to the stored weight, which
 *   is frozen for good
 *
 * Neither the hashes nor the entries need be stored: the weight counts as K floats. Must be the first
 * transform of a weight; for a weight that has transforms already it goes to the front.
 *
 * Paper: Chen, Wilson, Tyree, Weinberger, Chen, "Compressing Neural Networks with the Hashing Trick", 2015,
 * sections 4 and 4.3. The paper hashes the pair of row and column, and gives each layer hashes of its own:
 * set `seed`.
 *
 * @throws {OptionError} unless exactly one of `buckets` and `ratio` is given, and for values out of range.
 * @example
 * // A layer of 784 x 300 weights in the memory of 29,400.
 * parametrize(tfl.layers.dense({ units: 300 }), { kernel: [hashed({ ratio: 1 / 8 })] });
 */
export function hashed(options: HashedOptions): HashedTransform {
  checkHashed(options);
  const { buckets, ratio, seed = 0, start = 'entry' } = options;
  return {
    getClassName: () => CLASS_NAME,
    getConfig: () => ({ ...options }),
    build(site) {
      checkShared(OWNER, site.owner, site.weight, null);
      const size = buckets ?? Math.ceil(ratio! * sizeOf(site.shape));
      const places = hashedPlaces(sizeOf(site.shape), size, seed);
      const data = readValues(() => site.read());
      const initial = tf.tensor1d(
        start === 'mean' ? means(data, places, size) : firsts(data, places, size),
      );
      const weights = site.addWeight('hashed', [size], initial, true);
      initial.dispose();
      return { weights, places, shape: site.shape };
    },
    source({ weights, places, shape }) {
      const both = tf.concat([weights, tf.neg(weights)]);
      return tf.gather(both, tf.tensor(places, shape, 'int32'));
    },
    apply: (weight) => weight,
    bake: (weight) => weight,
    encoding: (_weight, { weights }) => ({
      values: { type: 'hashed', bits: 0, weights: Float32Array.from(weights.dataSync()), seed },
    }),
  };
}
registerTransform(CLASS_NAME, (config) => hashed(config as HashedOptions));

function checkHashed(options: HashedOptions): void {
  checkOptions(OWNER, options, ['buckets', 'ratio', 'seed', 'start']);
  const { buckets, ratio, seed = 0, start = 'entry' } = options;
  if ((buckets === undefined) === (ratio === undefined)) {
    throw new OptionError(`${OWNER}: give either buckets or ratio.`);
  }
  if (buckets !== undefined) checkInteger(OWNER, 'buckets', buckets, 1, RANGE / 4);
  if (ratio !== undefined) checkRange(OWNER, 'ratio', ratio, Number.MIN_VALUE, 1);
  checkInteger(OWNER, 'seed', seed, 0, RANGE - 1);
  if (start !== 'entry' && start !== 'mean') {
    throw new OptionError(`${OWNER}: start must be entry or mean, not "${start}".`);
  }
}

function firsts(data: Float32Array, places: Int32Array, buckets: number): Float32Array {
  const values = new Float32Array(buckets);
  for (let i = data.length - 1; i >= 0; i--) {
    const place = places[i]!;
    if (place < buckets) values[place] = data[i]!;
    else values[place - buckets] = -data[i]!;
  }
  return values;
}

function means(data: Float32Array, places: Int32Array, buckets: number): Float32Array {
  const sums = new Float64Array(buckets);
  const counts = new Uint32Array(buckets);
  for (let i = 0; i < data.length; i++) {
    const place = places[i]!;
    const bucket = place < buckets ? place : place - buckets;
    sums[bucket]! += place < buckets ? data[i]! : -data[i]!;
    counts[bucket]!++;
  }
  return Float32Array.from(sums, (sum, k) => sum / Math.max(1, counts[k]!));
}
