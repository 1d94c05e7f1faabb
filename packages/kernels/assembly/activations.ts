// Gradients of activations.

/** dx = dy where x > 0, else 0; as dy times the step of x, so that a NaN in either stays. */
export function reluGradient(x: usize, dy: usize, dx: usize, count: i32): void {
  const zero = f32x4.splat(0);
  const one = f32x4.splat(1);
  for (; count >= 4; count -= 4) {
    const value = v128.load(x);
    const step = v128.bitselect(value, v128.and(one, f32x4.gt(value, zero)), f32x4.ne(value, value));
    v128.store(dx, f32x4.mul(v128.load(dy), step));
    x += 16;
    dy += 16;
    dx += 16;
  }
  for (; count > 0; count--) {
    const value = load<f32>(x);
    const step: f32 = value != value ? value : value > 0 ? 1 : 0;
    store<f32>(dx, load<f32>(dy) * step);
    x += 4;
    dy += 4;
    dx += 4;
  }
}

/** dx = dy where low <= x <= high, else 0. */
export function clampGradient(x: usize, dy: usize, dx: usize, count: i32, low: f32, high: f32): void {
  const lows = f32x4.splat(low);
  const highs = f32x4.splat(high);
  for (; count >= 4; count -= 4) {
    const value = v128.load(x);
    const inside = v128.and(f32x4.ge(value, lows), f32x4.le(value, highs));
    v128.store(dx, v128.and(v128.load(dy), inside));
    x += 16;
    dy += 16;
    dx += 16;
  }
  for (; count > 0; count--) {
    const value = load<f32>(x);
    store<f32>(dx, value >= low && value <= high ? load<f32>(dy) : 0);
    x += 4;
    dy += 4;
    dx += 4;
  }
}

/** dx = y (dy - sum over the row of y dy). */
export function softmaxGradient(y: usize, dy: usize, dx: usize, rows: i32, columns: i32): void {
  const bytes = (columns as usize) << 2;
  for (; rows > 0; rows--) {
    let sum: f32 = 0;
    for (let i: usize = 0; i < bytes; i += 4) sum += load<f32>(y + i) * load<f32>(dy + i);
    for (let i: usize = 0; i < bytes; i += 4) {
      store<f32>(dx + i, load<f32>(y + i) * (load<f32>(dy + i) - sum));
    }
    y += bytes;
    dy += bytes;
    dx += bytes;
  }
}
