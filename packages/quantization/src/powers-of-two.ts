// Weights that are powers of two or zero, where they are fixed; the others are trained.
import * as tf from '@tensorflow/tfjs-core';
import { checkInteger, checkOptions, NonFiniteError } from '@thimble/base';
import {
  type ParametrizedWeight,
  readValues,
  registerTransform,
  type Site,
  type WeightTransform,
} from '@thimble/core';

/** Options of {@link powersOfTwo}. */
export interface PowersOfTwoOptions {
  /** Bits of a code, 2 to 8: one value is 0, `2^(bits - 2)` are powers of two, and as many their negatives. */
  bits: number;
}

/** The state of powers of two at one weight. */
export interface PowersOfTwoState {
  /** 1 where an entry is trained, 0 where it is fixed. */
  free: tf.Variable;
  /** The values of the entries that are fixed, else 0. */
  fixed: tf.Variable;
  /** The exponent n1 of the largest value, once an entry is fixed. */
  top: tf.Variable;
  site: Site;
}

/** A transform that holds some entries at powers of two; made by {@link powersOfTwo}. */
export type PowersOfTwoTransform = WeightTransform<PowersOfTwoState>;

const CLASS_NAME = 'ThimblePowersOfTwo';

/**
 * Holds entries of a weight at powers of two or 0: `w' = w * free + fixed`.
 *
 * - backward: `dL/dw = dL/dw' * free`, so that entries that are fixed get no gradient; and whatever an
 *   optimizer does to the stored weight there, w' stays
 * - at first every entry is free; `incrementalQuantization` fixes them, a portion at a time
 * - values: 0 and +-2^n with `n2 <= n <= n1`, `n1 = floor(log2(4 s / 3))` for the largest magnitude s at the
 *   time when the first entry is fixed, `n2 = n1 + 1 - 2^(bits - 2)`
 * - a value is rounded to `2^n` where `3/4 2^n <= |w| < 3/2 2^n`, to `2^n2` from half of it on, below that to 0,
 *   and what is larger to `2^n1`
 *
 * Once all entries are fixed the weight counts with `bits` bits each, before that as float32.
 *
 * Paper: Zhou, Yao, Guo, Xu, Chen, "Incremental Network Quantization: Towards Lossless CNNs with
 * Low-Precision Weights", 2017, sections 2.1 and 2.2.
 *
 * @throws {OptionError} for bits out of range.
 * @example
 * parametrize(tfl.layers.dense({ units: 300 }), { kernel: [powersOfTwo({ bits: 5 })] });
 */
export function powersOfTwo(options: PowersOfTwoOptions): PowersOfTwoTransform {
  checkOptions('powersOfTwo', options, ['bits']);
  checkInteger('powersOfTwo', 'bits', options.bits, 2, 8);
  const { bits } = options;
  const mixed = (weight: tf.Tensor, { free, fixed }: PowersOfTwoState) =>
    tf.add(tf.mul(weight, free), fixed);
  return {
    getClassName: () => CLASS_NAME,
    getConfig: () => ({ bits }),
    build: (site) => ({
      free: site.addWeight('free', site.shape, 1, false),
      fixed: site.addWeight('fixed', site.shape, 0, false),
      top: site.addWeight('top', [1], 0, false),
      site,
    }),
    apply: mixed,
    bake: mixed,
    encoding: (_weight, { free, top }) =>
      free.dataSync().some((each) => each !== 0)
        ? {}
        : { values: { type: 'powersOfTwo', bits, top: top.dataSync()[0]! } },
  };
}
registerTransform(CLASS_NAME, (config) => powersOfTwo(config as unknown as PowersOfTwoOptions));

/** The power-of-two link of a weight, if it has one. */
export function powersOfTwoOf(
  weight: ParametrizedWeight,
): { bits: number; state: PowersOfTwoState } | undefined {
  const link = weight.links.find(({ transform }) => transform.getClassName() === CLASS_NAME);
  if (!link) return undefined;
  return { bits: link.transform.getConfig().bits as number, state: link.state as PowersOfTwoState };
}

/** The exponent n1 for a largest magnitude: `floor(log2(4 s / 3))`; 0 for 0. */
export function topExponent(largest: number): number {
  if (largest === 0) return 0;
  let n = Math.floor(Math.log2((4 * largest) / 3));
  // The logarithm may be a rounding error off.
  while (0.75 * 2 ** (n + 1) <= largest) n++;
  while (0.75 * 2 ** n > largest) n--;
  return n;
}

/** The nearest of 0 and +-2^n, n from `bottom` to `top`, by the rule of the paper. */
export function toPowerOfTwo(value: number, top: number, bottom: number): number {
  const magnitude = Math.abs(value);
  if (magnitude < 2 ** (bottom - 1)) return 0;
  const power = 2 ** Math.min(top, Math.max(bottom, topExponent(magnitude)));
  return value < 0 ? -power : power;
}

/**
 * Fixes entries until a portion of those that no mask hides is fixed: those that `rank` puts first (the
 * largest, ties by their place), at their nearest power of two. What is hidden is fixed at 0.
 *
 * @param rank what is fixed first has the highest; default the magnitude
 */
export function fixPortion(
  { bits, state }: { bits: number; state: PowersOfTwoState },
  portion: number,
  rank?: Float32Array,
): void {
  const { site } = state;
  const weight = readValues(() => site.read());
  const bad = weight.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) {
    throw new NonFiniteError(
      `powersOfTwo: entry ${bad} of "${site.weight}" of layer "${site.layer}" is ${weight[bad]}.`,
    );
  }
  const kept = site.encoding().mask;
  const free = Float32Array.from(state.free.dataSync());
  const fixed = Float32Array.from(state.fixed.dataSync());
  const visible = kept ? kept.reduce((sum, keep) => sum + keep, 0) : weight.length;
  let left = 0;
  let largest = 0;
  for (let i = 0; i < weight.length; i++) {
    if (kept && !kept[i]) {
      free[i] = 0;
      fixed[i] = 0;
    } else if (free[i]) {
      left++;
      largest = Math.max(largest, Math.abs(weight[i]!));
    }
  }
  const untouched = left === visible;
  const top = untouched ? topExponent(largest) : state.top.dataSync()[0]!;
  const bottom = top + 1 - 2 ** (bits - 2);
  const order = rank ?? weight.map(Math.abs);
  for (const i of highest(order, free, left - (visible - Math.round(portion * visible)))) {
    free[i] = 0;
    fixed[i] = toPowerOfTwo(weight[i]!, top, bottom);
  }
  tf.tidy(() => {
    state.free.assign(tf.tensor(free, site.shape));
    state.fixed.assign(tf.tensor(fixed, site.shape));
    state.top.assign(tf.tensor1d([top]));
  });
}

/** The places of the `count` highest of the entries that are free, ties by place. */
function highest(order: Float32Array, free: Float32Array, count: number): Int32Array {
  if (count <= 0) return new Int32Array(0);
  const sorted = order.filter((_, i) => free[i]).sort();
  const limit = sorted[sorted.length - count]!;
  let ties = 0; // of the entries at the limit, how many are taken
  for (let i = sorted.length - count; i < sorted.length && sorted[i] === limit; i++) ties++;
  const places = new Int32Array(count);
  let found = 0;
  for (let i = 0; i < order.length; i++) {
    if (!free[i] || order[i]! < limit || (order[i] === limit && ties-- <= 0)) continue;
    places[found++] = i;
  }
  return places;
}
