// From scores to masks: units, exact counts, local or global, never back to life.
import { joined, NonFiniteError, UnsupportedError } from '@thimble/base';
import type { Reduction } from './criterion.ts';
import { type Granularity, patternOf, type Units, unitsOf } from './granularity.ts';
import type { MaskedWeight } from './masked-weights.ts';
import { keepHighest, keepHighestSized } from './select.ts';

/** One weight with the scores of its entries. */
export interface ScoredWeight {
  readonly target: MaskedWeight;
  readonly scores: ArrayLike<number>;
  /** What is kept so far. */
  readonly kept: Uint8Array;
  readonly reduction: Reduction;
  /** Units with a score below it go, whatever the sparsity says. */
  readonly threshold?: number;
}

/** How much goes: one sparsity for all weights together, one for each, or what thresholds say. */
export type Amount =
  | { scope: 'global'; sparsity: number }
  | { scope: 'layer'; sparsities: readonly number[] }
  | { scope: 'threshold' };

/**
 * The masks of weights: what is pruned stays so, and of the rest the lowest units go until exactly
 * `round(sparsity * units)` are gone (global and with units of different sizes: as long as no more than
 * that share of the entries is gone). A pattern n:m takes from every group up to m - n, fewer while the
 * sparsity is below.
 *
 * @throws {UnsupportedError} naming the layer of which nothing would be left, or of which an entry would go
 *   whose score is infinity: such ones must stay.
 */
export function masksOf(
  owner: string,
  weights: readonly ScoredWeight[],
  granularity: Granularity,
  amount: Amount,
): Uint8Array[] {
  const pattern = patternOf(granularity);
  const units = weights.map(({ target: { weight, name } }) =>
    unitsOf(granularity, weight.variable.shape, weight.axes, name),
  );
  for (const each of weights) checkOrder(owner, each);
  const scored = weights.map((each, i) => (pattern ? undefined : unitScores(each, units[i]!)));
  let keeps: Uint8Array[];
  if (pattern) {
    keeps = weights.map((each, i) => {
      const sparsity = sparsityFor(amount, i);
      const gone = Math.min(pattern.of - pattern.keep, Math.round(sparsity * pattern.of));
      return keepInGroups(each, units[i]!, pattern.of, gone);
    });
  } else if (amount.scope === 'global') {
    keeps = keepGlobally(owner, scored as Float64Array[], units, amount.sparsity);
  } else if (amount.scope === 'layer') {
    keeps = (scored as Float64Array[]).map((scores, i) =>
      keepHighest(scores, Math.round(amount.sparsities[i]! * scores.length), owner),
    );
  } else {
    keeps = (scored as Float64Array[]).map((scores, i) => {
      const { threshold } = weights[i]!;
      const kept = new Uint8Array(scores.length);
      for (let unit = 0; unit < kept.length; unit++)
        kept[unit] = scores[unit]! < threshold! ? 0 : 1;
      return kept;
    });
  }
  return weights.map((each, i) => {
    const mask = spread(keeps[i]!, pattern ? undefined : units[i]!.of, each.kept);
    checkProtected(owner, each, mask);
    if (!mask.includes(1)) {
      throw new UnsupportedError(
        `${owner}: nothing would be left of ${each.target.name}. Lower its sparsity (perLayer) or threshold, prune ` +
          "with scope 'layer', or leave the layer out of targets.",
      );
    }
    return mask;
  });
}

function sparsityFor(amount: Amount, i: number): number {
  if (amount.scope === 'layer') return amount.sparsities[i]!;
  return amount.scope === 'global' ? amount.sparsity : 1;
}

function checkOrder(owner: string, { scores, target }: ScoredWeight): void {
  for (let i = 0; i < scores.length; i++) {
    if (Number.isNaN(scores[i]!)) {
      throw new NonFiniteError(
        `${owner}: the score of entry ${i} of ${target.name} is NaN; there is no order to prune by. ` +
          'Check the weights and the data.',
      );
    }
  }
}

function checkProtected(
  owner: string,
  { scores, kept, target }: ScoredWeight,
  mask: Uint8Array,
): void {
  for (let i = 0; i < mask.length; i++) {
    if (mask[i] || !kept[i] || scores[i] !== Number.POSITIVE_INFINITY) continue;
    throw new UnsupportedError(
      `${owner}: ${target.name} would lose entry ${i}, which must stay: its score is infinite. Lower the ` +
        'sparsity, or take a finer granularity.',
    );
  }
}

/**
 * One score per unit; minus infinity where all of it is pruned already. Pruned entries count as 0 in means
 * and sums, and not at all for the largest.
 */
export function unitScores(
  { scores, kept, reduction }: Pick<ScoredWeight, 'scores' | 'kept' | 'reduction'>,
  { count, of, sizes }: Units,
): Float64Array {
  const gone = Number.NEGATIVE_INFINITY;
  if (!of) {
    const result = new Float64Array(count);
    for (let i = 0; i < count; i++) result[i] = kept[i] ? scores[i]! : gone;
    return result;
  }
  const result = new Float64Array(count).fill(reduction === 'max' ? gone : 0);
  const alive = new Uint8Array(count);
  for (let i = 0; i < of.length; i++) {
    if (!kept[i]) continue;
    const unit = of[i]!;
    alive[unit] = 1;
    if (reduction === 'max') result[unit] = Math.max(result[unit]!, scores[i]!);
    else result[unit]! += scores[i]!;
  }
  for (let unit = 0; unit < count; unit++) {
    if (!alive[unit]) result[unit] = gone;
    else if (reduction === 'mean') result[unit]! /= sizes![unit]!;
    else if (reduction === 'norm') result[unit] = Math.sqrt(result[unit]!);
  }
  return result;
}

function keepGlobally(
  owner: string,
  scored: Float64Array[],
  units: Units[],
  sparsity: number,
): Uint8Array[] {
  const all = scored.length === 1 ? scored[0]! : joined(Float64Array, scored);
  const sizes = sizesOf(units, all.length);
  const kept = sizes
    ? keepHighestSized(all, sizes, Math.round(sparsity * sizes.reduce((a, b) => a + b, 0)), owner)
    : keepHighest(all, Math.round(sparsity * all.length), owner);
  let at = 0;
  return scored.map(({ length }) => {
    at += length;
    return kept.subarray(at - length, at);
  });
}

/** The size of every unit of all weights, one after the other; undefined where all are equal. */
function sizesOf(units: Units[], count: number): Int32Array | undefined {
  if (units.every(({ of }) => !of)) return undefined;
  const sizes = new Int32Array(count).fill(1);
  let at = 0;
  for (const each of units) {
    if (each.sizes) sizes.set(each.sizes, at);
    at += each.count;
  }
  return sizes.every((size) => size === sizes[0]) ? undefined : sizes;
}

/**
 * Takes the `gone` lowest entries of every group of `of`; places beyond the end of the axis count as
 * taken. Among equal scores the first goes.
 */
function keepInGroups(
  { scores, kept }: ScoredWeight,
  units: Units,
  of: number,
  gone: number,
): Uint8Array {
  const size = scores.length;
  const keep = new Uint8Array(size).fill(1);
  const taken = Int32Array.from(units.sizes!, (entries) => of - entries);
  const lowest = new Int32Array(units.count);
  const score = (i: number) => (kept[i] ? scores[i]! : Number.NEGATIVE_INFINITY);
  for (let round = 0; round < gone; round++) {
    lowest.fill(-1);
    for (let i = 0; i < size; i++) {
      const group = units.of![i]!;
      if (!keep[i] || taken[group]! > round) continue;
      if (lowest[group]! < 0 || score(i) < score(lowest[group]!)) lowest[group] = i;
    }
    for (const i of lowest) if (i >= 0) keep[i] = 0;
  }
  return keep;
}

function spread(units: Uint8Array, of: Int32Array | undefined, kept: Uint8Array): Uint8Array {
  const mask = new Uint8Array(kept.length);
  if (of) for (let i = 0; i < mask.length; i++) mask[i] = units[of[i]!]! & kept[i]!;
  else for (let i = 0; i < mask.length; i++) mask[i] = units[i]! & kept[i]!;
  return mask;
}
