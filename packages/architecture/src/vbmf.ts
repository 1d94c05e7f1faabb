// The rank of a matrix by variational Bayes.
import { checkInteger, checkOptions, ShapeError } from '@thimble/base';
import { svd } from './svd.ts';

/**
 * The rank that empirical variational Bayesian matrix factorisation gives a noisy matrix Y [rows, columns]: the
 * number of singular values above the threshold of its global analytic solution, with the variance of the noise
 * estimated too. 0 where all is noise.
 *
 * With L <= M the sides, `a = L / M`, `t = 2.5129 sqrt(a)`, `x = (1 + t)(1 + a / t)`:
 *
 * - the variance s2 minimises
 *   `sum_{x_h <= x}(x_h - log x_h) + sum_{x_h > x}(x_h - t_h + log((t_h + 1) / x_h) + a log(t_h / a + 1))`
 *   where `x_h = y_h^2 / (M s2)` and `t_h = (x_h - 1 - a + sqrt((x_h - 1 - a)^2 - 4 a)) / 2`
 * - kept are the singular values `y_h > sqrt(M s2 x)`
 *
 * Paper: Nakajima, Sugiyama, Babacan, Tomioka, "Global Analytic Solution of Fully-observed Variational Bayesian
 * Matrix Factorization", 2013, theorem 2 and section 4; used for ranks of layers by Kim et al., 2016.
 *
 * @param values row by row
 * @throws {ShapeError} when there are not `rows * columns` values.
 * @example
 * const values = Float64Array.from({ length: 600 }, (_, i) => Math.sin(Math.floor(i / 20)) * (i % 20));
 * vbmfRank(values, { rows: 30, columns: 20 }); // 1
 */
export function vbmfRank(
  values: ArrayLike<number>,
  options: { rows: number; columns: number },
): number {
  checkOptions('vbmfRank', options, ['rows', 'columns']);
  const { rows, columns } = options;
  checkInteger('vbmfRank', 'rows', rows, 1);
  checkInteger('vbmfRank', 'columns', columns, 1);
  if (values.length !== rows * columns) {
    throw new ShapeError(
      `vbmfRank: ${rows} x ${columns} takes ${rows * columns} values, not ${values.length}.`,
    );
  }
  return rankOfSingular(
    svd({ rows, columns, data: Float64Array.from(values) }).singular,
    rows,
    columns,
  );
}

/** The same from the singular values of the matrix, in descending order. */
export function rankOfSingular(singular: Float64Array, rows: number, columns: number): number {
  const [short, long] = rows < columns ? [rows, columns] : [columns, rows];
  const squares = singular.map((value) => value * value);
  const total = squares.reduce((sum, square) => sum + square, 0);
  if (total === 0) return 0;
  const a = short / long;
  const t = 2.5129 * Math.sqrt(a);
  const edge = (1 + t) * (1 + a / t);
  // Noise that explains everything, and noise with which no more than `most` values could be signal.
  const highest = total / (short * long);
  const most = Math.min(Math.ceil(short / (1 + a)) - 1, short) - 1;
  const tail = squares.slice(Math.max(0, most) + 1);
  const meanTail =
    tail.length > 0 ? tail.reduce((sum, square) => sum + square, 0) / tail.length : 0;
  const lowest = Math.max((tail[0] ?? 0) / (long * edge), meanTail / long, highest * 1e-12);
  const variance = minimum(
    (s2) => objective(squares, s2, long, a, edge),
    lowest,
    Math.max(lowest, highest),
  );
  return squares.filter((square) => square > long * variance * edge).length;
}

function objective(
  squares: Float64Array,
  s2: number,
  long: number,
  a: number,
  edge: number,
): number {
  let sum = 0;
  for (const square of squares) {
    const x = Math.max(square / (long * s2), Number.MIN_VALUE);
    if (x <= edge) sum += x - Math.log(x);
    else {
      const b = x - 1 - a;
      const t = (b + Math.sqrt(b * b - 4 * a)) / 2;
      sum += x - t + Math.log((t + 1) / x) + a * Math.log(t / a + 1);
    }
  }
  return sum;
}

/** Where a function of a positive number is smallest: on a logarithmic grid, then by golden section. */
function minimum(f: (x: number) => number, lowest: number, highest: number): number {
  const points = 200;
  const at = (i: number) => lowest * (highest / lowest) ** (i / points);
  let best = 0;
  for (let i = 1; i <= points; i++) if (f(at(i)) < f(at(best))) best = i;
  let [from, to] = [at(Math.max(0, best - 1)), at(Math.min(points, best + 1))];
  const ratio = (Math.sqrt(5) - 1) / 2;
  for (let i = 0; i < 60; i++) {
    const [left, right] = [to - ratio * (to - from), from + ratio * (to - from)];
    if (f(left) < f(right)) to = right;
    else from = left;
  }
  return (from + to) / 2;
}
