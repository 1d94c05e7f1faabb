// Binary weights with a scale for each column of a matrix (XNOR-Net, section 3.1), four columns at a time; those left
// over go one by one through the same loops.

@inline
function get(at: usize, four: bool): v128 {
  return four ? v128.load(at) : v128.load32_splat(at);
}

@inline
function put(at: usize, value: v128, four: bool): void {
  if (four) v128.store(at, value);
  else v128.store32_lane(at, value, 0);
}

@inline
function signed(value: v128, w: v128): v128 {
  return v128.xor(value, v128.and(f32x4.lt(w, f32x4.splat(0)), i32x4.splat(0x80000000)));
}

/** scale[c] = mean |w[., c]| and y = scale sign(w), the sign of 0 being +1, for w [rows, columns]. */
export function binaryWeights(w: usize, y: usize, scale: usize, rows: i32, columns: i32): void {
  const step = (columns as usize) << 2;
  const end = (rows as usize) * step;
  while (columns > 0) {
    const four = columns >= 4;
    let sum = f32x4.splat(0);
    for (let at: usize = 0; at < end; at += step) sum = f32x4.add(sum, f32x4.abs(get(w + at, four)));
    sum = f32x4.div(sum, f32x4.splat(rows as f32));
    put(scale, sum, four);
    for (let at: usize = 0; at < end; at += step) put(y + at, signed(sum, get(w + at, four)), four);
    const done: i32 = four ? 4 : 1;
    columns -= done;
    w += done << 2;
    y += done << 2;
    scale += done << 2;
  }
}

/** dw = dy scale [|w| <= 1] + sign(w) mean(dy sign(w)), the mean that of the column. */
export function binaryWeightsGradient(dy: usize, w: usize, scale: usize, dw: usize, rows: i32, columns: i32): void {
  const step = (columns as usize) << 2;
  const end = (rows as usize) * step;
  while (columns > 0) {
    const four = columns >= 4;
    let sum = f32x4.splat(0);
    for (let at: usize = 0; at < end; at += step) {
      sum = f32x4.add(sum, signed(get(dy + at, four), get(w + at, four)));
    }
    sum = f32x4.div(sum, f32x4.splat(rows as f32));
    const factor = get(scale, four);
    for (let at: usize = 0; at < end; at += step) {
      const v = get(w + at, four);
      const inside = f32x4.le(f32x4.abs(v), f32x4.splat(1));
      const passed = v128.and(f32x4.mul(get(dy + at, four), factor), inside);
      put(dw + at, f32x4.add(passed, signed(sum, v)), four);
    }
    const done: i32 = four ? 4 : 1;
    columns -= done;
    dy += done << 2;
    w += done << 2;
    scale += done << 2;
    dw += done << 2;
  }
}

/** y = x less the mean over the middle axis of [outer, middle, inner], cut to -1 ... 1; a NaN stays. */
export function centreClip(x: usize, y: usize, outer: i32, middle: i32, inner: i32): void {
  const step = (inner as usize) << 2;
  const end = (middle as usize) * step;
  for (; outer > 0; outer--) {
    let left = inner;
    while (left > 0) {
      const four = left >= 4;
      let sum = f32x4.splat(0);
      for (let at: usize = 0; at < end; at += step) sum = f32x4.add(sum, get(x + at, four));
      sum = f32x4.div(sum, f32x4.splat(middle as f32));
      for (let at: usize = 0; at < end; at += step) {
        const v = f32x4.sub(get(x + at, four), sum);
        put(y + at, f32x4.max(f32x4.min(v, f32x4.splat(1)), f32x4.splat(-1)), four);
      }
      const done: i32 = four ? 4 : 1;
      left -= done;
      x += done << 2;
      y += done << 2;
    }
    x += end - step;
    y += end - step;
  }
}
