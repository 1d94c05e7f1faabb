// The linear-programming relaxation of the multiple-choice knapsack.

/** Choices of all items, one item after the other. */
export interface Knapsack {
  /** Where the choices of an item start; one more entry than items. */
  starts: Int32Array;
  costs: Float64Array;
  values: Float64Array;
  budget: number;
}

/** The optimum of the relaxation, and what it becomes when it is rounded down. */
export interface Relaxation {
  /** Upper bound: the optimum of the relaxation. */
  bound: number;
  /** Value per unit of cost at the margin; 0 when the budget is never short. */
  slope: number;
  /** The relaxed optimum with the one fractional item at the lower of its two choices. */
  base: Int32Array;
  /** Budget that `base` leaves. */
  room: number;
  /** `base` with what still fits in the room. */
  filled: Int32Array;
}

/** The steps up the hulls of all items, from a choice to the next better one. */
interface Steps {
  item: number[];
  from: number[];
  to: number[];
  slope: number[];
}

/**
 * Solves the relaxation: per item the undominated choices on the upper convex hull, all steps along the
 * hulls in the order of their slopes, until one does not fit (Sinha and Zoltners 1979).
 */
export function relax(knapsack: Knapsack): Relaxation {
  const { starts, costs, values, budget } = knapsack;
  const items = starts.length - 1;
  const picks = new Int32Array(items);
  const steps: Steps = { item: [], from: [], to: [], slope: [] };
  for (let item = 0; item < items; item++) picks[item] = climb(knapsack, item, steps);
  const { item, from, to, slope } = steps;
  const order = Array.from(slope, (_, i) => i).sort((a, b) => slope[b]! - slope[a]!);
  const taken: number[] = [];
  let used = total(costs, picks);
  const take = (step: number): boolean => {
    const more = costs[to[step]!]! - costs[from[step]!]!;
    if (picks[item[step]!] !== from[step] || used + more > budget) return false;
    picks[item[step]!] = to[step]!;
    used += more;
    taken.push(step);
    return true;
  };
  let margin = 0;
  // Sums of fractions can end a rounding error above the budget.
  const mend = () => {
    while (total(costs, picks) > budget) {
      const step = taken.pop()!;
      picks[item[step]!] = from[step]!;
      margin = Math.max(margin, slope[step]!);
    }
  };
  let next = 0;
  while (next < order.length && take(order[next]!)) next++;
  if (next < order.length) margin = slope[order[next]!]!;
  mend();
  const base = picks.slice();
  const room = budget - total(costs, base);
  const bound = total(values, base) + margin * room;
  const marginal = margin;
  for (next++; next < order.length; next++) take(order[next]!);
  mend();
  return { bound, slope: marginal, base, room, filled: picks };
}

/** The sum of what was picked, in the order of the items. */
export function total(amounts: Float64Array, picks: Int32Array): number {
  let sum = 0;
  for (const pick of picks) sum += amounts[pick]!;
  return sum;
}

/** How far rounding errors can take the sum of the values of an allocation. */
export function rounding({ starts, values }: Knapsack): number {
  let sum = 0;
  for (let item = 0; item + 1 < starts.length; item++) {
    let largest = 0;
    for (let j = starts[item]!; j < starts[item + 1]!; j++) {
      largest = Math.max(largest, Math.abs(values[j]!));
    }
    sum += largest;
  }
  return 1e-13 * sum;
}

/** Adds the steps up the hull of an item, steepest first; returns the hull's cheapest choice. */
function climb({ starts, costs, values }: Knapsack, item: number, steps: Steps): number {
  const first = starts[item]!;
  const order = Array.from({ length: starts[item + 1]! - first }, (_, i) => first + i).sort(
    (a, b) => costs[a]! - costs[b]! || values[b]! - values[a]!,
  );
  const hull = [order[0]!];
  const slopes = [Number.POSITIVE_INFINITY];
  for (const choice of order) {
    if (values[choice]! <= values[hull.at(-1)!]!) continue;
    let slope = slopeOf(costs, values, hull.at(-1)!, choice);
    while (hull.length > 1 && slope >= slopes.at(-1)!) {
      hull.pop();
      slopes.pop();
      slope = slopeOf(costs, values, hull.at(-1)!, choice);
    }
    hull.push(choice);
    slopes.push(slope);
  }
  for (let i = 1; i < hull.length; i++) {
    steps.item.push(item);
    steps.from.push(hull[i - 1]!);
    steps.to.push(hull[i]!);
    steps.slope.push(slopes[i]!);
  }
  return hull[0]!;
}

function slopeOf(costs: Float64Array, values: Float64Array, from: number, to: number): number {
  const slope = (values[to]! - values[from]!) / (costs[to]! - costs[from]!);
  return Math.min(slope, Number.MAX_VALUE); // with costs near the smallest number it is infinite
}
