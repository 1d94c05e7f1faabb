import { DataError, NonFiniteError, OptionError, Random, ShapeError } from '@thimble/base';
import { LeastSquares, lasso } from '@thimble/core';
import '@thimble/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

/** Sums per example of a random design. */
function design(seed: number, rows: number, inputs: number) {
  const random = new Random('lasso', seed);
  const sums = new LeastSquares(inputs, 1);
  const x = Float64Array.from({ length: rows * inputs }, () => random.normal());
  const y = Float64Array.from({ length: rows }, () => random.normal());
  sums.add(x, y, rows);
  const perExample = (sum: number) => sum / rows;
  return {
    gram: sums.gram().map(perExample),
    correlations: sums.correlations.map(perExample),
    sums,
  };
}

const largest = (values: Float64Array): number => Math.max(...values.map(Math.abs));

describe('lasso', () => {
  it('is soft thresholding where the inputs are orthonormal', () => {
    const gram = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
    const { coefficients, converged } = lasso(gram, [3, -2, 0.5, -0.75], 0.75);
    expect(coefficients).toEqual(Float64Array.of(2.25, -1.25, 0, 0));
    expect(converged).toBe(true);
  });

  it('divides by the squares where the inputs are orthogonal, and leaves empty ones out', () => {
    const { coefficients } = lasso([4, 0, 0, 0, 0, 0, 0, 0, 0.5], [3, 0, -2], 1);
    expect(coefficients).toEqual(Float64Array.of(0.5, 0, -2));
  });

  it('agrees with two inputs worked out by hand', () => {
    // Both stay: G b = c - lambda * sign(b), so [[2, 1], [1, 2]] b = [4, 3.5] and b = [1.5, 1].
    expect(lasso([2, 1, 1, 2], [5, 4.5], 1).coefficients).toBeAllClose([1.5, 1], 1e-8);
    // The second goes: b = (5 - 2) / 2 and |2.5 - 1.5| < 2.
    expect(lasso([2, 1, 1, 2], [5, 2.5], 2).coefficients).toBeAllClose([1.5, 0], 1e-8);
  });

  it('fulfils the conditions of Karush, Kuhn and Tucker', () => {
    const property = (seed: number, inputs: number, extra: number, part: number) => {
      // Fewer examples than inputs among them.
      const { gram, correlations } = design(seed, Math.max(1, inputs + extra), inputs);
      const lambda = part * largest(correlations);
      const { coefficients, converged } = lasso(gram, correlations, lambda);
      expect(converged).toBe(true);
      for (let j = 0; j < inputs; j++) {
        let slope = correlations[j]!;
        for (let k = 0; k < inputs; k++) slope -= gram[j * inputs + k]! * coefficients[k]!;
        const sign = Math.sign(coefficients[j]!);
        if (sign === 0) expect(Math.abs(slope)).toBeLessThanOrEqual(lambda + 1e-6);
        else expect(Math.abs(slope - lambda * sign)).toBeLessThan(1e-6);
      }
    };
    fc.assert(
      fc.property(
        fc.integer(),
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: -4, max: 20 }),
        fc.double({ min: 0.01, max: 1.1, noNaN: true }),
        property,
      ),
      { seed: 14, numRuns: 200 },
    );
  });

  it('is least squares without a penalty, and nothing from the largest correlation on', () => {
    const { gram, correlations, sums } = design(1, 40, 6);
    expect(lasso(gram, correlations, 0).coefficients).toBeAllClose(sums.solve(), 1e-6);
    const limit = largest(correlations);
    expect(lasso(gram, correlations, limit).coefficients).toEqual(new Float64Array(6));
    expect(largest(lasso(gram, correlations, 0.999 * limit).coefficients)).toBeGreaterThan(0);
  });

  it('needs fewer sweeps from a good start and ends at the same place', () => {
    const { gram, correlations } = design(2, 30, 20);
    const lambda = 0.1 * largest(correlations);
    const cold = lasso(gram, correlations, lambda);
    const warm = lasso(gram, correlations, lambda, { start: cold.coefficients });
    expect(warm.iterations).toBeLessThan(cold.iterations / 2);
    expect(warm.coefficients).toBeAllClose(cold.coefficients, 1e-7);
  });

  it('says when the sweeps run out', () => {
    const { gram, correlations } = design(3, 30, 20);
    const result = lasso(gram, correlations, 0.01, { iterations: 2 });
    expect(result).toMatchObject({ converged: false, iterations: 2 });
  });

  it('refuses what does not fit', () => {
    expect(() => lasso([1, 0, 0], [1, 1], 1)).toThrow(ShapeError);
    expect(() => lasso([1, 0, 0, 1], [1, 1], 1, { start: [0] })).toThrow(ShapeError);
    expect(() => lasso([1, 0, 0, Number.NaN], [1, 1], 1)).toThrow(NonFiniteError);
    expect(() => lasso([1, 0, 0, 1], [1, Number.POSITIVE_INFINITY], 1)).toThrow(
      'value 1 of correlations',
    );
    expect(() => lasso([1, 0, 0, -1], [1, 1], 1)).toThrow(DataError);
    expect(() => lasso([1], [1], -1)).toThrow(OptionError);
    for (const options of [{ iterations: 0 }, { tolerance: -1 }, { steps: 3 }]) {
      expect(() => lasso([1], [1], 1, options as never)).toThrow(OptionError);
    }
  });
});
