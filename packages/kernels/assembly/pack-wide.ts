// Panels of 32 columns, [k][32], for products with lists.
import { copy, interleave4 } from './pack';

/** Copies `columns` (1 to 32) neighbouring rows of a matrix [.., depth] to a panel [depth][32], then zeros. */
export function packWide(to: usize, from: usize, rowBytes: usize, columns: i32, depth: i32): void {
  let c = 0;
  for (; c + 4 <= columns; c += 4) {
    const row = from + (c as usize) * rowBytes;
    interleave4(to + ((c as usize) << 2), 128, row, row + rowBytes, row + 2 * rowBytes, row + 3 * rowBytes, depth);
  }
  for (; c < 32; c++) {
    let at = from + (c as usize) * rowBytes;
    let target = to + ((c as usize) << 2);
    for (let k = 0; k < depth; k++) {
      store<f32>(target, c < columns ? load<f32>(at) : 0);
      at += 4;
      target += 128;
    }
  }
}

/** Copies `columns` (1 to 32) neighbouring columns of a matrix whose rows are contiguous, then zeros. */
export function copyWide(to: usize, from: usize, rowBytes: usize, columns: i32, depth: i32): void {
  const bytes = (columns as usize) << 2;
  for (let k = 0; k < depth; k++) {
    copy(to, from, bytes);
    memory.fill(to + bytes, 0, 128 - bytes);
    from += rowBytes;
    to += 128;
  }
}
