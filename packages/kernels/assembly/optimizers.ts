// One step of an optimizer over one weight, in place, operation by operation as tf.train.* does it: the plain
// and the fused step give the same bits. `whole` means four values, otherwise one.

@inline
function get(from: usize, whole: bool): v128 {
  return whole ? v128.load(from) : v128.load_zero<f32>(from);
}

@inline
function set(to: usize, value: v128, whole: bool): void {
  if (whole) v128.store(to, value);
  else store<f32>(to, f32x4.extract_lane(value, 0));
}

@inline
function mix(a: v128, keep: v128, b: v128, take: v128): v128 {
  return f32x4.add(f32x4.mul(a, keep), f32x4.mul(b, take));
}

/** w += scale g. */
export function sgd(w: usize, g: usize, size: i32, scale: f32): void {
  const factor = f32x4.splat(scale);
  const end = w + ((size as usize) << 2);
  while (w < end) {
    const whole = w + 16 <= end;
    set(w, f32x4.add(f32x4.mul(get(g, whole), factor), get(w, whole)), whole);
    const bytes: usize = whole ? 16 : 4;
    w += bytes;
    g += bytes;
  }
}

/** a = momentum a + g; w += scale a, or with `nesterov` w += scale (g + momentum a). */
export function momentum(
  w: usize,
  a: usize,
  g: usize,
  size: i32,
  rate: f32,
  scale: f32,
  nesterov: bool,
): void {
  const m = f32x4.splat(rate);
  const factor = f32x4.splat(scale);
  const end = w + ((size as usize) << 2);
  while (w < end) {
    const whole = w + 16 <= end;
    const gradient = get(g, whole);
    const sum = f32x4.add(f32x4.mul(m, get(a, whole)), gradient);
    const step = nesterov ? f32x4.add(gradient, f32x4.mul(sum, m)) : sum;
    set(a, sum, whole);
    set(w, f32x4.add(f32x4.mul(factor, step), get(w, whole)), whole);
    const bytes: usize = whole ? 16 : 4;
    w += bytes;
    a += bytes;
    g += bytes;
  }
}

/**
 * s = decay s + (1 - decay) g^2; a = momentum a + rate g / sqrt(s + epsilon); w -= a. Centred where `c` is
 * not 0: c = decay c + (1 - decay) g, and the root is of s - (c^2 + epsilon).
 */
export function rmsprop(
  w: usize,
  s: usize,
  a: usize,
  c: usize,
  g: usize,
  size: i32,
  decay: f32,
  rest: f32,
  momentum: f32,
  rate: f32,
  epsilon: f32,
): void {
  const keep = f32x4.splat(decay);
  const take = f32x4.splat(rest);
  const m = f32x4.splat(momentum);
  const factor = f32x4.splat(rate);
  const e = f32x4.splat(epsilon);
  const centred = c != 0;
  const end = w + ((size as usize) << 2);
  while (w < end) {
    const whole = w + 16 <= end;
    const gradient = get(g, whole);
    const square = mix(get(s, whole), keep, f32x4.mul(gradient, gradient), take);
    let under = f32x4.add(square, e);
    if (centred) {
      const mean = mix(get(c, whole), keep, gradient, take);
      under = f32x4.sub(square, f32x4.add(f32x4.mul(mean, mean), e));
      set(c, mean, whole);
    }
    const step = f32x4.div(f32x4.mul(gradient, factor), f32x4.sqrt(under));
    const sum = f32x4.add(f32x4.mul(get(a, whole), m), step);
    set(s, square, whole);
    set(a, sum, whole);
    set(w, f32x4.sub(get(w, whole), sum), whole);
    const bytes: usize = whole ? 16 : 4;
    w += bytes;
    s += bytes;
    a += bytes;
    g += bytes;
    if (centred) c += bytes;
  }
}

/**
 * m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
 * w += scale (m / correction1) / (sqrt(v / correction2) + epsilon).
 */
export function adam(
  w: usize,
  m: usize,
  v: usize,
  g: usize,
  size: i32,
  beta1: f32,
  rest1: f32,
  beta2: f32,
  rest2: f32,
  correction1: f32,
  correction2: f32,
  epsilon: f32,
  scale: f32,
): void {
  const b1 = f32x4.splat(beta1);
  const r1 = f32x4.splat(rest1);
  const b2 = f32x4.splat(beta2);
  const r2 = f32x4.splat(rest2);
  const c1 = f32x4.splat(correction1);
  const c2 = f32x4.splat(correction2);
  const e = f32x4.splat(epsilon);
  const factor = f32x4.splat(scale);
  const end = w + ((size as usize) << 2);
  while (w < end) {
    const whole = w + 16 <= end;
    const gradient = get(g, whole);
    const first = mix(get(m, whole), b1, gradient, r1);
    const second = mix(get(v, whole), b2, f32x4.mul(gradient, gradient), r2);
    set(m, first, whole);
    set(v, second, whole);
    const root = f32x4.add(f32x4.sqrt(f32x4.div(second, c2)), e);
    const step = f32x4.mul(f32x4.div(f32x4.div(first, c1), root), factor);
    set(w, f32x4.add(step, get(w, whole)), whole);
    const bytes: usize = whole ? 16 : 4;
    w += bytes;
    m += bytes;
    v += bytes;
    g += bytes;
  }
}

/**
 * s = rho s + (1 - rho) g^2; u = sqrt(a + epsilon) / sqrt(s + epsilon) g; a = rho a + (1 - rho) u^2;
 * w += scale u. (Zeiler 2012, algorithm 1.)
 */
export function adadelta(
  w: usize,
  s: usize,
  a: usize,
  g: usize,
  size: i32,
  rho: f32,
  rest: f32,
  epsilon: f32,
  scale: f32,
): void {
  const keep = f32x4.splat(rho);
  const take = f32x4.splat(rest);
  const e = f32x4.splat(epsilon);
  const factor = f32x4.splat(scale);
  const end = w + ((size as usize) << 2);
  while (w < end) {
    const whole = w + 16 <= end;
    const gradient = get(g, whole);
    const square = mix(get(s, whole), keep, f32x4.mul(gradient, gradient), take);
    const updates = get(a, whole);
    const root = f32x4.div(f32x4.sqrt(f32x4.add(updates, e)), f32x4.sqrt(f32x4.add(square, e)));
    const step = f32x4.mul(root, gradient);
    set(s, square, whole);
    set(a, mix(updates, keep, f32x4.mul(step, step), take), whole);
    set(w, f32x4.add(f32x4.mul(step, factor), get(w, whole)), whole);
    const bytes: usize = whole ? 16 : 4;
    w += bytes;
    s += bytes;
    a += bytes;
    g += bytes;
  }
}
