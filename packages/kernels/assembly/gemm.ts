// The product of two matrices in any of the four transpositions, blocked for the caches.
import { collides, packColumns, packPanel, packPanelTransposed, packRows } from './pack';
import { isSparseProduct, sparseGemm, sparseGemmScratch } from './sparse-gemm';
import { fma, tile4x4, tile4x8 } from './tile';

/** Steps of k per block: a panel of B is then at most 16 KB of cache lines. */
const KC: i32 = 256;
/** Rows of A per block: 128 KB, a part of the second-level cache. */
const MC: i32 = 128;
/** One tile for results that are not whole. */
const TEMP: usize = 128;

@inline
export function roundUp(value: i32, unit: i32): i32 {
  return ((value + unit - 1) / unit) * unit;
}

/** Whether B is read where it lies: rows are contiguous, and it is not reused enough to pay a copy. */
@inline
function inPlace(m: i32, n: i32, transposeB: bool): bool {
  return !transposeB && (m <= 4 || (m <= 192 && !collides((n as usize) << 2)));
}

/** Bytes of scratch that {@link gemm} needs. */
export function gemmScratch(m: i32, n: i32, k: i32, transposeB: bool): usize {
  const panels = inPlace(m, n, transposeB) ? 8 : roundUp(n, 8);
  const block = min(roundUp(m, 4), MC) * min(k, KC);
  const dense = TEMP + (((panels as usize) * (k as usize) + (block as usize)) << 2);
  return max(dense, sparseGemmScratch(m, n, k, transposeB));
}

/** Writes the valid part of a tile that was computed aside. */
export function putPart(c: usize, cStep: usize, temp: usize, rows: i32, columns: i32, add: bool): void {
  for (let r = 0; r < rows; r++) {
    for (let j: usize = 0; j < ((columns as usize) << 2); j += 4) {
      const value = load<f32>(temp + j);
      store<f32>(c + j, add ? load<f32>(c + j) + value : value);
    }
    c += cStep;
    temp += 32;
  }
}

/**
 * C[m, n] = (C +) A[m, k] B[k, n]; with `transposeA` A is stored [k, m], with `transposeB` B is stored
 * [n, k]. All are contiguous; m, n and k are at least 1. `work` points to {@link gemmScratch} bytes.
 */
export function gemm(
  a: usize,
  b: usize,
  c: usize,
  m: i32,
  n: i32,
  k: i32,
  transposeA: bool,
  transposeB: bool,
  add: bool,
  work: usize,
): void {
  if (m == 1 && !transposeB) return row(a, b, c, n, k, add);
  if (isSparseProduct(a, m, n, k)) {
    return sparseGemm(a, b, c, m, n, k, transposeA, transposeB, add, work);
  }
  const cStep = (n as usize) << 2;
  const temp = work;
  const panels = temp + TEMP;
  const placed = inPlace(m, n, transposeB);
  const panelBytes = (k as usize) << 5;
  const whole = placed ? n & ~7 : 0; // columns read in place
  let at = panels;
  for (let j = whole; j < n; j += 8) {
    const columns = min(8, n - j);
    if (transposeB) {
      packPanelTransposed(at, b + (j as usize) * ((k as usize) << 2), (k as usize) << 2, columns, k);
    } else {
      packPanel(at, b + ((j as usize) << 2), cStep, columns, k);
    }
    at += panelBytes;
  }
  const aRow = (transposeA ? m : k) as usize << 2;
  const direct = transposeA && !collides(aRow);
  for (let k0 = 0; k0 < k; k0 += KC) {
    const depth = min(KC, k - k0);
    const addTo = add || k0 > 0;
    const groupBytes = (depth as usize) << 4;
    for (let m0 = 0; m0 < m; m0 += MC) {
      const rows = min(MC, m - m0);
      const rest = rows & 3;
      let to = at;
      for (let i = direct ? rows & ~3 : 0; i < rows; i += 4) {
        if (transposeA) {
          packColumns(to, a + (k0 as usize) * aRow + ((m0 + i) as usize << 2), aRow, min(4, rows - i), depth);
        } else {
          packRows(to, a + ((m0 + i) as usize) * aRow + ((k0 as usize) << 2), aRow, min(4, rows - i), depth);
        }
        to += groupBytes;
      }
      for (let j = 0; j < n; j += 8) {
        const columns = min(8, n - j);
        const lies = j < whole;
        const bStep: usize = lies ? cStep : 32;
        const bAt = lies
          ? b + (k0 as usize) * cStep + ((j as usize) << 2)
          : panels + ((j - whole) as usize >> 3) * panelBytes + ((k0 as usize) << 5);
        let cAt = c + (m0 as usize) * cStep + ((j as usize) << 2);
        let group = at;
        for (let i = 0; i < rows; i += 4) {
          let aAt = group;
          let aStep: usize = 16;
          if (direct && i + 4 <= rows) {
            aAt = a + (k0 as usize) * aRow + ((m0 + i) as usize << 2);
            aStep = aRow;
          } else {
            group += groupBytes;
          }
          if (columns == 8 && i + 4 <= rows) {
            tile4x8(aAt, aStep, 0, 0, bAt, bStep, depth, 1, 1, cAt, cStep, addTo);
          } else if (columns == 4 && i + 4 <= rows) {
            tile4x4(aAt, aStep, 0, 0, bAt, bStep, depth, 1, 1, cAt, cStep, addTo);
          } else {
            if (columns > 4) tile4x8(aAt, aStep, 0, 0, bAt, bStep, depth, 1, 1, temp, 32, false);
            else tile4x4(aAt, aStep, 0, 0, bAt, bStep, depth, 1, 1, temp, 32, false);
            putPart(cAt, cStep, temp, i + 4 <= rows ? 4 : rest, columns, addTo);
          }
          cAt += cStep << 2;
        }
      }
    }
  }
}

/** C[1, n] = (C +) A[1, k] B[k, n]: four rows of B at a time, read as they lie, added into C. */
function row(a: usize, b: usize, c: usize, n: i32, k: i32, add: bool): void {
  const bytes = (n as usize) << 2;
  if (!add) memory.fill(c, 0, bytes);
  let i = 0;
  for (; i + 4 <= k; i += 4) {
    const s0 = v128.load32_splat(a);
    const s1 = v128.load32_splat(a, 4);
    const s2 = v128.load32_splat(a, 8);
    const s3 = v128.load32_splat(a, 12);
    const b1 = b + bytes;
    const b2 = b1 + bytes;
    const b3 = b2 + bytes;
    let j: usize = 0;
    for (; j + 16 <= bytes; j += 16) {
      let sum = fma(v128.load(b + j), s0, v128.load(c + j));
      sum = fma(v128.load(b1 + j), s1, sum);
      sum = fma(v128.load(b2 + j), s2, sum);
      v128.store(c + j, fma(v128.load(b3 + j), s3, sum));
    }
    for (; j < bytes; j += 4) {
      let sum = load<f32>(c + j) + load<f32>(b + j) * load<f32>(a);
      sum += load<f32>(b1 + j) * load<f32>(a, 4);
      sum += load<f32>(b2 + j) * load<f32>(a, 8);
      store<f32>(c + j, sum + load<f32>(b3 + j) * load<f32>(a, 12));
    }
    a += 16;
    b = b3 + bytes;
  }
  for (; i < k; i++) {
    const s = load<f32>(a);
    for (let j: usize = 0; j < bytes; j += 4) {
      store<f32>(c + j, load<f32>(c + j) + load<f32>(b + j) * s);
    }
    a += 4;
    b += bytes;
  }
}

/** x[row, column] = activation(x[row, column] + bias[column]); no bias where it is 0. */
export function biasActivation(x: usize, rows: i32, columns: i32, bias: usize, activation: i32): void {
  const zero = f32x4.splat(0);
  const six = f32x4.splat(6);
  const bytes = (columns as usize) << 2;
  for (let r = 0; r < rows; r++) {
    let i: usize = 0;
    for (; i + 16 <= bytes; i += 16) {
      let v = v128.load(x + i);
      if (bias) v = f32x4.add(v, v128.load(bias + i));
      if (activation >= 1) v = f32x4.pmax(v, zero); // keeps NaN
      if (activation == 2) v = f32x4.pmin(v, six);
      v128.store(x + i, v);
    }
    for (; i < bytes; i += 4) {
      let v = load<f32>(x + i);
      if (bias) v += load<f32>(bias + i);
      if (activation >= 1 && v < 0) v = 0;
      if (activation == 2 && v > 6) v = 6;
      store<f32>(x + i, v);
    }
    x += bytes;
  }
}
