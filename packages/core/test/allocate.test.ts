import { DataError, NonFiniteError, OptionError, Random } from '@thimble/base';
import { allocate, type Choice, smallestReaching } from '@thimble/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

type Items = Choice[][];

const item = (...pairs: [cost: number, value: number][]): Choice[] =>
  pairs.map(([cost, value]) => ({ cost, value }));

/** The best total value by trying every allocation; -Infinity where none fits. */
function bestByTrying(items: Items, budget: number): number {
  let best = Number.NEGATIVE_INFINITY;
  const visit = (i: number, cost: number, value: number) => {
    if (cost > budget) return;
    if (i === items.length) best = Math.max(best, value);
    else for (const choice of items[i]!) visit(i + 1, cost + choice.cost, value + choice.value);
  };
  visit(0, 0, 0);
  return best;
}

/**
 * The optimum of the relaxation by duality: the minimum over s >= 0 of
 * s * budget + sum over the items of max(value - s * cost), which is at a slope between two choices.
 */
function relaxedByDuality(items: Items, budget: number): number {
  const slopes = [0];
  for (const choices of items) {
    for (const a of choices) {
      for (const b of choices) {
        if (b.cost > a.cost && b.value > a.value) {
          slopes.push((b.value - a.value) / (b.cost - a.cost));
        }
      }
    }
  }
  const dual = (s: number) =>
    items.reduce(
      (sum, choices) => sum + Math.max(...choices.map(({ cost, value }) => value - s * cost)),
      s * budget,
    );
  return Math.min(...slopes.map(dual));
}

const least = (items: Items): number =>
  items.reduce((sum, choices) => sum + Math.min(...choices.map(({ cost }) => cost)), 0);
const most = (items: Items): number =>
  items.reduce((sum, choices) => sum + Math.max(...choices.map(({ cost }) => cost)), 0);

function generated(cost: fc.Arbitrary<number>, value: fc.Arbitrary<number>) {
  const choice = fc.record({ cost, value });
  return fc
    .tuple(
      fc.array(fc.array(choice, { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 6 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
    )
    .map(([items, part]) => {
      const low = least(items);
      return { items, budget: Math.ceil(low + part * (most(items) - low)) };
    });
}

const whole = generated(fc.integer({ min: 0, max: 12 }), fc.integer({ min: -9, max: 9 }));
const fractions = generated(
  fc.integer({ min: 0, max: 3000 }).map((n) => n / 997),
  fc.integer({ min: -1000, max: 1000 }).map((n) => n / 997),
);
/** Values that are the costs: every state is as good as every other by its bound. */
const proportional = whole.map(({ items, budget }) => ({
  items: items.map((choices) => choices.map(({ cost }) => ({ cost, value: 3 * cost }))),
  budget,
}));

function check(property: (items: Items, budget: number) => void): void {
  const instances = fc.oneof(whole, fractions, proportional);
  fc.assert(
    fc.property(instances, ({ items, budget }) => property(items, budget)),
    { seed: 11, numRuns: 600 },
  );
}

/** That the sums are those of the picks, and within the budget. */
function expectFeasible(items: Items, budget: number, result: ReturnType<typeof allocate>): void {
  const { picks, cost, value } = result;
  expect(picks).toHaveLength(items.length);
  const chosen = picks.map((pick, i) => items[i]![pick]!);
  expect(cost).toBe(chosen.reduce((sum, choice) => sum + choice.cost, 0));
  expect(value).toBe(chosen.reduce((sum, choice) => sum + choice.value, 0));
  expect(cost).toBeLessThanOrEqual(budget);
}

// scipy 1.17.1, HiGHS; the optimum of the relaxation, then that of whole choices (integrality=1):
//   items = [[(1,-9),(4,-5),(7,-2.5),(9,-2)], [(2,-4),(3,-3.75),(8,-1)], [(0,0),(5,1),(6,2.25)],
//            [(3,7),(2,7.5),(10,11)]]
//   c = -values, A_ub = [costs], A_eq = one row of ones per item; linprog(c, A, [budget], E, ones, (0, 1))
const ITEMS: Items = [
  item([1, -9], [4, -5], [7, -2.5], [9, -2]),
  item([2, -4], [3, -3.75], [8, -1]),
  item([0, 0], [5, 1], [6, 2.25]),
  item([3, 7], [2, 7.5], [10, 11]),
];
const SCIPY: [budget: number, relaxed: number, exact: number][] = [
  [5, -5.5, -5.5],
  [8, -1.5, -1.5],
  [12, 1.5, 1.25],
  [16.5, 3.75, 2],
  [21, 5.75, 5],
  [28, 8.625, 8],
  [32, 10, 9.75],
  [33, 10.25, 10.25],
  [40, 10.25, 10.25],
];

describe('allocate', () => {
  it.each(SCIPY)('agrees with scipy within a budget of %s', (budget, relaxed, exact) => {
    const result = allocate(ITEMS, budget);
    expect(result.value).toBe(exact);
    expect(result.bound).toBeCloseTo(relaxed, 12);
    expect(result.optimal).toBe(true);
    expectFeasible(ITEMS, budget, result);
  });

  it('finds the best of all allocations', () => {
    check((items, budget) => {
      const result = allocate(items, budget);
      expectFeasible(items, budget, result);
      expect(result.value).toBeCloseTo(bestByTrying(items, budget), 10);
      expect(result.optimal).toBe(true);
    });
  });

  it('reports the optimum of the relaxation, which is above every allocation', () => {
    check((items, budget) => {
      for (const method of ['exact', 'linear'] as const) {
        const { bound } = allocate(items, budget, { method });
        expect(bound).toBeCloseTo(relaxedByDuality(items, budget), 10);
        expect(bound).toBeGreaterThanOrEqual(bestByTrying(items, budget) - 1e-12);
      }
    });
  });

  it('rounds the relaxation down to less than one step below its bound', () => {
    check((items, budget) => {
      const result = allocate(items, budget, { method: 'linear' });
      expectFeasible(items, budget, result);
      const steps = items.map((choices) => {
        const values = choices.map(({ value }) => value);
        return Math.max(...values) - Math.min(...values);
      });
      expect(result.bound - result.value).toBeLessThanOrEqual(Math.max(...steps));
      if (result.optimal) expect(result.value).toBeCloseTo(bestByTrying(items, budget), 10);
    });
  });

  it('tells when the limit keeps it from the proof', () => {
    let unproven = 0;
    check((items, budget) => {
      const result = allocate(items, budget, { limit: 0 });
      expectFeasible(items, budget, result);
      const linear = allocate(items, budget, { method: 'linear' });
      expect(result.value).toBeGreaterThanOrEqual(linear.value);
      if (result.optimal) expect(result.value).toBeCloseTo(bestByTrying(items, budget), 10);
      else unproven++;
    });
    expect(unproven).toBeGreaterThan(0);
  });

  it('uses what the split item leaves for the next steps', () => {
    // Steps by slope: 8 for 2, then 9 for 3 which does not fit into the rest of 2, then 2 for 1.
    const items = [item([0, 0], [2, 8]), item([0, 0], [3, 9]), item([0, 0], [1, 2])];
    const { picks, bound, optimal } = allocate(items, 4, { method: 'linear' });
    expect(picks).toEqual([1, 0, 1]);
    expect(bound).toBe(8 + 2 * 3);
    expect(optimal).toBe(false);
    // Nothing is split here.
    expect(allocate(items, 5, { method: 'linear' })).toMatchObject({ value: 17, optimal: true });
  });

  it('never goes above the budget by a rounding error', () => {
    // 0.1 + 0.2 is above 0.3 in binary fractions.
    const items = [item([0, 0], [0.1, 1]), item([0, 0], [0.2, 1])];
    const { cost, value } = allocate(items, 0.3);
    expect(cost).toBeLessThanOrEqual(0.3);
    expect(value).toBe(1);
    expect(allocate(items, 0.1 + 0.2).value).toBe(2);
  });

  it('never goes above the budget by the rounding errors of any order of adding', () => {
    const tenths = fc.array(fc.array(fc.integer({ min: 0, max: 30 }), { minLength: 2 }), {
      minLength: 3,
      maxLength: 8,
    });
    const property = (numbers: number[][]) => {
      const items = numbers.map((costs) => costs.map((n) => ({ cost: n / 10, value: n % 7 })));
      // What the dearest choices cost, added up from the last to the first.
      const budget = items.reduceRight(
        (sum, choices) => sum + Math.max(...choices.map(({ cost }) => cost)),
        0,
      );
      fc.pre(least(items) <= budget);
      for (const method of ['exact', 'linear'] as const) {
        expectFeasible(items, budget, allocate(items, budget, { method }));
        const most = items.map((choices) => choices.map(({ cost }) => ({ cost, value: cost })));
        expectFeasible(most, budget, allocate(most, budget, { method }));
      }
    };
    fc.assert(fc.property(tenths, property), { seed: 12, numRuns: 300 });
  });

  it('takes costs near the smallest number', () => {
    const items = [item([0, 0], [Number.MIN_VALUE, 1])];
    expect(allocate(items, 0)).toMatchObject({ value: 0, bound: 0, optimal: true });
    expect(allocate(items, 1)).toMatchObject({ value: 1, bound: 1, optimal: true });
  });

  it('takes the best of all where the budget is never short, and nothing of no items', () => {
    expect(allocate(ITEMS, 1e9)).toMatchObject({ picks: [3, 2, 2, 2], optimal: true });
    expect(allocate([], 0)).toEqual({ picks: [], cost: 0, value: 0, bound: 0, optimal: true });
  });

  // Costs of layers of many sizes; errors that fall with the kept part, at a rate of the layer's own.
  it.each([1e6, 1e7, 1e8, 1e9])(
    'takes less than half a second for 200 x 64 within %s',
    (budget) => {
      const random = new Random('allocate', budget);
      const items = Array.from({ length: 200 }, () => {
        const size = ((2 * budget) / 200) * random.uniform(0.2, 3);
        const rate = random.uniform(1, 12);
        return Array.from({ length: 64 }, (_, j) => ({
          cost: Math.round((size * (j + 1)) / 64),
          value: -Math.exp((-rate * (j + 1)) / 64) + random.normal(0, 1e-4),
        }));
      });
      const start = performance.now();
      const { value, bound, optimal } = allocate(items, budget);
      expect(performance.now() - start).toBeLessThan(500);
      expect(optimal).toBe(true);
      expect(bound - value).toBeLessThan(1e-3);
    },
  );

  it('comes close where values are in proportion to costs', () => {
    const random = new Random('proportional');
    const items = Array.from({ length: 200 }, () =>
      Array.from({ length: 64 }, () => {
        const cost = random.integer(1e7);
        return { cost, value: cost };
      }),
    );
    const { value } = allocate(items, 1e9);
    expect(value).toBeGreaterThan(1e9 * (1 - 1e-5));
  });

  it('knows that what reaches the bound is optimal, also with thinned lists', () => {
    const random = new Random('thinned');
    const items = Array.from({ length: 100 }, () =>
      Array.from({ length: 16 }, () => {
        const cost = random.integer(1000);
        return { cost, value: cost / 10 };
      }),
    );
    const result = allocate(items, 50_001, { limit: 50_000 });
    expect(result.cost).toBe(50_001);
    expect(result.value).toBeCloseTo(5000.1, 9);
    expect(result.optimal).toBe(true);
  });

  it('refuses what cannot be allocated', () => {
    expect(() => allocate(ITEMS, 4.5)).toThrow(OptionError);
    expect(() => allocate(ITEMS, 4.5)).toThrow('cheapest choices of all items cost 5.');
    expect(() => allocate([item([1, 1]), []], 5)).toThrow(DataError);
    expect(() => allocate([item([1, 1]), []], 5)).toThrow('item 1 has no choices');
    expect(() => allocate([item([1, 1], [-1, 0])], 5)).toThrow(DataError);
    expect(() => allocate([item([1, 1], [-1, 0])], 5)).toThrow('choice 1 of item 0 costs -1');
    for (const choice of [
      { cost: Number.NaN, value: 1 },
      { cost: 1, value: Number.NaN },
      { cost: Number.POSITIVE_INFINITY, value: 1 },
    ]) {
      expect(() => allocate([[choice]], 5)).toThrow(NonFiniteError);
      expect(() => allocate([[choice]], 5)).toThrow('choice 0 of item 0');
    }
    for (const budget of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => allocate([item([0, 1])], budget)).toThrow(OptionError);
    }
    for (const options of [{ method: 'greedy' }, { methods: 'exact' }, { limit: 1.5 }]) {
      expect(() => allocate(ITEMS, 9, options as never)).toThrow(OptionError);
    }
  });
});

describe('smallestReaching', () => {
  // golden/cases.json search-001: AIMET, test_comp_ratio_select.py
  const scores = new Map([
    [0.1, 11],
    [0.3, 23],
    [0.5, 47],
    [0.7, 85],
    [0.9, 89],
  ]);

  it.each([
    [45, 0.5],
    [48, 0.7],
    [90, null],
    [11, 0.1],
  ])('finds for a score of %s the ratio %s', (target, expected) => {
    expect(smallestReaching(scores, target)).toBe(expected);
  });

  it('takes keys in any order and scores that fall again', () => {
    expect(
      smallestReaching(
        [
          [3, 9],
          [1, 7],
          [2, 4],
        ],
        6,
      ),
    ).toBe(1);
    expect(smallestReaching([], 0)).toBeNull();
  });

  it('refuses scores that are NaN', () => {
    expect(() => smallestReaching([[1, Number.NaN]], 0)).toThrow(NonFiniteError);
    expect(() => smallestReaching([], Number.NaN)).toThrow(NonFiniteError);
  });
});
