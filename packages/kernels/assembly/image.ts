// Images of a convolution: the part that its windows touch, with the padding written out as zeros.
import { copy } from './pack';

/** Rows or columns that the windows touch: (out - 1) stride + (kernel - 1) dilation + 1. */
@inline
export function touched(out: i32, stride: i32, kernel: i32, dilation: i32): i32 {
  return (out - 1) * stride + (kernel - 1) * dilation + 1;
}

/** to[h, w] = x[h - top, w - left], zero outside of x; an image [height, width, channels]. */
export function padImage(
  to: usize,
  x: usize,
  inHeight: i32,
  inWidth: i32,
  channels: i32,
  height: i32,
  width: i32,
  top: i32,
  left: i32,
): void {
  const pixel = (channels as usize) << 2;
  const row = (width as usize) * pixel;
  const first = max(0, left);
  const columns = min(width - first, inWidth - first + left);
  memory.fill(to, 0, (height as usize) * row);
  if (columns <= 0) return;
  for (let h = max(0, top); h < min(height, inHeight + top); h++) {
    const from = x + (((h - top) * inWidth + first - left) as usize) * pixel;
    copy(to + (h as usize) * row + (first as usize) * pixel, from, (columns as usize) * pixel);
  }
}

/** The way back: x[h, w] = from[h + top, w + left], zero where `from` ends. */
export function cropImage(
  x: usize,
  from: usize,
  inHeight: i32,
  inWidth: i32,
  channels: i32,
  height: i32,
  width: i32,
  top: i32,
  left: i32,
): void {
  padImage(x, from, height, width, channels, inHeight, inWidth, -top, -left);
}

/** Byte offsets of the windows' first values, one per output pixel. */
export function windowOffsets(
  to: usize,
  outHeight: i32,
  outWidth: i32,
  downBytes: usize,
  rightBytes: usize,
): void {
  let row: usize = 0;
  for (let i = 0; i < outHeight; i++) {
    let at = row;
    for (let j = 0; j < outWidth; j++) {
      store<u32>(to, at as u32);
      to += 4;
      at += rightBytes;
    }
    row += downBytes;
  }
}
