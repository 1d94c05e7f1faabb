import { NonFiniteError, UnsupportedError } from '@thimble/base';
import type { Axes } from '@thimble/core';
import type { Granularity, MaskedWeight, Reduction } from '@thimble/pruning';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { unitsOf } from '../src/granularity.ts';
import { type Amount, masksOf, type ScoredWeight } from '../src/unit-masks.ts';

const DENSE: Axes = { out: 1, in: 0, space: [], gates: 1 };
const CONV: Axes = { out: 3, in: 2, space: [0, 1], gates: 1 };

interface Part {
  shape: number[];
  scores: number[];
  kept?: ArrayLike<number>;
  axes?: Axes;
  reduction?: Reduction;
  threshold?: number;
  name?: string;
}

function scored({ shape, scores, kept, axes, reduction, threshold, name }: Part): ScoredWeight {
  const target = {
    name: name ?? 'layer/kernel',
    weight: { variable: { shape }, axes: axes ?? (shape.length === 4 ? CONV : DENSE) },
  };
  return {
    target: target as unknown as MaskedWeight,
    scores,
    kept: Uint8Array.from(kept ?? scores.map(() => 1)),
    reduction: reduction ?? 'mean',
    ...(threshold === undefined ? {} : { threshold }),
  };
}

const masks = (parts: Part[], granularity: Granularity, amount: Amount) =>
  masksOf('test', parts.map(scored), granularity, amount).map((mask) => Array.from(mask));
const local = (...sparsities: number[]): Amount => ({ scope: 'layer', sparsities });
const global = (sparsity: number): Amount => ({ scope: 'global', sparsity });

/** Weights of all kinds with scores of few values, and a granularity that they all know. */
const weights = fc
  .array(
    fc.oneof(
      fc.tuple(fc.integer({ min: 2, max: 6 }), fc.integer({ min: 2, max: 10 })),
      fc.tuple(
        fc.integer({ min: 1, max: 2 }),
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 2, max: 4 }),
        fc.integer({ min: 2, max: 5 }),
      ),
    ),
    { minLength: 1, maxLength: 3 },
  )
  .chain((shapes) =>
    fc.tuple(
      ...shapes.map((shape) => {
        const size = (shape as number[]).reduce((a, b) => a * b, 1);
        return fc
          .array(fc.integer({ min: -3, max: 3 }), { minLength: size, maxLength: size })
          .map((scores): Part => ({ shape: [...shape], scores }));
      }),
    ),
  );
const granularities = fc.constantFrom<Granularity>(
  'element',
  'block',
  'filter',
  'neuron',
  'channel',
  { block: [2, 3] },
);
const reductions = fc.constantFrom<Reduction>('mean', 'sum', 'max');
// Evenly drawn: fc.double prefers numbers next to 0.
const shares = fc.integer({ min: 0, max: 90 }).map((percent) => percent / 100);

/** The number of units of a mask that are gone, and whether a unit is ever half gone. */
function unitsGone(part: Part, mask: ArrayLike<number>, granularity: Granularity) {
  const { count, of } = unitsOf(granularity, part.shape, scored(part).target.weight.axes, 'k');
  const left = new Map<number, number>();
  const sizes = new Map<number, number>();
  for (let i = 0; i < mask.length; i++) {
    const unit = of ? of[i]! : i;
    left.set(unit, (left.get(unit) ?? 0) + mask[i]!);
    sizes.set(unit, (sizes.get(unit) ?? 0) + 1);
  }
  const values = [...left].map(([unit, n]) => ({ n, size: sizes.get(unit)! }));
  return {
    count,
    gone: values.filter(({ n }) => n === 0).length,
    split: values.some(({ n, size }) => n > 0 && n < size),
  };
}

/** The masks, or undefined where nothing would be left of a weight. */
function tryMasks(parts: Part[], granularity: Granularity, amount: Amount) {
  try {
    return masks(parts, granularity, amount);
  } catch (error) {
    if (error instanceof UnsupportedError && /nothing would be left/.test(error.message)) return;
    throw error;
  }
}

describe('properties', () => {
  it('exactly round(sparsity * units) go from each weight, as wholes', () => {
    fc.assert(
      fc.property(
        weights,
        granularities,
        reductions,
        shares,
        (parts, granularity, reduction, share) => {
          const all = parts.map((part) => ({ ...part, reduction }));
          const result = tryMasks(all, granularity, local(...all.map(() => share)));
          result?.forEach((mask, i) => {
            const { count, gone, split } = unitsGone(all[i]!, mask, granularity);
            expect(gone).toBe(Math.round(share * count));
            expect(split).toBe(false);
          });
        },
      ),
      { seed: 21 },
    );
  });

  it('no unit goes whose score is above that of one that stays, over all weights if global', () => {
    fc.assert(
      fc.property(weights, shares, (parts, share) => {
        const result = tryMasks(parts, 'element', global(share));
        if (!result) return;
        const all = parts.flatMap(({ scores }) => scores);
        const mask = result.flat();
        expect(mask.filter((keep) => !keep)).toHaveLength(Math.round(share * all.length));
        const highest = Math.max(...all.filter((_, i) => !mask[i]), -9);
        const lowest = Math.min(...all.filter((_, i) => mask[i]));
        expect(highest).toBeLessThanOrEqual(lowest);
        // Of equal scores the first go, weight after weight.
        const tied = mask.filter((_, i) => all[i] === highest);
        expect(tied).toEqual(tied.toSorted());
      }),
      { seed: 22 },
    );
  });

  it('globally at most the share of the entries goes, and not less than the next unit would add', () => {
    fc.assert(
      fc.property(weights, granularities, shares, (parts, granularity, share) => {
        const result = tryMasks(parts, granularity, global(share));
        if (!result) return;
        const mask = result.flat();
        const gone = mask.filter((keep) => !keep).length;
        const largest = Math.max(
          ...parts.map(({ shape, axes }) => {
            const of = axes ?? scored({ shape, scores: [] }).target.weight.axes;
            return Math.max(...(unitsOf(granularity, shape, of, 'k').sizes ?? [1]));
          }),
        );
        // Units that are all of one size are counted exactly, which may round up by half of one.
        expect(gone).toBeLessThanOrEqual(Math.round(share * mask.length) + largest / 2);
        expect(gone).toBeGreaterThan(share * mask.length - largest - 1);
      }),
      { seed: 23 },
    );
  });

  it('what is pruned stays pruned, whatever scores say, and counts', () => {
    fc.assert(
      fc.property(
        weights,
        granularities,
        fc.constantFrom('layer', 'global'),
        shares,
        shares,
        fc.boolean(),
        (parts, granularity, scope, a, b, other) => {
          const [less, more] = a < b ? [a, b] : [b, a];
          const amount = (share: number): Amount =>
            scope === 'global' ? global(share) : local(...parts.map(() => share));
          const first = tryMasks(parts, granularity, amount(less));
          if (!first) return;
          const again = parts.map((part, i) => ({
            ...part,
            kept: first[i]!,
            // Even if the scores have turned round meanwhile.
            scores: other ? part.scores.map((score) => -score) : part.scores,
          }));
          const second = tryMasks(again, granularity, amount(more));
          if (!second) return;
          second.forEach((mask, i) => {
            expect(mask.some((keep, k) => keep > first[i]![k]!)).toBe(false);
          });
          if (scope === 'layer') {
            second.forEach((mask, i) => {
              const { gone, count } = unitsGone(parts[i]!, mask, granularity);
              expect(gone).toBe(Math.round(more * count));
            });
          }
          // The same sparsity again changes nothing, a lower one neither.
          const same = parts.map((part, i) => ({ ...part, kept: first[i]! }));
          expect(tryMasks(same, granularity, amount(less))).toEqual(first);
          expect(tryMasks(same, granularity, amount(less / 2))).toEqual(first);
        },
      ),
      { seed: 24, numRuns: 200 },
    );
  });

  it('keeps exactly n of each full group of m', () => {
    const cases = fc.record({
      keep: fc.integer({ min: 1, max: 3 }),
      rows: fc.integer({ min: 1, max: 11 }),
      columns: fc.integer({ min: 1, max: 4 }),
      values: fc.array(fc.integer({ min: -2, max: 2 }), { minLength: 44, maxLength: 44 }),
    });
    fc.assert(
      fc.property(cases, ({ keep, rows, columns, values }) => {
        const of = 4;
        const scores = values.slice(0, rows * columns);
        const part = { shape: [rows, columns], scores };
        const result = tryMasks([part], `${keep}:${of}`, local((of - keep) / of));
        // Nothing is left only where no group has more entries than it must lose.
        if (!result) return expect(rows).toBeLessThanOrEqual(of - keep);
        for (let column = 0; column < columns; column++) {
          for (let start = 0; start < rows; start += of) {
            const group = [];
            for (let row = start; row < Math.min(start + of, rows); row++) {
              group.push(row * columns + column);
            }
            const left = group.filter((i) => result[0]![i]);
            // What is missing at the end counts as gone.
            expect(left).toHaveLength(Math.min(keep, group.length));
            const lost = group.filter((i) => !result[0]![i]);
            const least = Math.min(...left.map((i) => scores[i]!));
            expect(Math.max(...lost.map((i) => scores[i]!), -9)).toBeLessThanOrEqual(least);
          }
        }
      }),
      { seed: 25, numRuns: 300 },
    );
  });
});

describe('amounts', () => {
  it('takes other sparsities for other weights', () => {
    const parts = [
      { shape: [1, 4], scores: [4, 3, 2, 1] },
      { shape: [1, 4], scores: [1, 2, 3, 4] },
    ];
    expect(masks(parts, 'element', local(0.25, 0.75))).toEqual([
      [1, 1, 1, 0],
      [0, 0, 0, 1],
    ]);
    expect(masks(parts, 'element', global(0.25))).toEqual([
      [1, 1, 1, 0],
      [0, 1, 1, 1],
    ]);
  });

  it('lets go what is below a threshold, in units', () => {
    const part = { shape: [2, 2], scores: [1, 5, 2, 5], threshold: 1.5 };
    expect(masks([part], 'element', { scope: 'threshold' })).toEqual([[0, 1, 1, 1]]);
    // Columns have the means 1.5, which is not below, and 5.
    expect(masks([part], 'neuron', { scope: 'threshold' })).toEqual([[1, 1, 1, 1]]);
    const sum = { ...part, reduction: 'sum' as const, threshold: 4 };
    expect(masks([sum], 'neuron', { scope: 'threshold' })).toEqual([[0, 1, 0, 1]]);
  });

  it('counts what is pruned already in each group of a pattern', () => {
    const part = { shape: [4, 1], scores: [9, 1, 2, 3], kept: [0, 1, 1, 1] };
    expect(masks([part], '2:4', local(0.5))).toEqual([[0, 0, 1, 1]]);
  });

  it('takes fewer from each group of a pattern while the sparsity is below', () => {
    const part = { shape: [4, 1], scores: [3, 1, 2, 4] };
    expect(masks([part], '2:4', local(0))).toEqual([[1, 1, 1, 1]]);
    expect(masks([part], '2:4', local(0.25))).toEqual([[1, 0, 1, 1]]);
    expect(masks([part], '2:4', global(0.5))).toEqual([[1, 0, 0, 1]]);
    expect(masks([part], '2:4', local(0.9))).toEqual([[1, 0, 0, 1]]);
  });

  it('counts pruned entries of a unit as zeros', () => {
    // Column 0 has 4 and a pruned 9, column 1 has 3 and 2.
    const part = { shape: [2, 2], scores: [9, 3, 4, 2], kept: [0, 1, 1, 1] };
    expect(masks([part], 'neuron', local(0.5))).toEqual([[0, 1, 0, 1]]);
    const max = { ...part, reduction: 'max' as const };
    expect(masks([max], 'neuron', local(0.5))).toEqual([[0, 0, 1, 0]]);
    // The largest kept scores are -5 and -4; a pruned entry is not a 0 above them.
    const negative = { ...max, scores: [9, -6, -5, -4] };
    expect(masks([negative], 'neuron', local(0.5))).toEqual([[0, 1, 0, 1]]);
  });
});

describe('errors', () => {
  it('names the weight of which nothing would be left', () => {
    const parts = [
      { shape: [1, 2], scores: [1, 1], name: 'small/kernel' },
      { shape: [1, 4], scores: [5, 5, 5, 5], name: 'large/kernel' },
    ];
    const all = () => masks(parts, 'element', global(0.4));
    expect(all).toThrow(UnsupportedError);
    expect(all).toThrow(
      'test: nothing would be left of small/kernel. Lower its sparsity (perLayer)',
    );
    expect(() => masks(parts, 'element', local(0, 0.9))).toThrow('left of large/kernel');
  });

  it('names the entry whose score is NaN, with any granularity', () => {
    const parts = [{ shape: [2, 2], scores: [1, 2, Number.NaN, 4], name: 'fc/kernel' }];
    for (const granularity of ['element', 'neuron', '1:2'] as const) {
      const bad = () => masks(parts, granularity, local(0.5));
      expect(bad).toThrow(NonFiniteError);
      expect(bad).toThrow('test: the score of entry 2 of fc/kernel is NaN');
    }
  });

  it('names an entry that must stay and would go', () => {
    const infinity = Number.POSITIVE_INFINITY;
    const part = { shape: [1, 4], scores: [infinity, 1, infinity, 2], name: 'fc/kernel' };
    expect(masks([part], 'element', local(0.5))).toEqual([[1, 0, 1, 0]]);
    expect(() => masks([part], 'element', local(0.75))).toThrow('fc/kernel would lose entry 0');
    // One that is gone already cannot be lost.
    const gone = { ...part, kept: [0, 1, 1, 1] };
    expect(masks([gone], 'element', local(0.75))).toEqual([[0, 0, 1, 0]]);
  });
});
