// The exact optimum of the multiple-choice knapsack, from its relaxation.
import { type Knapsack, type Relaxation, rounding, total } from './allocate-linear.ts';

/** Partial allocations by ascending cost; each has a higher value than the ones before it. */
interface States {
  length: number;
  /** More than the relaxed optimum, rounded down, costs. */
  cost: Float64Array;
  /** More than it is worth. */
  value: Float64Array;
  /** The last change that led here, an entry of {@link Trail}; -1 for none. */
  trail: Int32Array;
  /** The choice made in this round, or -1. */
  choice: Int32Array;
}

/** All changes ever made, each with the one before it. */
interface Trail {
  before: number[];
  item: number[];
  choice: number[];
}

/** The other choices of an item that can be part of a better allocation. */
interface Candidates {
  item: number;
  choices: number[];
  /** The least regret per unit of cost, among the dearer and among the cheaper choices. */
  up: number;
  down: number;
}

/** The best allocation known. */
interface Best {
  picks: Int32Array;
  /** More than the relaxed optimum, rounded down, is worth. */
  value: number;
  /** A difference in value that may come from rounding errors. */
  tolerance: number;
}

/** What the items from one on can still do. */
interface Rest {
  /** Least regret per unit of cost of going up, and of going down. */
  up: Float64Array;
  down: Float64Array;
  /** Largest cost that they can add, and that they can save. */
  more: Float64Array;
  less: Float64Array;
  /** Number of their choices. */
  choices: Float64Array;
}

/**
 * Dynamic programming over lists of undominated partial allocations (Pisinger 1995, "A minimal algorithm
 * for the multiple-choice knapsack problem"). Starts from `base`, takes the items in the order of how
 * close their other choices are to the margin, and drops every state whose bound is no better than the
 * best allocation known.
 *
 * With slope s at the margin, a change of an item by cost c and value v has the regret `s * c - v`, which
 * is never negative. An allocation is worth `bound - sum of regrets - s * unused budget`, hence a choice or
 * a state with more regret than `bound - best value` is of no use.
 *
 * A first sweep over the items keeps all these states and gives up where they become too many. A second
 * one then thins the lists out, evenly over the range of costs, which proves nothing.
 *
 * @param limit about how many states to look at
 * @returns the best allocation found, and whether it is proven to be the best
 */
export function search(
  knapsack: Knapsack,
  relaxation: Relaxation,
  limit: number,
): { picks: Int32Array; proven: boolean } {
  const best: Best = {
    picks: relaxation.filled,
    value: total(knapsack.values, relaxation.filled) - total(knapsack.values, relaxation.base),
    tolerance: rounding(knapsack),
  };
  const proven =
    sweep(knapsack, relaxation, best, limit / 2, false) ||
    sweep(knapsack, relaxation, best, limit / 2, true);
  return { picks: best.picks, proven };
}

/** Goes through all items once, improves `best`, and tells whether it is proven to be the best. */
function sweep(
  knapsack: Knapsack,
  relaxation: Relaxation,
  best: Best,
  limit: number,
  thinning: boolean,
): boolean {
  const { base, room, slope } = relaxation;
  const { costs, values, budget } = knapsack;
  const trail: Trail = { before: [], item: [], choice: [] };
  /** What an allocation may lose against the bound and still be better. */
  const allowed = () => slope * room - best.value - best.tolerance;
  const items = candidates(knapsack, relaxation, allowed());
  const rest = restOf(items, knapsack, base);

  const consider = (value: number, last: number, item: number, choice: number) => {
    const picks = base.slice();
    if (choice >= 0) picks[item] = choice;
    for (let i = last; i >= 0; i = trail.before[i]!) picks[trail.item[i]!] = trail.choice[i]!;
    if (total(costs, picks) > budget) return; // by a rounding error
    best.picks = picks;
    best.value = value;
  };

  /** The states with the k-th item changed to `choice`; -1: not changed. */
  const changed = (states: States, k: number, choice: number): States => {
    const { item } = items[k]!;
    const addedCost = choice < 0 ? 0 : costs[choice]! - costs[base[item]!]!;
    const addedValue = choice < 0 ? 0 : values[choice]! - values[base[item]!]!;
    const up = Math.min(rest.up[k + 1]!, slope);
    const down = rest.down[k + 1]!;
    const more = rest.more[k + 1]!;
    const less = rest.less[k + 1]!;
    const result = emptyStates(states.length);
    let most = allowed();
    for (let i = 0; i < states.length; i++) {
      const cost = states.cost[i]! + addedCost;
      const value = states.value[i]! + addedValue;
      const left = room - cost;
      if (left < -less) continue;
      if (left >= 0 && value > best.value + best.tolerance) {
        consider(value, states.trail[i]!, item, choice);
        most = allowed();
      }
      const usable = Math.min(left, more);
      const loss = left < 0 ? -left * down : usable * up + (left - usable) * slope;
      if (slope * cost - value + loss < most) push(result, cost, value, states.trail[i]!, choice);
    }
    return result;
  };

  let states = emptyStates(1);
  push(states, 0, 0, -1, -1);
  let left = limit;
  let thinned = false;
  for (let k = 0; k < items.length && states.length > 0; k++) {
    const lists = [-1, ...items[k]!.choices];
    left -= states.length * lists.length;
    if (left < 0 && !thinning) return false;
    states = mergeAll(lists.map((choice) => changed(states, k, choice)));
    const share = Math.max(1, Math.floor(left / Math.max(1, rest.choices[k + 1]!)));
    if (thinning && states.length > share) {
      states = thin(states, share, slope);
      thinned = true;
    }
    for (let i = 0; i < states.length; i++) {
      if (states.choice[i]! < 0) continue;
      trail.before.push(states.trail[i]!);
      trail.item.push(items[k]!.item);
      trail.choice.push(states.choice[i]!);
      states.trail[i] = trail.before.length - 1;
    }
  }
  return !thinned;
}

/** Items with choices other than the base that are allowed by their regret, those nearest to it first. */
function candidates(
  { starts, costs, values }: Knapsack,
  { base, slope }: Relaxation,
  allowed: number,
): Candidates[] {
  const found: Candidates[] = [];
  for (let item = 0; item < base.length; item++) {
    const entry: Candidates = {
      item,
      choices: [],
      up: Number.POSITIVE_INFINITY,
      down: Number.POSITIVE_INFINITY,
    };
    for (let j = starts[item]!; j < starts[item + 1]!; j++) {
      const cost = costs[j]! - costs[base[item]!]!;
      const regret = slope * cost - (values[j]! - values[base[item]!]!);
      if (cost === 0 || regret >= allowed) continue;
      entry.choices.push(j);
      if (cost > 0) entry.up = Math.min(entry.up, regret / cost);
      else entry.down = Math.min(entry.down, -regret / cost);
    }
    if (entry.choices.length > 0) found.push(entry);
  }
  return found.sort((a, b) => Math.min(a.up, a.down) - Math.min(b.up, b.down));
}

function restOf(items: Candidates[], { costs }: Knapsack, base: Int32Array): Rest {
  const n = items.length;
  const rest: Rest = {
    up: new Float64Array(n + 1).fill(Number.POSITIVE_INFINITY),
    down: new Float64Array(n + 1).fill(Number.POSITIVE_INFINITY),
    more: new Float64Array(n + 1),
    less: new Float64Array(n + 1),
    choices: new Float64Array(n + 1),
  };
  for (let k = n - 1; k >= 0; k--) {
    const { item, choices, up, down } = items[k]!;
    const changes = choices.map((choice) => costs[choice]! - costs[base[item]!]!);
    rest.up[k] = Math.max(0, Math.min(up, rest.up[k + 1]!));
    rest.down[k] = Math.max(0, Math.min(down, rest.down[k + 1]!));
    rest.more[k] = rest.more[k + 1]! + Math.max(0, ...changes);
    rest.less[k] = rest.less[k + 1]! + Math.max(0, ...changes.map((change) => -change));
    rest.choices[k] = rest.choices[k + 1]! + choices.length + 1;
  }
  return rest;
}

/** At most `count` of the states, evenly over the range of costs, those of least regret. */
function thin(states: States, count: number, slope: number): States {
  const first = states.cost[0]!;
  const width = (states.cost[states.length - 1]! - first) / count;
  const kept = emptyStates(count);
  let chosen = 0;
  let place = -1;
  const regret = (i: number) => slope * states.cost[i]! - states.value[i]!;
  const keep = () =>
    push(
      kept,
      states.cost[chosen]!,
      states.value[chosen]!,
      states.trail[chosen]!,
      states.choice[chosen]!,
    );
  for (let i = 0; i < states.length; i++) {
    const at = Math.min(count - 1, Math.floor((states.cost[i]! - first) / width));
    if (at === place) {
      if (regret(i) < regret(chosen)) chosen = i;
      continue;
    }
    if (place >= 0) keep();
    place = at;
    chosen = i;
  }
  keep();
  return kept;
}

function emptyStates(capacity: number): States {
  return {
    length: 0,
    cost: new Float64Array(capacity),
    value: new Float64Array(capacity),
    trail: new Int32Array(capacity),
    choice: new Int32Array(capacity),
  };
}

function push(states: States, cost: number, value: number, trail: number, choice: number): void {
  const i = states.length++;
  states.cost[i] = cost;
  states.value[i] = value;
  states.trail[i] = trail;
  states.choice[i] = choice;
}

function mergeAll(lists: States[]): States {
  if (lists.length === 1) return lists[0]!;
  const half = lists.length >> 1;
  return merge(mergeAll(lists.slice(0, half)), mergeAll(lists.slice(half)));
}

/** Both lists in one, without the states that cost no less than one of at least their value. */
function merge(a: States, b: States): States {
  const merged = emptyStates(a.length + b.length);
  let i = 0;
  let j = 0;
  let reached = Number.NEGATIVE_INFINITY;
  while (i < a.length || j < b.length) {
    const ahead =
      j >= b.length ||
      (i < a.length &&
        (a.cost[i]! < b.cost[j]! || (a.cost[i] === b.cost[j] && a.value[i]! >= b.value[j]!)));
    const from = ahead ? a : b;
    const k = ahead ? i++ : j++;
    if (from.value[k]! <= reached) continue;
    reached = from.value[k]!;
    push(merged, from.cost[k]!, reached, from.trail[k]!, from.choice[k]!);
  }
  return merged;
}
