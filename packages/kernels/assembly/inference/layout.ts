// Planes of images: in and out of NHWC, padding and phases of strides, borders of zeros, values from anywhere.
/** Four pixels of four channels, a pixel in each vector, from `from` to `to`: afterwards a channel in each. */
@inline
function turn(from: usize, fromStep: usize, to: usize, toStep: usize): void {
  const a = v128.load(from);
  const b = v128.load(from + fromStep);
  const c = v128.load(from + 2 * fromStep);
  const d = v128.load(from + 3 * fromStep);
  const ab = v128.shuffle<f32>(a, b, 0, 4, 1, 5);
  const cd = v128.shuffle<f32>(c, d, 0, 4, 1, 5);
  const ef = v128.shuffle<f32>(a, b, 2, 6, 3, 7);
  const gh = v128.shuffle<f32>(c, d, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<f32>(ab, cd, 0, 1, 4, 5));
  v128.store(to + toStep, v128.shuffle<f32>(ab, cd, 2, 3, 6, 7));
  v128.store(to + 2 * toStep, v128.shuffle<f32>(ef, gh, 0, 1, 4, 5));
  v128.store(to + 3 * toStep, v128.shuffle<f32>(ef, gh, 2, 3, 6, 7));
}

/** A matrix turned: to[j][i] = from[i][j] for `rows` rows of `columns` values; rows lie `Step` bytes apart. */
@inline
function transpose(from: usize, fromStep: usize, to: usize, toStep: usize, rows: i32, columns: i32): void {
  const wholeRows = rows & ~3;
  const wholeColumns = columns & ~3;
  for (let j = 0; j < wholeColumns; j += 4) {
    const column = from + ((j as usize) << 2);
    const row = to + (j as usize) * toStep;
    for (let i = 0; i < wholeRows; i += 4) {
      turn(column + (i as usize) * fromStep, fromStep, row + ((i as usize) << 2), toStep);
    }
  }
  for (let i = 0; i < rows; i++) {
    for (let j = i < wholeRows ? wholeColumns : 0; j < columns; j++) {
      const value = load<f32>(from + (i as usize) * fromStep + ((j as usize) << 2));
      store<f32>(to + (j as usize) * toStep + ((i as usize) << 2), value);
    }
  }
}

/** y, planes `yStep` bytes apart with rows `yPitch` bytes apart, from x [height, width, channels]. */
export function fromImage(
  x: usize,
  y: usize,
  yStep: usize,
  yPitch: usize,
  channels: i32,
  height: i32,
  width: i32,
): void {
  const pixel = (channels as usize) << 2;
  for (; height > 0; height--) {
    transpose(x, pixel, y, yStep, width, channels);
    x += pixel * (width as usize);
    y += yPitch;
  }
}

/** y [height, width, channels] from planes. */
export function toImage(
  x: usize,
  xStep: usize,
  xPitch: usize,
  y: usize,
  channels: i32,
  height: i32,
  width: i32,
): void {
  const pixel = (channels as usize) << 2;
  for (; height > 0; height--) {
    transpose(x, xStep, y, pixel, channels, width);
    x += xPitch;
    y += pixel * (width as usize);
  }
}

/**
 * Planes with padding, split by the phases of a stride: of every channel, strideHeight times strideWidth
 * planes of `rows` rows, `yPitch` bytes apart; phase (a, b) has at (i, j) the value at
 * (i strideHeight + a - top, j strideWidth + b - left), or `filler` where x has none. Columns beyond the pitch
 * are left out. `yStep` bytes lie between planes, and all of them are written.
 */
export function padPlanes(
  x: usize,
  xStep: usize,
  xPitch: usize,
  y: usize,
  yStep: usize,
  yPitch: usize,
  channels: i32,
  height: i32,
  width: i32,
  rows: i32,
  strideHeight: i32,
  strideWidth: i32,
  top: i32,
  left: i32,
  filler: f32,
): void {
  const columns = (yPitch >> 2) as i32;
  const fill = f32x4.splat(filler);
  for (; channels > 0; channels--) {
    for (let a = 0; a < strideHeight; a++) {
      for (let b = 0; b < strideWidth; b++) {
        for (let at: usize = 0; at < yStep; at += 16) v128.store(y + at, fill);
        // The first and the end of the columns that x has.
        const first = max(0, (left - b + strideWidth - 1) / strideWidth);
        const end = min(columns, (width + left - b + strideWidth - 1) / strideWidth);
        for (let i = 0; i < rows; i++) {
          const h = i * strideHeight + a - top;
          if (h < 0 || h >= height) continue;
          let from = x + (h as usize) * xPitch + ((first * strideWidth + b - left) as usize << 2);
          let to = y + (i as usize) * yPitch + ((first as usize) << 2);
          let j = end - first;
          if (strideWidth == 1) {
            for (; j > 3; j -= 4) {
              v128.store(to, v128.load(from));
              from += 16;
              to += 16;
            }
          } else if (strideWidth == 2) {
            for (; j > 4; j -= 4) {
              const even = v128.shuffle<f32>(v128.load(from), v128.load(from, 16), 0, 2, 4, 6);
              v128.store(to, even);
              from += 32;
              to += 16;
            }
          }
          for (; j > 0; j--) {
            store<f32>(to, load<f32>(from));
            from += (strideWidth as usize) << 2;
            to += 4;
          }
        }
        y += yStep;
      }
    }
    x += xStep;
  }
}

/**
 * Zeros around the rows of planes: `front` values before the first, columns from `width` to `pitch` of all
 * rows, and `back` values after the last.
 */
export function seal(
  y: usize,
  yStep: usize,
  channels: i32,
  front: i32,
  height: i32,
  width: i32,
  pitch: i32,
  back: i32,
): void {
  const gap = (pitch - width) as usize << 2;
  const pitchBytes = (pitch as usize) << 2;
  const zero = f32x4.splat(0);
  for (; channels > 0; channels--) {
    let end = y;
    let at = y - ((front as usize) << 2);
    for (; at + 16 <= end; at += 16) v128.store(at, zero);
    for (; at < end; at += 4) store<f32>(at, 0);
    at = y + ((width as usize) << 2);
    for (let i = height; i > 0; i--) {
      for (let j: usize = 0; j < gap; j += 4) store<f32>(at + j, 0);
      at += pitchBytes;
    }
    at = y + (height as usize) * pitchBytes;
    end = at + ((back as usize) << 2);
    for (; at + 16 <= end; at += 16) v128.store(at, zero);
    for (; at < end; at += 4) store<f32>(at, 0);
    y += yStep;
  }
}

/**
 * Values from anywhere: y[r][h][w] = x[rows[r] + columns[h width + w]], offsets in bytes; 0 where one of them is
 * negative. `yStep` bytes lie from r to r, `yPitch` from h to h.
 */
export function gather(
  x: usize,
  rows: usize,
  columns: usize,
  y: usize,
  yStep: usize,
  yPitch: usize,
  count: i32,
  height: i32,
  width: i32,
): void {
  for (; count > 0; count--) {
    const from = load<i32>(rows);
    let column = columns;
    let row = y;
    for (let h = height; h > 0; h--) {
      const end = row + ((width as usize) << 2);
      let to = row;
      const base = x + (from as usize);
      for (; to + 16 <= end && from >= 0; to += 16) {
        const at = v128.load(column);
        if (i32x4.bitmask(at) != 0) break;
        let four = v128.load32_zero(base + (i32x4.extract_lane(at, 0) as usize));
        four = v128.load32_lane(base + (i32x4.extract_lane(at, 1) as usize), four, 1);
        four = v128.load32_lane(base + (i32x4.extract_lane(at, 2) as usize), four, 2);
        four = v128.load32_lane(base + (i32x4.extract_lane(at, 3) as usize), four, 3);
        v128.store(to, four);
        column += 16;
      }
      for (; to < end; to += 4) {
        const at = load<i32>(column);
        store<f32>(to, (from | at) < 0 ? 0 : load<f32>(x + (from as usize) + (at as usize)));
        column += 4;
      }
      row += yPitch;
    }
    rows += 4;
    y += yStep;
  }
}
