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
