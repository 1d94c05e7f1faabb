// Laying out operands for the tiles: A as groups of four rows, [group][k][4]; B as panels of eight columns,
// [panel][k][8]. What is missing in the last group or panel is filled with zeros.

/** Copies `bytes`, a multiple of four, sixteen at a time. */
@inline
export function copy(to: usize, from: usize, bytes: usize): void {
  const end = from + bytes;
  while (from + 16 <= end) {
    v128.store(to, v128.load(from));
    from += 16;
    to += 16;
  }
  while (from < end) {
    store<f32>(to, load<f32>(from));
    from += 4;
    to += 4;
  }
}

/** Whether rows `step` bytes apart share a few sets of the first-level cache: multiples of 512. */
@inline
export function collides(step: usize): bool {
  return (step & 511) == 0;
}

/**
 * Interleaves `length` values from each of four rows: to[k] = (r0[k], r1[k], r2[k], r3[k]). Consecutive k
 * are `step` bytes apart in `to`, 16 for a packed group.
 */
@inline
export function interleave4(
  to: usize,
  step: usize,
  r0: usize,
  r1: usize,
  r2: usize,
  r3: usize,
  length: i32,
): void {
  let k = length;
  for (; k >= 4; k -= 4) {
    const a = v128.load(r0);
    const b = v128.load(r1);
    const c = v128.load(r2);
    const d = v128.load(r3);
    const ab0 = v128.shuffle<i32>(a, b, 0, 4, 1, 5);
    const ab1 = v128.shuffle<i32>(a, b, 2, 6, 3, 7);
    const cd0 = v128.shuffle<i32>(c, d, 0, 4, 1, 5);
    const cd1 = v128.shuffle<i32>(c, d, 2, 6, 3, 7);
    v128.store(to, v128.shuffle<i64>(ab0, cd0, 0, 2));
    v128.store(to + step, v128.shuffle<i64>(ab0, cd0, 1, 3));
    v128.store(to + 2 * step, v128.shuffle<i64>(ab1, cd1, 0, 2));
    v128.store(to + 3 * step, v128.shuffle<i64>(ab1, cd1, 1, 3));
    r0 += 16;
    r1 += 16;
    r2 += 16;
    r3 += 16;
    to += 4 * step;
  }
  for (; k > 0; k--) {
    store<f32>(to, load<f32>(r0));
    store<f32>(to, load<f32>(r1), 4);
    store<f32>(to, load<f32>(r2), 8);
    store<f32>(to, load<f32>(r3), 12);
    r0 += 4;
    r1 += 4;
    r2 += 4;
    r3 += 4;
    to += step;
  }
}

/** One group of `rows` (1 to 4) rows, each contiguous over k, `rowBytes` apart. */
export function packRows(to: usize, from: usize, rowBytes: usize, rows: i32, depth: i32): void {
  if (rows == 4) {
    interleave4(to, 16, from, from + rowBytes, from + 2 * rowBytes, from + 3 * rowBytes, depth);
    return;
  }
  for (let k = 0; k < depth; k++) {
    v128.store(to, f32x4.splat(0));
    for (let r = 0; r < rows; r++) {
      store<f32>(to + ((r as usize) << 2), load<f32>(from + (r as usize) * rowBytes));
    }
    from += 4;
    to += 16;
  }
}

/** One group of `rows` (1 to 4) neighbouring values per k; consecutive k are `step` bytes apart. */
export function packColumns(to: usize, from: usize, step: usize, rows: i32, depth: i32): void {
  for (let k = 0; k < depth; k++) {
    if (rows == 4) {
      v128.store(to, v128.load(from));
    } else {
      v128.store(to, f32x4.splat(0));
      for (let r: usize = 0; r < (rows as usize); r++) {
        store<f32>(to + (r << 2), load<f32>(from + (r << 2)));
      }
    }
    from += step;
    to += 16;
  }
}

/** One panel of `columns` (1 to 8) columns of a matrix whose rows are contiguous, `step` bytes apart. */
export function packPanel(to: usize, from: usize, step: usize, columns: i32, depth: i32): void {
  if (columns == 8) {
    for (let k = 0; k < depth; k++) {
      v128.store(to, v128.load(from));
      v128.store(to, v128.load(from, 16), 16);
      from += step;
      to += 32;
    }
    return;
  }
  for (let k = 0; k < depth; k++) {
    v128.store(to, f32x4.splat(0));
    v128.store(to, f32x4.splat(0), 16);
    for (let c: usize = 0; c < (columns as usize); c++) {
      store<f32>(to + (c << 2), load<f32>(from + (c << 2)));
    }
    from += step;
    to += 32;
  }
}

/** One panel of `columns` (1 to 8) columns, each contiguous over k, `columnBytes` apart. */
export function packPanelTransposed(
  to: usize,
  from: usize,
  columnBytes: usize,
  columns: i32,
  depth: i32,
): void {
  if (columns == 8) {
    for (let half: usize = 0; half < 2; half++) {
      const f = from + half * 4 * columnBytes;
      interleave4(to + half * 16, 32, f, f + columnBytes, f + 2 * columnBytes, f + 3 * columnBytes, depth);
    }
    return;
  }
  for (let k = 0; k < depth; k++) {
    v128.store(to, f32x4.splat(0));
    v128.store(to, f32x4.splat(0), 16);
    for (let c: usize = 0; c < (columns as usize); c++) {
      store<f32>(to + (c << 2), load<f32>(from + c * columnBytes));
    }
    from += 4;
    to += 32;
  }
}
