// Linear least squares on sums that are collected batch by batch.
import {
  checkInteger,
  checkOptions,
  checkRange,
  DataError,
  NonFiniteError,
  ShapeError,
} from '@thimble/base';
import { CholeskyDecomposition, EigenvalueDecomposition, Matrix } from 'ml-matrix';

/** Options of {@link leastSquares}. */
export interface LeastSquaresOptions {
  /** Number of examples. */
  rows: number;
  /** Values of an example in `x`. */
  inputs: number;
  /** Values of an example in `y`. */
  outputs: number;
  /** See {@link LeastSquares.solve}; default 0. */
  ridge?: number;
}

/** Rows that are added in one pass over the sums. */
const BLOCK = 4;

/** The least square of a pivot, for columns of length 1, that a Cholesky factor is trusted with. */
const SMALLEST_PIVOT = 1e-10;

/**
 * Finds the matrix W [inputs, outputs] with the least `||X W - Y||^2` over examples that come in batches.
 * Only the sums `X'X` and `X'Y` are kept, in double precision: memory of `inputs * (inputs + outputs)`
 * numbers, however many examples there are. An example takes `inputs * (inputs / 2 + outputs)`
 * multiply-accumulates.
 *
 * @throws {OptionError} when `inputs` or `outputs` is not a whole number above 0.
 * @example
 * // y = 2 a - b
 * const fit = new LeastSquares(2, 1);
 * fit.add([1, 0, 0, 1], [2, -1], 2); // two examples (a, b) = (1, 0), (0, 1)
 * fit.add([1, 1], [1], 1);
 * fit.solve(); // 2, -1
 */
export class LeastSquares {
  readonly inputs: number;
  readonly outputs: number;
  /** The sum `X'Y` [inputs, outputs]. */
  readonly correlations: Float64Array;
  #rows = 0;
  /** `X'X`, its upper triangle. */
  readonly #gram: Float64Array;
  readonly #x: Float64Array;
  readonly #y: Float64Array;

  constructor(inputs: number, outputs: number) {
    checkInteger('LeastSquares', 'inputs', inputs, 1);
    checkInteger('LeastSquares', 'outputs', outputs, 1);
    this.inputs = inputs;
    this.outputs = outputs;
    this.correlations = new Float64Array(inputs * outputs);
    this.#gram = new Float64Array(inputs * inputs);
    this.#x = new Float64Array(BLOCK * inputs);
    this.#y = new Float64Array(BLOCK * outputs);
  }

  /** Number of examples so far. */
  get rows(): number {
    return this.#rows;
  }

  /** The sum `X'X` [inputs, inputs], a new array; for {@link lasso}. */
  gram(): Float64Array {
    const n = this.inputs;
    const full = this.#gram.slice();
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < i; j++) full[i * n + j] = full[j * n + i]!;
    }
    return full;
  }

  /**
   * Adds examples.
   *
   * @param x [rows, inputs], row by row
   * @param y [rows, outputs]
   * @throws {ShapeError} when there are not `rows * inputs` and `rows * outputs` values.
   * @throws {NonFiniteError} naming the first value that is NaN or infinite; nothing of this call is added.
   */
  add(x: ArrayLike<number>, y: ArrayLike<number>, rows: number): void {
    checkInteger('LeastSquares', 'rows', rows, 0);
    checkValues('x', x, rows, this.inputs);
    checkValues('y', y, rows, this.outputs);
    for (let start = 0; start < rows; start += BLOCK) {
      copyRows(x, this.#x, start, this.inputs);
      copyRows(y, this.#y, start, this.outputs);
      this.#addBlock();
    }
    this.#rows += rows;
  }

  /** Adds the four rows in `#x` and `#y`. */
  #addBlock(): void {
    const x = this.#x;
    const n = this.inputs;
    for (let i = 0; i < n; i++) {
      const a = x[i]!;
      const b = x[n + i]!;
      const c = x[2 * n + i]!;
      const d = x[3 * n + i]!;
      if (a === 0 && b === 0 && c === 0 && d === 0) continue;
      addRow(this.#gram, i * n, x, n, i, a, b, c, d);
      addRow(this.correlations, i * this.outputs, this.#y, this.outputs, 0, a, b, c, d);
    }
  }

  /**
   * The W [inputs, outputs], row by row, with the least
   * `||X W - Y||^2 + ridge * trace(X'X) / inputs * ||W||^2`.
   *
   * By a Cholesky factorisation of `X'X` where that is well conditioned. Else (fewer examples than
   * inputs, inputs that depend on one another) by its eigenvectors: of all solutions the one of smallest
   * norm, where directions in which the inputs have less than about 1e-7 of their largest extent count
   * as empty. That takes several seconds above 400 inputs; a ridge of 1e-6 avoids it. Inputs that are
   * always 0 get the weight 0 and do no harm.
   *
   * @param ridge relative to the mean square of the inputs, at least 0; default 0
   * @throws {DataError} when no example has been added.
   */
  solve(ridge: number = 0): Float32Array {
    checkRange('LeastSquares', 'ridge', ridge, 0);
    if (this.#rows === 0) throw new DataError('LeastSquares: add examples before solving.');
    const { inputs, outputs, correlations } = this;
    const gram = this.#gram;
    const used: number[] = [];
    let trace = 0;
    for (let i = 0; i < inputs; i++) {
      const square = gram[i * inputs + i]!;
      if (square > 0) used.push(i);
      trace += square;
    }
    const result = new Float32Array(inputs * outputs);
    if (used.length === 0) return result;
    const added = (ridge * trace) / inputs;
    const left = matrix(used.length, used.length, (i, j) => {
      const [low, high] = i < j ? [i, j] : [j, i];
      return gram[used[low]! * inputs + used[high]!]! + (i === j ? added : 0);
    });
    const right = matrix(used.length, outputs, (i, j) => correlations[used[i]! * outputs + j]!);
    const solution = solveDefinite(left, right) ?? solveSingular(left, right);
    for (const [i, input] of used.entries()) {
      for (let j = 0; j < outputs; j++) result[input * outputs + j] = solution.get(i, j);
    }
    return result;
  }
}

/**
 * The matrix W [inputs, outputs], row by row, with the least
 * `||X W - Y||^2 + ridge * trace(X'X) / inputs * ||W||^2`. For data in batches, and for how it is solved,
 * see {@link LeastSquares}.
 *
 * @param x [rows, inputs], row by row
 * @param y [rows, outputs]
 * @throws {ShapeError} when the number of values does not fit; {NonFiniteError} when one is not finite.
 * @throws {DataError} when there are no rows; {OptionError} for options out of range.
 * @example
 * const x = [1, 0, 0, 1, 1, 1];
 * leastSquares(x, [2, -1, 1], { rows: 3, inputs: 2, outputs: 1 }); // 2, -1
 */
export function leastSquares(
  x: ArrayLike<number>,
  y: ArrayLike<number>,
  options: LeastSquaresOptions,
): Float32Array {
  checkOptions('leastSquares', options, ['rows', 'inputs', 'outputs', 'ridge']);
  const sums = new LeastSquares(options.inputs, options.outputs);
  sums.add(x, y, options.rows);
  return sums.solve(options.ridge);
}

/** `sums[offset + j] += a * x[0][j] + b * x[1][j] + c * x[2][j] + d * x[3][j]` from `j = first` on. */
function addRow(
  sums: Float64Array,
  offset: number,
  x: Float64Array,
  n: number,
  first: number,
  a: number,
  b: number,
  c: number,
  d: number,
): void {
  for (let j = first; j < n; j++) {
    sums[offset + j] =
      sums[offset + j]! + (a * x[j]! + b * x[n + j]! + (c * x[2 * n + j]! + d * x[3 * n + j]!));
  }
}

function checkValues(name: string, values: ArrayLike<number>, rows: number, width: number): void {
  if (values.length !== rows * width) {
    throw new ShapeError(
      `LeastSquares: ${name} of ${rows} rows takes ${rows} x ${width} values, not ${values.length}.`,
    );
  }
  for (let i = 0; i < values.length; i++) {
    if (Number.isFinite(values[i]!)) continue;
    throw new NonFiniteError(
      `LeastSquares: value ${i % width} of row ${Math.floor(i / width)} of ${name} is ${values[i]}.`,
    );
  }
}

/** Copies a block of rows; 0 where there are no more. */
function copyRows(
  values: ArrayLike<number>,
  block: Float64Array,
  start: number,
  width: number,
): void {
  const first = start * width;
  const count = Math.min(block.length, values.length - first);
  for (let i = 0; i < count; i++) block[i] = values[first + i]!;
  block.fill(0, count);
}

function matrix(rows: number, columns: number, value: (i: number, j: number) => number): Matrix {
  const result = new Matrix(rows, columns);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) result.set(i, j, value(i, j));
  }
  return result;
}

/** Solves `left W = right` where `left` is well conditioned once its diagonal is scaled to 1. */
function solveDefinite(left: Matrix, right: Matrix): Matrix | undefined {
  const scale = left.diagonal().map((square) => 1 / Math.sqrt(square));
  const { rows, columns } = right;
  const scaled = matrix(rows, rows, (i, j) =>
    i === j ? 1 : left.get(i, j) * (scale[i]! * scale[j]!),
  );
  const cholesky = new CholeskyDecomposition(scaled);
  const pivots = cholesky.lowerTriangularMatrix.diagonal();
  if (!pivots.every((pivot) => pivot * pivot > SMALLEST_PIVOT)) return undefined;
  const solution = cholesky.solve(matrix(rows, columns, (i, j) => right.get(i, j) * scale[i]!));
  return matrix(rows, columns, (i, j) => solution.get(i, j) * scale[i]!);
}

/** The solution of smallest norm, in the directions in which `left` is not 0 but for rounding. */
function solveSingular(left: Matrix, right: Matrix): Matrix {
  const { eigenvectorMatrix: vectors, realEigenvalues } = new EigenvalueDecomposition(left, {
    assumeSymmetric: true,
  });
  const largest = Math.max(...realEigenvalues);
  const smallest = Math.max(10, left.rows) * Number.EPSILON * largest;
  const inDirections = vectors.transpose().mmul(right);
  for (const [i, value] of realEigenvalues.entries()) {
    inDirections.mulRow(i, value > smallest ? 1 / value : 0);
  }
  return vectors.mmul(inDirections);
}
