import { DataError, NonFiniteError, OptionError, Random, ShapeError } from '@thimble/base';
import { LeastSquares, leastSquares } from '@thimble/core';
import '@thimble/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

// The expected values below are numpy's (2.4.6):
//   def wave(n, f): return np.sin(f * np.arange(1, n + 1) ** 2)
//   x = wave(44, 0.9).reshape(11, 4); y = wave(22, 1.7).reshape(11, 2)
const wave = (n: number, f: number): number[] =>
  Array.from({ length: n }, (_, i) => Math.sin(f * (i + 1) ** 2));
const x = wave(44, 0.9);
const y = wave(22, 1.7);
const sizes = { rows: 11, inputs: 4, outputs: 2 };

/** x with other values in some columns. */
function withColumns(change: (row: number[], column: number) => number): number[] {
  return x.map((_, i) => change(x.slice(i - (i % 4), i - (i % 4) + 4), i % 4));
}

describe('leastSquares', () => {
  it('agrees with numpy', () => {
    // np.linalg.lstsq(x, y)[0]
    expect(leastSquares(x, y, sizes)).toBeAllClose(
      [
        -0.052070941, 0.578558074, -0.224853043, -0.128877802, 0.442306539, -0.03440326,
        0.004556841, 0.239941361,
      ],
      1e-7,
    );
  });

  it('scales the ridge by the mean square of the inputs', () => {
    // g = x.T @ x; np.linalg.solve(g + 0.1 * np.trace(g) / 4 * np.eye(4), x.T @ y)
    expect(leastSquares(x, y, { ...sizes, ridge: 0.1 })).toBeAllClose(
      [
        -0.051044595, 0.506555809, -0.199021504, -0.112751625, 0.401515038, -0.039148227,
        0.001553769, 0.223046461,
      ],
      1e-7,
    );
  });

  it('gives the solution of smallest norm where inputs depend on one another', () => {
    // x[:, 3] = 2 * x[:, 0] - x[:, 1]; np.linalg.lstsq(x, y)[0]
    const dependent = withColumns((row, column) =>
      column === 3 ? 2 * row[0]! - row[1]! : row[column]!,
    );
    const expected = [
      -0.092766758, 0.125737133, -0.205854202, 0.026497218, 0.441283589, -0.088266871, 0.020320686,
      0.224977048,
    ];
    expect(leastSquares(dependent, y, sizes)).toBeAllClose(expected, 1e-7);
    // g = x.T @ x; np.linalg.solve(g + 1e-4 * np.trace(g) / 4 * np.eye(4), x.T @ y)
    expect(leastSquares(dependent, y, { ...sizes, ridge: 1e-4 })).toBeAllClose(
      [
        -0.092749416, 0.125727721, -0.205815835, 0.026486322, 0.441216182, -0.088254717,
        0.020317002, 0.224969121,
      ],
      1e-7,
    );
  });

  it('gives the solution of smallest norm where there are fewer examples than inputs', () => {
    // np.linalg.lstsq(x[:2], y[:2])[0]
    expect(leastSquares(x.slice(0, 8), y.slice(0, 4), { ...sizes, rows: 2 })).toBeAllClose(
      [
        0.185053045, -0.128988802, 0.002150488, 0.351829992, 0.367027427, 0.200852896, 0.509169258,
        0.575815316,
      ],
      1e-7,
    );
  });

  it('leaves inputs out that are always 0', () => {
    // x[:, 1] = 0; x[:, 3] = 0.5 * x[:, 0]; np.linalg.lstsq(x, y)[0]
    const dead = withColumns((row, column) => [row[0]!, 0, row[2]!, 0.5 * row[0]!][column]!);
    expect(leastSquares(dead, y, sizes)).toBeAllClose(
      [-0.069958655, 0.435754866, 0, 0, 0.414917665, -0.111404294, -0.034979327, 0.217877433],
      1e-7,
    );
    expect(leastSquares([0, 0], [1, 2], { rows: 2, inputs: 1, outputs: 1 })).toEqual(
      Float32Array.of(0),
    );
  });

  it('is not disturbed by inputs of very different sizes', () => {
    // The solution of x, divided by the sizes.
    const scale = [1e6, 1, 1e-6, 1];
    const scaled = withColumns((row, column) => row[column]! * scale[column]!);
    const plain = leastSquares(x, y, sizes);
    const result = leastSquares(scaled, y, sizes);
    for (const [i, value] of plain.entries()) {
      expect(result[i]! * scale[i >> 1]!).toBeCloseTo(value, 6);
    }
  });

  it('divides in the case of one column', () => {
    // (1 * 2 + 2 * 3 + 3 * 7) / (1 + 4 + 9) = 29 / 14; with ridge 1 the divisor is twice as large
    const one = { rows: 3, inputs: 1, outputs: 1 };
    expect(leastSquares([1, 2, 3], [2, 3, 7], one)).toEqual(Float32Array.of(29 / 14));
    expect(leastSquares([1, 2, 3], [2, 3, 7], { ...one, ridge: 1 })).toBeAllClose([29 / 28], 1e-7);
  });

  it('finds the matrix that the outputs were made with', () => {
    const property = (seed: number, inputs: number, outputs: number, extra: number) => {
      const random = new Random('recover', seed);
      const rows = 2 * inputs + extra;
      const weights = Float32Array.from({ length: inputs * outputs }, () => random.normal());
      const xs = Float32Array.from({ length: rows * inputs }, () => random.normal());
      const ys = new Float64Array(rows * outputs);
      for (let r = 0; r < rows; r++) {
        for (let i = 0; i < inputs; i++) {
          for (let o = 0; o < outputs; o++) {
            ys[r * outputs + o]! += xs[r * inputs + i]! * weights[i * outputs + o]!;
          }
        }
      }
      expect(leastSquares(xs, ys, { rows, inputs, outputs })).toBeAllClose(weights, 1e-6);
    };
    const size = fc.integer({ min: 1, max: 9 });
    fc.assert(fc.property(fc.integer(), size, size, size, property), { seed: 13, numRuns: 100 });
  });

  it('refuses what does not fit', () => {
    expect(() => leastSquares(x, y, { ...sizes, rows: 10 })).toThrow(ShapeError);
    expect(() => leastSquares(x, y, { ...sizes, rows: 10 })).toThrow(
      'x of 10 rows takes 10 x 4 values, not 44',
    );
    expect(() => leastSquares(x, y.slice(1), sizes)).toThrow(ShapeError);
    const broken = x.slice();
    broken[9] = Number.NaN;
    expect(() => leastSquares(broken, y, sizes)).toThrow(NonFiniteError);
    expect(() => leastSquares(broken, y, sizes)).toThrow('value 1 of row 2 of x is NaN');
    expect(() => leastSquares([], [], { ...sizes, rows: 0 })).toThrow(DataError);
    for (const options of [{ ridge: -1 }, { ridge: Number.NaN }, { inputs: 0 }, { rigde: 1 }]) {
      expect(() => leastSquares(x, y, { ...sizes, ...options })).toThrow(OptionError);
    }
  });
});

describe('LeastSquares', () => {
  it('collects the same sums in any batches', () => {
    const whole = new LeastSquares(4, 2);
    whole.add(x, y, 11);
    for (const batches of [[11], [1, 10], [4, 7], [5, 0, 2, 4], [3, 3, 3, 2]]) {
      const parts = new LeastSquares(4, 2);
      let row = 0;
      for (const rows of batches) {
        parts.add(x.slice(4 * row, 4 * (row + rows)), y.slice(2 * row, 2 * (row + rows)), rows);
        row += rows;
      }
      expect(parts.rows).toBe(11);
      expect(parts.gram()).toBeAllClose(whole.gram(), 1e-14);
      expect(parts.correlations).toBeAllClose(whole.correlations, 1e-14);
    }
  });

  it('keeps the sums of products', () => {
    const sums = new LeastSquares(2, 1);
    sums.add([0, 2, 3, 4, 0, 5, 0, 0, 6, 0], [1, 10, 100, 7, -1], 5);
    // a: 0 3 0 0 6, b: 2 4 5 0 0, y: 1 10 100 7 -1
    expect(sums.gram()).toEqual(Float64Array.of(45, 12, 12, 45));
    expect(sums.correlations).toEqual(Float64Array.of(24, 542));
  });

  it('adds nothing of a batch with a value that is not finite', () => {
    const sums = new LeastSquares(1, 1);
    sums.add([1], [2], 1);
    expect(() => sums.add([1, 1, 1], [2, 2, Number.POSITIVE_INFINITY], 3)).toThrow(NonFiniteError);
    expect(sums.gram()).toEqual(Float64Array.of(1));
    expect(sums.correlations).toEqual(Float64Array.of(2));
    expect(sums.rows).toBe(1);
  });

  it('can be solved, added to and solved again', () => {
    const sums = new LeastSquares(1, 1);
    sums.add([1], [2], 1);
    expect(sums.solve()).toEqual(Float32Array.of(2));
    sums.add([2], [-1], 1);
    expect(sums.solve()).toEqual(Float32Array.of(0));
  });
});
