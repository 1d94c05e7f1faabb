// Shares a budget out among items of which each has several choices, such as the layers of a network.
import {
  checkInteger,
  checkOptions,
  checkRange,
  DataError,
  NonFiniteError,
  OptionError,
} from '@thimble/base';
import { search } from './allocate-exact.ts';
import { type Knapsack, relax, rounding, total } from './allocate-linear.ts';

/** One of the ways to treat an item: a ratio, a rank, a bit width. */
export interface Choice {
  /** What it takes of the budget, at least 0: parameters, multiply-accumulates, bytes. */
  cost: number;
  /** What it is worth, any number: minus a loss, a score, a kept fraction. */
  value: number;
}

/** Options of {@link allocate}. */
export interface AllocateOptions {
  /** 'exact' (default), or 'linear': the relaxation rounded down. */
  method?: 'exact' | 'linear';
  /** For 'exact': the number of partial allocations to look at, at most; default 1.5 million. */
  limit?: number;
}

/** What {@link allocate} chose. */
export interface Allocation {
  /** For every item the index of its choice. */
  picks: number[];
  /** Sum of the costs, at most the budget. */
  cost: number;
  /** Sum of the values. */
  value: number;
  /** Upper bound on every value within the budget: the optimum of the linear relaxation. */
  bound: number;
  /** True when it is proven that no allocation is better by more than a rounding error. */
  optimal: boolean;
}

const DEFAULT_LIMIT = 1_500_000;

/**
 * Picks exactly one choice per item, so that the sum of the values is as large as it can be and the sum
 * of the costs at most `budget`: the multiple-choice knapsack problem,
 *
 * `max sum_ij v_ij x_ij  subject to  sum_ij c_ij x_ij <= budget,  sum_j x_ij = 1,  x_ij in {0, 1}`.
 *
 * - `bound` is the optimum of the linear relaxation, where `0 <= x_ij <= 1` (Sinha and Zoltners 1979):
 *   per item the choices on the upper convex hull, all steps along the hulls taken by descending
 *   `value / cost` until one does not fit. At most one item is split.
 * - 'linear' rounds that item down, and takes what steps still fit in the rest. It is worth at most one
 *   step less than the optimum.
 * - 'exact' goes on from there by dynamic programming over lists of undominated partial allocations, each
 *   dropped when its bound is no better than the best allocation known (Pisinger 1995). Costs may be any
 *   numbers, a large budget takes no more time than a small one. There are hard cases, above all values
 *   in proportion to costs; where `limit` is reached the best allocation so far comes with `optimal: false`.
 *
 * Of several optima any one may be returned; equal input gives equal output.
 *
 * Papers: Sinha and Zoltners, "The Multiple-Choice Knapsack Problem", 1979; Pisinger, "A minimal algorithm
 * for the multiple-choice knapsack problem", 1995.
 *
 * @throws {OptionError} when even the cheapest choices cost more than the budget (the message says how
 *   much they cost), or the budget is negative or not finite.
 * @throws {DataError} naming an item without choices, or a choice with a negative cost.
 * @throws {NonFiniteError} naming a choice whose cost or value is NaN or infinite.
 * @example
 * // To keep the largest area that fits into 500 kB, every layer counting the same, let a choice be worth
 * // the fraction that it keeps; `value: part * area` counts layers by their area.
 * const bytes = [940_800, 120_000, 4_000];
 * const kept = [0.05, 0.1, 0.2, 0.5, 1];
 * const choices = bytes.map((size) => kept.map((part) => ({ cost: size * part, value: part })));
 * const { picks, value, bound } = allocate(choices, 500_000);
 * picks.map((pick) => kept[pick]); // 0.2, 1, 1
 */
export function allocate(
  choices: readonly (readonly Choice[])[],
  budget: number,
  options: AllocateOptions = {},
): Allocation {
  checkOptions('allocate', options, ['method', 'limit']);
  const { method = 'exact', limit = DEFAULT_LIMIT } = options;
  if (method !== 'exact' && method !== 'linear') {
    throw new OptionError(`allocate: method must be 'exact' or 'linear', not '${method}'.`);
  }
  checkInteger('allocate', 'limit', limit, 0);
  checkRange('allocate', 'budget', budget, 0);
  const knapsack = toKnapsack(choices, budget);
  const { starts, costs, values } = knapsack;
  const relaxation = relax(knapsack);
  const { picks, proven } =
    method === 'exact'
      ? search(knapsack, relaxation, limit)
      : { picks: relaxation.filled, proven: false };
  const value = total(values, picks);
  const bound = Math.max(relaxation.bound, value);
  return {
    picks: Array.from(picks, (pick, item) => pick - starts[item]!),
    cost: total(costs, picks),
    value,
    bound,
    optimal: proven || bound - value <= rounding(knapsack),
  };
}

function toKnapsack(choices: readonly (readonly Choice[])[], budget: number): Knapsack {
  const starts = new Int32Array(choices.length + 1);
  for (const [item, list] of choices.entries()) starts[item + 1] = starts[item]! + list.length;
  const costs = new Float64Array(starts.at(-1)!);
  const values = new Float64Array(costs.length);
  let least = 0;
  for (const [item, list] of choices.entries()) {
    if (list.length === 0) {
      throw new DataError(`allocate: item ${item} has no choices; give it at least one.`);
    }
    let cheapest = Number.POSITIVE_INFINITY;
    for (const [j, { cost, value }] of list.entries()) {
      if (!Number.isFinite(cost) || !Number.isFinite(value)) {
        throw new NonFiniteError(
          `allocate: choice ${j} of item ${item} has cost ${cost} and value ${value}; both must be finite.`,
        );
      }
      if (cost < 0) {
        throw new DataError(
          `allocate: choice ${j} of item ${item} costs ${cost}; a cost is at least 0.`,
        );
      }
      costs[starts[item]! + j] = cost;
      values[starts[item]! + j] = value;
      cheapest = Math.min(cheapest, cost);
    }
    least += cheapest;
  }
  if (least > budget) {
    throw new OptionError(
      `allocate: the budget is ${budget}, but the cheapest choices of all items cost ${least}. ` +
        'Raise the budget or add cheaper choices.',
    );
  }
  return { starts, costs, values, budget };
}

/**
 * The smallest key whose score reaches `target`, or null when none does: for example the smallest kept
 * ratio of a layer with which the network is still good enough. Scores need not rise with the key.
 *
 * @param scores pairs of key and score, or a Map
 * @throws {NonFiniteError} when the target or a score is NaN.
 * @example
 * const accuracy = new Map([[0.1, 0.52], [0.3, 0.91], [0.5, 0.97], [0.7, 0.98]]);
 * smallestReaching(accuracy, 0.95); // 0.5
 */
export function smallestReaching(
  scores: Iterable<readonly [key: number, score: number]>,
  target: number,
): number | null {
  if (Number.isNaN(target)) throw new NonFiniteError('smallestReaching: the target is NaN.');
  let smallest: number | null = null;
  for (const [key, score] of scores) {
    if (Number.isNaN(score)) {
      throw new NonFiniteError(`smallestReaching: the score of ${key} is NaN.`);
    }
    if (score >= target && (smallest === null || key < smallest)) smallest = key;
  }
  return smallest;
}
