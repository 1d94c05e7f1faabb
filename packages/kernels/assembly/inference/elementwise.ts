// Value by value: activation functions, sums of inputs, scales of channels. Counts are multiples of 4.
import { artanhRest, exponentialRest, tanhNear } from '../series';
import { cut } from './arithmetic';

/** e^x: 2^n e^r with a polynomial of r, relative error below 2^-22. */
@inline
function exp(x: v128): v128 {
  const bounded = f32x4.pmin(f32x4.pmax(x, f32x4.splat(-87.3)), f32x4.splat(88.3));
  const n = f32x4.nearest(f32x4.mul(bounded, f32x4.splat(1.44269504)));
  const p = f32x4.add(exponentialRest(bounded, n), f32x4.splat(1));
  const power = i32x4.shl(i32x4.add(i32x4.trunc_sat_f32x4_s(n), i32x4.splat(127)), 23);
  return f32x4.mul(p, power);
}

@inline
function sigmoid(x: v128): v128 {
  const one = f32x4.splat(1);
  return f32x4.div(one, f32x4.add(one, exp(f32x4.neg(x))));
}

/** tanh x: a polynomial of x near 0, where 1 - 2 / (e^2x + 1) cancels. */
@inline
function tanh(x: v128): v128 {
  const one = f32x4.splat(1);
  const two = f32x4.splat(2);
  const far = f32x4.sub(one, f32x4.div(two, f32x4.add(exp(f32x4.mul(x, two)), one)));
  return v128.bitselect(tanhNear(x), far, f32x4.lt(f32x4.abs(x), f32x4.splat(0.625)));
}

/** x < 0 ? alpha x : x. */
@inline
function leaky(x: v128, alpha: v128): v128 {
  return v128.bitselect(f32x4.mul(x, alpha), x, f32x4.lt(x, f32x4.splat(0)));
}

/** x < 0 ? alpha (e^x - 1) : x. */
@inline
function elu(x: v128, alpha: v128): v128 {
  const below = f32x4.mul(alpha, f32x4.sub(exp(x), f32x4.splat(1)));
  return v128.bitselect(below, x, f32x4.lt(x, f32x4.splat(0)));
}

/** x P(N < x) for a normal N: max(x, 0) - |x| erfc(|x| / sqrt 2) / 2; Abramowitz and Stegun 7.1.26, error 2e-7. */
@inline
function gelu(x: v128): v128 {
  const one = f32x4.splat(1);
  const size = f32x4.abs(x);
  const z = f32x4.mul(size, f32x4.splat(0.7071067811865476));
  const t = f32x4.div(one, f32x4.add(one, f32x4.mul(z, f32x4.splat(0.3275911))));
  let p = f32x4.splat(1.061405429);
  p = f32x4.add(f32x4.mul(p, t), f32x4.splat(-1.453152027));
  p = f32x4.add(f32x4.mul(p, t), f32x4.splat(1.421413741));
  p = f32x4.add(f32x4.mul(p, t), f32x4.splat(-0.284496736));
  p = f32x4.add(f32x4.mul(p, t), f32x4.splat(0.254829592));
  p = f32x4.mul(f32x4.mul(p, t), exp(f32x4.neg(f32x4.mul(z, z))));
  const tail = f32x4.mul(f32x4.mul(size, p), f32x4.splat(0.5));
  return f32x4.sub(f32x4.pmax(x, f32x4.splat(0)), tail);
}

/** x (1 + tanh u) / 2 = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3). */
@inline
function geluNew(x: v128): v128 {
  const cube = f32x4.mul(f32x4.mul(f32x4.mul(x, x), x), f32x4.splat(0.044715));
  return f32x4.mul(x, sigmoid(f32x4.mul(f32x4.add(x, cube), f32x4.splat(1.5957691216057308))));
}

/** x tanh(ln(1 + e^x)) = x n / (n + 2), n = e^x (e^x + 2). */
@inline
function mish(x: v128): v128 {
  const power = exp(f32x4.pmin(x, f32x4.splat(20)));
  const n = f32x4.mul(power, f32x4.add(power, f32x4.splat(2)));
  return f32x4.div(f32x4.mul(x, n), f32x4.add(n, f32x4.splat(2)));
}

/** ln(1 + e^x) = max(x, 0) + ln(1 + t), t = e^-|x|; ln(1 + t) = 2 artanh(t / (2 + t)). */
@inline
function softplus(x: v128): v128 {
  const t = exp(f32x4.neg(f32x4.abs(x)));
  const s = f32x4.div(t, f32x4.add(t, f32x4.splat(2)));
  const z = f32x4.mul(s, s);
  const p = f32x4.add(f32x4.mul(artanhRest(z), z), f32x4.splat(2));
  return f32x4.add(f32x4.pmax(x, f32x4.splat(0)), f32x4.mul(s, p));
}

/**
 * In place: 0 sigmoid; 1 tanh; 2 leaky ReLU; 3 ELU; 4 hard sigmoid, cut(0.2 x + 0.5, 0, 1); 5 softsign,
 * x / (1 + |x|); 6 swish, x sigmoid(alpha x); 7 beta elu(x); 8 alpha where x < 0, else beta; 9 gelu;
 * 10 gelu by tanh; 11 mish; 12 softplus.
 */
export function activate(x: usize, n: i32, kind: i32, alpha: f32, beta: f32): void {
  const a = f32x4.splat(alpha);
  const b = f32x4.splat(beta);
  const zero = f32x4.splat(0);
  const one = f32x4.splat(1);
  for (const end = x + ((n as usize) << 2); x < end; x += 16) {
    const v = v128.load(x);
    let y = v;
    if (kind == 0) y = sigmoid(v);
    else if (kind == 1) y = tanh(v);
    else if (kind == 2) y = leaky(v, a);
    else if (kind == 3) y = elu(v, a);
    else if (kind == 4) y = cut(f32x4.add(f32x4.mul(v, f32x4.splat(0.2)), f32x4.splat(0.5)), zero, one);
    else if (kind == 5) y = f32x4.div(v, f32x4.add(one, f32x4.abs(v)));
    else if (kind == 6) y = f32x4.mul(v, sigmoid(f32x4.mul(a, v)));
    else if (kind == 7) y = f32x4.mul(b, elu(v, a));
    else if (kind == 8) y = v128.bitselect(a, b, f32x4.lt(v, zero));
    else if (kind == 9) y = gelu(v);
    else if (kind == 10) y = geluNew(v);
    else if (kind == 11) y = mish(v);
    else y = softplus(v);
    v128.store(x, y);
  }
}

/** In place: x / sum of x over each of `rows` rows of `columns`, of e^(x - largest). Columns may be any number. */
export function softmax(x: usize, rows: i32, columns: i32): void {
  const bytes = (columns as usize) << 2;
  for (; rows > 0; rows--) {
    let largest = load<f32>(x);
    for (let at: usize = 4; at < bytes; at += 4) largest = max(largest, load<f32>(x + at));
    const most = f32x4.splat(largest);
    let sum: f32 = 0;
    for (let at: usize = 0; at < bytes; at += 4) {
      const power = exp(f32x4.sub(v128.load32_splat(x + at), most));
      const value = f32x4.extract_lane(power, 0);
      sum += value;
      store<f32>(x + at, value);
    }
    for (let at: usize = 0; at < bytes; at += 4) store<f32>(x + at, load<f32>(x + at) / sum);
    x += bytes;
  }
}

/** y = cut(a ? b, low, high) for n values; `kind` 0: a + b, 1: a - b, 2: a b, 3: the larger, 4: the smaller. */
export function combine(a: usize, b: usize, y: usize, n: i32, kind: i32, low: f32, high: f32): void {
  const lo = f32x4.splat(low);
  const hi = f32x4.splat(high);
  for (const end = a + ((n as usize) << 2); a < end; a += 16) {
    const v = v128.load(a);
    const w = v128.load(b);
    let sum = f32x4.add(v, w);
    if (kind == 1) sum = f32x4.sub(v, w);
    else if (kind == 2) sum = f32x4.mul(v, w);
    else if (kind == 3) sum = f32x4.max(v, w);
    else if (kind == 4) sum = f32x4.min(v, w);
    v128.store(y, cut(sum, lo, hi));
    b += 16;
    y += 16;
  }
}

/**
 * y = cut(scale x + shift, low, high), of planes of n values each; `table` has scale and shift of each channel.
 * y may be x.
 */
export function scalePlanes(
  x: usize,
  y: usize,
  step: usize,
  channels: i32,
  n: i32,
  table: usize,
  low: f32,
  high: f32,
): void {
  const lo = f32x4.splat(low);
  const hi = f32x4.splat(high);
  const bytes = (n as usize) << 2;
  for (; channels > 0; channels--) {
    const s = v128.load32_splat(table);
    const t = v128.load32_splat(table, 4);
    for (let at: usize = 0; at < bytes; at += 16) {
      v128.store(y + at, cut(f32x4.add(f32x4.mul(v128.load(x + at), s), t), lo, hi));
    }
    table += 8;
    x += step;
    y += step;
  }
}

/** y = cut(scale x + shift, low, high), value by value, of vectors. */
export function scaleVector(x: usize, y: usize, n: i32, scale: usize, shift: usize, low: f32, high: f32): void {
  const lo = f32x4.splat(low);
  const hi = f32x4.splat(high);
  const bytes = (n as usize) << 2;
  for (let at: usize = 0; at < bytes; at += 16) {
    const v = f32x4.add(f32x4.mul(v128.load(x + at), v128.load(scale + at)), v128.load(shift + at));
    v128.store(y + at, cut(v, lo, hi));
  }
}

/** y = the mean over the channels of |scale x + shift|, of planes of n values. */
export function meanSize(x: usize, xStep: usize, y: usize, channels: i32, n: i32, table: usize): void {
  const bytes = (n as usize) << 2;
  const part = f32x4.splat(1 / (channels as f32));
  for (let at: usize = 0; at < bytes; at += 16) {
    let sum = f32x4.splat(0);
    let p = x + at;
    let t = table;
    for (let c = channels; c > 0; c--) {
      const h = f32x4.add(f32x4.mul(v128.load(p), v128.load32_splat(t)), v128.load32_splat(t, 4));
      sum = f32x4.add(sum, f32x4.abs(h));
      p += xStep;
      t += 8;
    }
    v128.store(y + at, f32x4.mul(sum, part));
  }
}

/** y = cut(x plane + shift, low, high), of planes of n values, all times one plane; `table` as of `scalePlanes`. */
export function multiplyPlanes(
  y: usize,
  step: usize,
  channels: i32,
  n: i32,
  plane: usize,
  table: usize,
  low: f32,
  high: f32,
): void {
  const lo = f32x4.splat(low);
  const hi = f32x4.splat(high);
  const bytes = (n as usize) << 2;
  for (; channels > 0; channels--) {
    const t = v128.load32_splat(table, 4);
    for (let at: usize = 0; at < bytes; at += 16) {
      const v = f32x4.mul(v128.load(y + at), v128.load(plane + at));
      v128.store(y + at, cut(f32x4.add(v, t), lo, hi));
    }
    table += 8;
    y += step;
  }
}

/** y = x for n bytes. */
export function copy(x: usize, y: usize, bytes: usize): void {
  memory.copy(y, x, bytes);
}
