// Least squares with an absolute-value penalty, on the sums that LeastSquares collects.
import {
  checkInteger,
  checkOptions,
  checkRange,
  DataError,
  NonFiniteError,
  ShapeError,
} from '@thimble/base';

/** Options of {@link lasso}. */
export interface LassoFitOptions {
  /** Coefficients to start from, for example those of a neighbouring `lambda`; default 0. */
  start?: ArrayLike<number>;
  /** Sweeps over all coefficients, at most; default 10000. */
  iterations?: number;
  /**
   * The search ends when no coefficient moves its own gradient by more than this part of the largest
   * correlation; default 1e-9.
   */
  tolerance?: number;
}

/** What {@link lasso} found. */
export interface LassoFit {
  /** Exactly 0 where an input is left out. */
  coefficients: Float64Array;
  /** Sweeps that were made. */
  iterations: number;
  /** False when the sweeps ran out before the tolerance was reached. */
  converged: boolean;
}

/**
 * The coefficients b with the least `1/2 b'Gb - c'b + lambda * ||b||_1`, by coordinate descent:
 *
 * `b_j <- soft(c_j - sum over k != j of G_jk b_k, lambda) / G_jj`, with
 * `soft(a, t) = sign(a) * max(|a| - t, 0)`.
 *
 * With `G = Z'Z / N` and `c = Z'y / N` this is `1/2N ||y - Z b||^2 + lambda * ||b||_1`, up to a constant.
 * All are 0 from `lambda = max |c_j|` on. An input that is always 0 gets the coefficient 0.
 *
 * To choose channels (He et al. 2017, eq. 2), column i of Z is what channel i adds to the output,
 * `X_i W_i'`, over all examples and outputs, and y is the original output; lambda is raised until few
 * enough of the coefficients are left.
 *
 * Papers: Friedman, Hastie, Höfling, Tibshirani, "Pathwise coordinate optimization", 2007; He, Zhang, Sun,
 * "Channel Pruning for Accelerating Very Deep Neural Networks", 2017.
 *
 * @param gram G [n, n], symmetric, row by row; left as it is
 * @param correlations c [n]
 * @param lambda at least 0, in the unit of the correlations
 * @throws {ShapeError} when the sizes do not fit; {NonFiniteError} when a value is NaN or infinite.
 * @throws {DataError} when the diagonal of G is negative; {OptionError} for options out of range.
 * @example
 * const sums = new LeastSquares(2, 1);
 * sums.add([1, 0, 0, 1, 1, 1], [3, 0.1, 3.1], 3);
 * const perExample = (sum) => sum / sums.rows;
 * const gram = sums.gram().map(perExample);
 * lasso(gram, sums.correlations.map(perExample), 0.8).coefficients; // 1.85, 0
 */
export function lasso(
  gram: ArrayLike<number>,
  correlations: ArrayLike<number>,
  lambda: number,
  options: LassoFitOptions = {},
): LassoFit {
  checkOptions('lasso', options, ['start', 'iterations', 'tolerance']);
  const { start, iterations = 10_000, tolerance = 1e-9 } = options;
  checkRange('lasso', 'lambda', lambda, 0);
  checkInteger('lasso', 'iterations', iterations, 1);
  checkRange('lasso', 'tolerance', tolerance, 0);
  const n = correlations.length;
  checkValues('gram', gram, n * n);
  checkValues('correlations', correlations, n);
  const coefficients = new Float64Array(n);
  if (start) {
    checkValues('start', start, n);
    coefficients.set(start);
  }
  const gradient = negativeGradient(gram, correlations, coefficients);
  let largest = 0;
  for (let j = 0; j < n; j++) {
    if (gram[j * n + j]! < 0) {
      throw new DataError(
        `lasso: entry ${j} of the diagonal of gram is ${gram[j * n + j]}; a sum of squares is at least 0.`,
      );
    }
    largest = Math.max(largest, Math.abs(correlations[j]!));
  }
  for (let done = 1; done <= iterations; done++) {
    if (sweep(gram, gradient, coefficients, lambda) <= tolerance * largest) {
      return { coefficients, iterations: done, converged: true };
    }
  }
  return { coefficients, iterations, converged: false };
}

/** `c - G b` */
function negativeGradient(
  gram: ArrayLike<number>,
  correlations: ArrayLike<number>,
  coefficients: Float64Array,
): Float64Array {
  const n = coefficients.length;
  const gradient = Float64Array.from(correlations);
  for (let k = 0; k < n; k++) {
    const coefficient = coefficients[k]!;
    if (coefficient !== 0)
      for (let j = 0; j < n; j++) gradient[j]! -= gram[k * n + j]! * coefficient;
  }
  return gradient;
}

/** Sets every coefficient to its best value, the others held; returns the largest move of a gradient. */
function sweep(
  gram: ArrayLike<number>,
  gradient: Float64Array,
  coefficients: Float64Array,
  lambda: number,
): number {
  const n = coefficients.length;
  let moved = 0;
  for (let j = 0; j < n; j++) {
    const square = gram[j * n + j]!;
    const before = coefficients[j]!;
    const pull = gradient[j]! + square * before;
    const after = square > 0 ? soft(pull, lambda) / square : 0;
    const change = after - before;
    if (change === 0) continue;
    coefficients[j] = after;
    for (let k = 0; k < n; k++) gradient[k]! -= gram[j * n + k]! * change;
    moved = Math.max(moved, square * Math.abs(change));
  }
  return moved;
}

function soft(value: number, threshold: number): number {
  if (Math.abs(value) <= threshold) return 0;
  return value > 0 ? value - threshold : value + threshold;
}

function checkValues(name: string, values: ArrayLike<number>, length: number): void {
  if (values.length !== length) {
    throw new ShapeError(`lasso: ${name} takes ${length} values, not ${values.length}.`);
  }
  for (let i = 0; i < length; i++) {
    if (!Number.isFinite(values[i]!)) {
      throw new NonFiniteError(`lasso: value ${i} of ${name} is ${values[i]}.`);
    }
  }
}
