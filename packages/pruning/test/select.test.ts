import { NonFiniteError, Random } from '@thimble/base';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { keepHighest, keepHighestSized, selectSmallest } from '../src/select.ts';

/** Few different values, so that ties are common; both zeros and both infinities. */
const score = fc.oneof(
  fc.integer({ min: -3, max: 3 }),
  fc.constantFrom(0, -0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e300, -1e300),
  fc.double({ min: -2, max: 2, noNaN: true }),
);
const scores = fc.array(score, { maxLength: 40 });

/** Indices from the lowest score on, the first of equal ones first. */
function orderOf(values: ArrayLike<number>): number[] {
  const indices = Array.from(values, (_, i) => i);
  return indices.sort((a, b) => {
    const [x, y] = [values[a]!, values[b]!];
    if (x === y) return a - b;
    return x < y ? -1 : 1;
  });
}

function without(values: ArrayLike<number>, gone: number[]): number[] {
  return Array.from(values, (_, i) => (gone.includes(i) ? 0 : 1));
}

describe('keepHighest', () => {
  it('is what sorting gives', () => {
    fc.assert(
      fc.property(scores, fc.nat(45), (values, count) => {
        const kept = Array.from(keepHighest(Float64Array.from(values), count, 'test'));
        expect(kept).toEqual(without(values, orderOf(values).slice(0, count)));
      }),
      { seed: 1, numRuns: 500 },
    );
  });

  it('breaks ties by index', () => {
    expect(Array.from(keepHighest(Float64Array.of(1, 0, 1, -0, 1), 3, 'test'))).toEqual([
      0, 0, 1, 0, 1,
    ]);
  });

  it('is exact on many scores, also where they differ by less than 32 bits can tell', () => {
    const n = 100_000;
    const random = new Random(2);
    const kinds: [string, () => number][] = [
      ['close', () => 1 + random.integer(50) * 2 ** -40],
      ['few', () => random.integer(7) - 3],
      ['signed', () => random.normal()],
      ['tiny', () => random.normal() * 1e-42],
      ['huge', () => random.normal() * 1e300],
      ['zeros', () => (random.integer(2) ? 0 : -0)],
      [
        'infinite',
        () => [Number.POSITIVE_INFINITY, 1, Number.NEGATIVE_INFINITY][random.integer(3)]!,
      ],
    ];
    for (const [name, draw] of kinds) {
      const values = Float64Array.from({ length: n }, draw);
      const order = orderOf(values);
      for (const count of [1, 777, 50_000, n - 1]) {
        const expected = new Uint8Array(n).fill(1);
        for (const i of order.slice(0, count)) expected[i] = 0;
        const kept = keepHighest(values, count, 'test');
        expect(Buffer.compare(kept, expected), `${name} ${count}`).toBe(0);
      }
    }
  });

  it('leaves the scores as they were, and refuses NaN by its place', () => {
    const values = Float64Array.of(3, 1, 2);
    keepHighest(values, 1, 'test');
    expect(Array.from(values)).toEqual([3, 1, 2]);
    const bad = () => keepHighest(Float64Array.of(1, Number.NaN), 1, 'owner');
    expect(bad).toThrow(NonFiniteError);
    expect(bad).toThrow('owner: score 1 is NaN');
  });
});

describe('keepHighestSized', () => {
  it('goes up from the lowest as long as the sizes fit', () => {
    const unit = fc.tuple(score, fc.integer({ min: 1, max: 5 }));
    fc.assert(
      fc.property(fc.array(unit, { maxLength: 30 }), fc.nat(100), (units, total) => {
        const values = units.map(([value]) => value);
        const gone: number[] = [];
        let sum = 0;
        for (const i of orderOf(values)) {
          sum += units[i]![1];
          if (sum > total) break;
          gone.push(i);
        }
        const sizes = units.map(([, size]) => size);
        const kept = keepHighestSized(Float64Array.from(values), sizes, total, 'test');
        expect(Array.from(kept)).toEqual(without(values, gone));
      }),
      { seed: 3, numRuns: 500 },
    );
  });

  it('refuses NaN', () => {
    expect(() => keepHighestSized(Float64Array.of(Number.NaN), [1], 1, 'owner')).toThrow(
      'owner: score 0 is NaN',
    );
  });
});

it('selectSmallest finds the value of each rank', () => {
  const some = fc.array(score, { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(some, fc.nat(39), (values, nth) => {
      const rank = nth % values.length;
      const found = selectSmallest(Float64Array.from(values), rank);
      expect(found === values[orderOf(values)[rank]!]).toBe(true);
    }),
    { seed: 4, numRuns: 500 },
  );
});
