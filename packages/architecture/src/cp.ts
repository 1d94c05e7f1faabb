// CP: a tensor as a sum of products of vectors, by alternating least squares.
import { Random } from '@thimble/base';
import { CholeskyDecomposition, Matrix } from 'ml-matrix';

/** A tensor of any number of axes, row by row. */
export interface Values {
  shape: number[];
  data: Float64Array;
}

/** One matrix [size of the axis, rank] for each axis, row by row. */
export type CpFactors = Float64Array[];

/** Random starts, of which the best counts; one only where a step is long. */
const STARTS = 3;
const LONG = 500_000;

/** Added to the diagonal, relative to it: the sums of nearly parallel components stay finite. */
const RIDGE = 1e-12;

/**
 * Factors with a small `|| T - sum_r a_r x b_r x c_r x ... ||`, and what they lose of the tensor's squares. In
 * turn each factor is the least-squares solution with the others fixed; from three seeded random starts (large
 * problems: one), each until the loss falls by less than 1e-6 of itself or `iterations` are over.
 */
export function cp(
  tensor: Values,
  rank: number,
  iterations: number,
  seed: number | string,
): { factors: CpFactors; lost: number } {
  const total = tensor.data.reduce((sum, value) => sum + value * value, 0);
  const starts = tensor.data.length * rank > LONG ? 1 : STARTS;
  let best: { factors: CpFactors; lost: number } | undefined;
  for (let start = 0; start < starts; start++) {
    const random = new Random(seed, 'cp', start);
    const factors = tensor.shape.map((size) =>
      Float64Array.from({ length: size * rank }, () => random.normal()),
    );
    const lost = total > 0 ? alternate(tensor, factors, rank, iterations, total) : 0;
    if (!best || lost < best.lost) best = { factors, lost };
    if (best.lost < 1e-12) break;
  }
  balance(best!.factors, rank);
  return best!;
}

/** Improves the factors in place; what they lose in the end. */
function alternate(
  tensor: Values,
  factors: CpFactors,
  rank: number,
  iterations: number,
  total: number,
): number {
  const grams = factors.map((factor) => gramOf(factor, rank));
  let lost = 1;
  for (let iteration = 0; iteration < iterations; iteration++) {
    let inner = 0;
    const rows = contracted(tensor, factors.at(-1)!, rank);
    for (const axis of factors.keys()) {
      const right = projected(tensor, factors, axis, rank, rows);
      const left = new Matrix(rank, rank);
      for (let i = 0; i < rank; i++) {
        for (let j = 0; j < rank; j++) {
          const value = grams.reduce((n, gram, k) => (k === axis ? n : n * gram[i * rank + j]!), 1);
          left.set(i, j, i === j ? value * (1 + RIDGE) + Number.MIN_VALUE : value);
        }
      }
      factors[axis] = solved(left, right, tensor.shape[axis]!, rank);
      grams[axis] = gramOf(factors[axis]!, rank);
      // <T, approximation>, with the last axis solved for.
      inner = dot(right, factors[axis]!);
    }
    let square = 0;
    for (let i = 0; i < rank * rank; i++) square += grams.reduce((n, gram) => n * gram[i]!, 1);
    const now = Math.max(0, (total - 2 * inner + square) / total);
    const done = now < 1e-13 || lost - now < 1e-6 * now;
    lost = now;
    if (done && iteration > 0) break;
  }
  return lost;
}

/** The rows of a tensor along its last axis times the factor of that axis: [number of rows, rank]. */
function contracted({ shape, data }: Values, last: Float64Array, rank: number): Float64Array {
  const row = shape.at(-1)!;
  const result = new Float64Array((data.length / row) * rank);
  for (let at = 0, to = 0; at < data.length; at += row, to += rank) {
    for (let j = 0; j < row; j++) {
      const value = data[at + j]!;
      const from = j * rank;
      for (let r = 0; r < rank; r++) result[to + r]! += value * last[from + r]!;
    }
  }
  return result;
}

/**
 * The products of the tensor with all factors but one, component by component: [size of the axis, rank]. For all
 * axes but the last, `rows` is the tensor contracted with the last factor.
 */
function projected(
  { shape, data }: Values,
  factors: CpFactors,
  axis: number,
  rank: number,
  rows: Float64Array,
): Float64Array {
  const result = new Float64Array(shape[axis]! * rank);
  const last = shape.length - 1;
  const index = new Int32Array(last);
  const product = new Float64Array(rank);
  const row = shape[last]!;
  for (let place = 0; place * row < data.length; place++) {
    product.fill(1);
    for (let k = 0; k < last; k++) {
      if (k === axis) continue;
      const from = index[k]! * rank;
      for (let r = 0; r < rank; r++) product[r]! *= factors[k]![from + r]!;
    }
    if (axis === last) {
      for (let j = 0; j < row; j++) {
        const value = data[place * row + j]!;
        const to = j * rank;
        for (let r = 0; r < rank; r++) result[to + r]! += value * product[r]!;
      }
    } else {
      const [to, from] = [index[axis]! * rank, place * rank];
      for (let r = 0; r < rank; r++) result[to + r]! += rows[from + r]! * product[r]!;
    }
    for (let k = last - 1; k >= 0; k--) {
      index[k]!++;
      if (index[k]! < shape[k]!) break;
      index[k] = 0;
    }
  }
  return result;
}

/** The X [rows, rank] with `X left = right`; where `left` is singular, nearly so. */
function solved(left: Matrix, right: Float64Array, rows: number, rank: number): Float64Array {
  const turned = Matrix.from1DArray(rows, rank, right).transpose();
  for (let ridge = 1e-12; ; ridge *= 100) {
    const cholesky = new CholeskyDecomposition(left);
    if (cholesky.isPositiveDefinite() || ridge > 1) {
      return Float64Array.from(cholesky.solve(turned).transpose().to1DArray());
    }
    for (let i = 0; i < rank; i++) left.set(i, i, left.get(i, i) * (1 + ridge) + Number.MIN_VALUE);
  }
}

function gramOf(factor: Float64Array, rank: number): Float64Array {
  const gram = new Float64Array(rank * rank);
  for (let at = 0; at < factor.length; at += rank) {
    for (let i = 0; i < rank; i++) {
      for (let j = 0; j < rank; j++) gram[i * rank + j]! += factor[at + i]! * factor[at + j]!;
    }
  }
  return gram;
}

function dot(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0);
}

/** Gives the vectors of each component the same length. */
function balance(factors: CpFactors, rank: number): void {
  for (let r = 0; r < rank; r++) {
    const norms = factors.map((factor) => {
      let square = 0;
      for (let at = r; at < factor.length; at += rank) square += factor[at]! ** 2;
      return Math.sqrt(square);
    });
    const mean = norms.reduce((product, norm) => product * norm, 1) ** (1 / norms.length);
    for (const [k, factor] of factors.entries()) {
      const scale = norms[k]! > 0 ? mean / norms[k]! : 0;
      for (let at = r; at < factor.length; at += rank) factor[at]! *= scale;
    }
  }
}
