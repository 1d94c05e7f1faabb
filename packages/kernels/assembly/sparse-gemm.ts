// The product of two matrices where many values of A are zero, as behind ReLU and dropout and in images on a
// black ground. The others are listed row by row, and only they are multiplied; a zero of A times NaN
// counts as zero.
import { collides } from './pack';
import { copyWide, packWide } from './pack-wide';
import { addListed, addListed32 } from './sparse';

/** The share of values, in percent, up to which the lists beat the tiles. */
const WORTH: i32 = 38;
/** Values of A that are looked at to judge it. */
const SAMPLE: i32 = 2048;
/** Rows that are listed at a time. */
const ROWS: i32 = 256;
const TEMP: usize = 128;

/** Whether listing A costs little beside the product. */
@inline
function isLarge(m: i32, n: i32, k: i32): bool {
  return m >= 8 && n >= 64 && m * k >= 4 * SAMPLE;
}

/** Whether A [m, k] is worth listing for a product with n columns. */
export function isSparseProduct(a: usize, m: i32, n: i32, k: i32): bool {
  if (!isLarge(m, n, k)) return false;
  const size = m * k;
  const step = ((size / SAMPLE - 1) | 1) as usize << 2; // odd, so that it meets all columns
  let sum = 0;
  for (let i = 0; i < SAMPLE - 1; i++) {
    if (load<f32>(a) != 0) sum++;
    a += step;
  }
  return sum * 100 <= SAMPLE * WORTH;
}

/** Whether B is copied to panels of 32 columns: rows of B are gathered at random, and must not collide. */
@inline
function isPacked(n: i32, transposeB: bool): bool {
  return transposeB || collides((n as usize) << 2);
}

/** Bytes of scratch that {@link sparseGemm} needs; 0 where it is never chosen. */
export function sparseGemmScratch(m: i32, n: i32, k: i32, transposeB: bool): usize {
  if (!isLarge(m, n, k)) return 0;
  const rows = min(m, ROWS) as usize;
  const panels = isPacked(n, transposeB) ? (((n + 31) & ~31) * k) as usize << 2 : 0;
  return TEMP + (rows << 2) + rows * ((k as usize) << 3) + panels;
}

/** C[m, n] = (C +) A[m, k] B[k, n] as `gemm` computes it. */
export function sparseGemm(
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
  const temp = work;
  const counts = temp + TEMP;
  const block = min(m, ROWS);
  const lists = counts + ((block as usize) << 2);
  const capacity = (k as usize) << 3;
  const panels = lists + (block as usize) * capacity;
  const cStep = (n as usize) << 2;
  const packed = isPacked(n, transposeB);
  const bStep: usize = packed ? 128 : cStep;
  const panelBytes = (k as usize) << 7;
  if (!add) memory.fill(c, 0, (m as usize) * cStep);
  if (packed) {
    for (let j = 0; j < n; j += 32) {
      const to = panels + ((j >> 5) as usize) * panelBytes;
      const columns = min(32, n - j);
      if (transposeB) packWide(to, b + (j as usize) * ((k as usize) << 2), (k as usize) << 2, columns, k);
      else copyWide(to, b + ((j as usize) << 2), cStep, columns, k);
    }
  }
  for (let m0 = 0; m0 < m; m0 += ROWS) {
    const rows = min(ROWS, m - m0);
    if (transposeA) listColumns(a + ((m0 as usize) << 2), m, rows, k, bStep, counts, lists, capacity);
    else listRows(a + (m0 as usize) * ((k as usize) << 2), rows, k, bStep, counts, lists, capacity);
    for (let j = 0; j < n; j += 32) {
      const columns = min(32, n - j);
      const base = packed ? panels + ((j >> 5) as usize) * panelBytes : b + ((j as usize) << 2);
      let to = c + (m0 as usize) * cStep + ((j as usize) << 2);
      let list = lists;
      for (let i: usize = 0; i < (rows as usize); i++) {
        const end = list + load<u32>(counts + (i << 2));
        if (list < end) {
          if (columns == 32) addListed32(to, list, end, base);
          else addListed(to, list, end, base, columns, temp);
        }
        list += capacity;
        to += cStep;
      }
    }
  }
}

/** Lists rows of A: for every value that is not zero where its row of B starts, and the value. */
function listRows(
  a: usize,
  rows: i32,
  k: i32,
  bStep: usize,
  counts: usize,
  lists: usize,
  capacity: usize,
): void {
  for (let i = 0; i < rows; i++) {
    let at = lists;
    let row: usize = 0;
    for (let j = 0; j < k; j++) {
      const value = load<f32>(a);
      a += 4;
      if (value != 0) {
        store<u32>(at, row as u32);
        store<f32>(at, value, 4);
        at += 8;
      }
      row += bStep;
    }
    store<u32>(counts, (at - lists) as u32);
    counts += 4;
    lists += capacity;
  }
}

/** The same for A stored [k, m]. */
function listColumns(
  a: usize,
  m: i32,
  rows: i32,
  k: i32,
  bStep: usize,
  counts: usize,
  lists: usize,
  capacity: usize,
): void {
  memory.fill(counts, 0, (rows as usize) << 2);
  const aStep = (m as usize) << 2;
  let row: usize = 0;
  for (let j = 0; j < k; j++) {
    let count = counts;
    let list = lists;
    for (let i: usize = 0; i < ((rows as usize) << 2); i += 4) {
      const value = load<f32>(a + i);
      if (value != 0) {
        const used = load<u32>(count);
        store<u32>(list + used, row as u32);
        store<f32>(list + used, value, 4);
        store<u32>(count, used + 8);
      }
      count += 4;
      list += capacity;
    }
    a += aStep;
    row += bStep;
  }
}
