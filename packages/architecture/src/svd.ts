// Singular values and low-rank factors of matrices in double precision.
import { EigenvalueDecomposition, Matrix } from 'ml-matrix';

/** Numbers row by row. */
export interface Values2d {
  rows: number;
  columns: number;
  data: Float64Array;
}

/** The singular value decomposition of a matrix, as far as factors are asked for. */
export interface Svd {
  /** In descending order, `min(rows, columns)` of them. */
  singular: Float64Array;
  /** The factors `U sqrt(S)` [rows, rank] and `sqrt(S) V'` [rank, columns] of the best matrix of a rank. */
  factors(rank: number): [left: Values2d, right: Values2d];
  /** The first `rank` left singular vectors [rows, rank]; zeros where there are no more. */
  left(rank: number): Values2d;
}

/** `a b`. */
export function multiply(a: Values2d, b: Values2d): Values2d {
  const data = new Float64Array(a.rows * b.columns);
  for (let i = 0; i < a.rows; i++) {
    for (let k = 0; k < a.columns; k++) {
      const factor = a.data[i * a.columns + k]!;
      if (factor === 0) continue;
      const [from, to] = [k * b.columns, i * b.columns];
      for (let j = 0; j < b.columns; j++) data[to + j]! += factor * b.data[from + j]!;
    }
  }
  return { rows: a.rows, columns: b.columns, data };
}

export function transpose({ rows, columns, data }: Values2d): Values2d {
  const turned = new Float64Array(data.length);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) turned[j * rows + i] = data[i * columns + j]!;
  }
  return { rows: columns, columns: rows, data: turned };
}

/**
 * By the eigenvectors of the smaller of `A A'` and `A' A`, which are ml-matrix's: its own singular value
 * decomposition takes three to five times as long on matrices of the size of layers. Singular values have an error
 * of about 1e-8 of the largest, below that of float32 weights.
 */
export function svd(a: Values2d): Svd {
  const wide = a.columns > a.rows;
  const gram = wide ? multiply(a, transpose(a)) : multiply(transpose(a), a);
  const size = gram.rows;
  const solved = new EigenvalueDecomposition(Matrix.from1DArray(size, size, gram.data), {
    assumeSymmetric: true,
  });
  const vectors = solved.eigenvectorMatrix;
  const order = Array.from({ length: size }, (_, i) => i).sort(
    (i, j) => solved.realEigenvalues[j]! - solved.realEigenvalues[i]!,
  );
  const singular = Float64Array.from(order, (i) =>
    Math.sqrt(Math.max(0, solved.realEigenvalues[i]!)),
  );
  /** The first `rank` eigenvectors as columns: right singular vectors, or left ones of a wide matrix. */
  const basis = (rank: number): Values2d => {
    const data = new Float64Array(size * rank);
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < Math.min(rank, size); j++) {
        data[i * rank + j] = vectors.get(i, order[j]!);
      }
    }
    return { rows: size, columns: rank, data };
  };
  const roots = singular.map(Math.sqrt);
  const smallest = 1e-12 * (roots[0] ?? 0);
  const inverse = roots.map((root) => (root > smallest ? 1 / root : 0));
  return {
    singular,
    factors(rank) {
      const known = basis(rank);
      if (wide) {
        const right = multiply(transpose(known), a);
        return [scaled(known, roots, 'columns'), scaled(right, inverse, 'rows')];
      }
      const left = multiply(a, known);
      return [scaled(left, inverse, 'columns'), scaled(transpose(known), roots, 'rows')];
    },
    left(rank) {
      if (wide) return basis(rank);
      const squares = inverse.map((value) => value * value);
      return scaled(multiply(a, basis(rank)), squares, 'columns');
    },
  };
}

/** Every row, or every column, times its factor. */
function scaled(a: Values2d, factors: Float64Array, along: 'rows' | 'columns'): Values2d {
  const data = a.data.map(
    (value, i) => value * factors[along === 'rows' ? Math.floor(i / a.columns) : i % a.columns]!,
  );
  return { ...a, data };
}

/** The part of the squares that lies behind the first `rank` of them. */
export function lostEnergy(singular: Float64Array, rank: number): number {
  let [all, lost] = [0, 0];
  for (const [i, value] of singular.entries()) {
    all += value * value;
    if (i >= rank) lost += value * value;
  }
  return all > 0 ? lost / all : 0;
}

/** The smallest rank that keeps a part of the squares. */
export function rankForEnergy(singular: Float64Array, energy: number): number {
  // A rounding error is no reason for one rank more.
  const allowed = 1 - energy + 1e-12;
  for (let rank = 1; rank < singular.length; rank++) {
    if (lostEnergy(singular, rank) <= allowed) return rank;
  }
  return singular.length;
}
