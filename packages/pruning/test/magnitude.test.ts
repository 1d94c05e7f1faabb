import { NonFiniteError } from '@thimble/base';
import { magnitudeMask } from '@thimble/pruning';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const kept = (mask: Uint8Array) => mask.reduce((sum, keep) => sum + keep, 0);

describe('magnitudeMask', () => {
  // tensorflow/model-optimization, sparsity/keras/pruning_impl_test.py
  it('agrees with model-optimization on ten weights', () => {
    const mask = magnitudeMask([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 0.200000018);
    expect(Array.from(mask)).toEqual([0, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
  });

  it('agrees with model-optimization on the number that survives a rising schedule', () => {
    const weights = Array.from({ length: 100 }, (_, i) => i + 1);
    const survivors = [0, 0.1, 0.1, 0.3, 0.3, 0.5, 0.5, 0.5, 0.5, 0.5].map((sparsity) =>
      kept(magnitudeMask(weights, sparsity)),
    );
    expect(survivors).toEqual([100, 90, 90, 70, 70, 50, 50, 50, 50, 50]);
  });

  it('breaks ties by index', () => {
    expect(Array.from(magnitudeMask([2, -1, 1, 1, -1, 3], 0.5))).toEqual([1, 0, 0, 0, 1, 1]);
    expect(Array.from(magnitudeMask([1, 1, 1, 1], 0.5))).toEqual([0, 0, 1, 1]);
  });

  it('removes nothing, everything, or from nothing', () => {
    expect(Array.from(magnitudeMask([1, 2], 0))).toEqual([1, 1]);
    expect(Array.from(magnitudeMask([1, 2], 1))).toEqual([0, 0]);
    expect(magnitudeMask([], 0.5)).toEqual(new Uint8Array(0));
  });

  it('names a value that has no order', () => {
    expect(() => magnitudeMask([1, Number.NaN], 0.5)).toThrow(NonFiniteError);
    expect(() => magnitudeMask([1, Number.NaN], 0.5)).toThrow('value 1 is NaN');
  });

  it('removes exactly k, none larger than one that stays', () => {
    // Few different values, so that ties are common.
    const values = fc.array(fc.integer({ min: -5, max: 5 }), { maxLength: 60 });
    fc.assert(
      fc.property(values, fc.double({ min: 0, max: 1, noNaN: true }), (w, sparsity) => {
        const mask = magnitudeMask(w, sparsity);
        expect(kept(mask)).toBe(w.length - Math.round(sparsity * w.length));
        const sizes = (keep: number) => w.filter((_, i) => mask[i] === keep).map(Math.abs);
        expect(Math.max(...sizes(0), 0)).toBeLessThanOrEqual(Math.min(...sizes(1), 5));
        const cut = Math.max(...sizes(0), -1);
        const tied = w.flatMap((value, i) => (Math.abs(value) === cut ? [mask[i]!] : []));
        expect(tied).toEqual(tied.toSorted());
      }),
      { seed: 42 },
    );
  });

  it('needs about linear time, sorted or equal input included', () => {
    const n = 1_000_000;
    const started = performance.now();
    for (const values of [
      Float32Array.from({ length: n }, (_, i) => i),
      new Float32Array(n).fill(1),
      Float32Array.from({ length: n }, (_, i) => (i % 2 ? i : -i)),
    ]) {
      expect(kept(magnitudeMask(values, 0.9))).toBe(n / 10);
    }
    expect(performance.now() - started).toBeLessThan(5000);
  });
});
