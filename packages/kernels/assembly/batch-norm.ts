// Batch normalisation with the statistics of the batch, over the last axis. Sums are in float64.

/** Bytes of scratch that the two functions need. */
export function batchNormScratch(channels: i32): usize {
  return (channels as usize) << 4;
}

@inline
function high(x: v128): v128 {
  return f64x2.promote_low_f32x4(v128.shuffle<i64>(x, x, 1, 1));
}

@inline
function addTo(sums: usize, low: v128, upper: v128): void {
  v128.store(sums, f64x2.add(v128.load(sums), low));
  v128.store(sums, f64x2.add(v128.load(sums, 16), upper), 16);
}

/**
 * mean and variance of x [rows, channels] per channel, and
 * y = (x - mean) / sqrt(variance + epsilon) scale + offset.
 */
export function batchNorm(
  x: usize,
  scale: usize,
  offset: usize,
  y: usize,
  mean: usize,
  variance: usize,
  rows: i32,
  channels: i32,
  epsilon: f64,
  work: usize,
): void {
  const bytes = (channels as usize) << 2;
  const first = work; // sums, then means
  const second = work + (bytes << 1); // sums of squares
  const n = rows as f64;
  memory.fill(work, 0, bytes << 2);
  let p = x;
  for (let r = 0; r < rows; r++) {
    let i: usize = 0;
    for (; i + 16 <= bytes; i += 16) {
      const value = v128.load(p + i);
      addTo(first + (i << 1), f64x2.promote_low_f32x4(value), high(value));
    }
    for (; i < bytes; i += 4) {
      const at = first + (i << 1);
      store<f64>(at, load<f64>(at) + (load<f32>(p + i) as f64));
    }
    p += bytes;
  }
  for (let i: usize = 0; i < bytes; i += 4) {
    const at = first + (i << 1);
    store<f64>(at, load<f64>(at) / n);
  }
  p = x;
  for (let r = 0; r < rows; r++) {
    let i: usize = 0;
    for (; i + 16 <= bytes; i += 16) {
      const value = v128.load(p + i);
      const low = f64x2.sub(f64x2.promote_low_f32x4(value), v128.load(first + (i << 1)));
      const upper = f64x2.sub(high(value), v128.load(first + (i << 1), 16));
      addTo(second + (i << 1), f64x2.mul(low, low), f64x2.mul(upper, upper));
    }
    for (; i < bytes; i += 4) {
      const at = second + (i << 1);
      const centred = (load<f32>(p + i) as f64) - load<f64>(first + (i << 1));
      store<f64>(at, load<f64>(at) + centred * centred);
    }
    p += bytes;
  }
  // y = factor x + shift; both as float32 in place of the sums of squares.
  for (let i: usize = 0; i < bytes; i += 4) {
    const v = load<f64>(second + (i << 1)) / n;
    const m = load<f64>(first + (i << 1));
    store<f32>(mean + i, m as f32);
    store<f32>(variance + i, v as f32);
    const factor = (load<f32>(scale + i) as f64) / sqrt(v + epsilon);
    store<f64>(first + (i << 1), (load<f32>(offset + i) as f64) - m * factor);
    store<f64>(second + (i << 1), factor);
  }
  for (let i: usize = 0; i < bytes; i += 4) {
    store<f32>(second + i, load<f64>(second + (i << 1)) as f32);
    store<f32>(first + i, load<f64>(first + (i << 1)) as f32);
  }
  for (let r = 0; r < rows; r++) {
    let i: usize = 0;
    for (; i + 16 <= bytes; i += 16) {
      const scaled = f32x4.mul(v128.load(x + i), v128.load(second + i));
      v128.store(y + i, f32x4.add(scaled, v128.load(first + i)));
    }
    for (; i < bytes; i += 4) {
      store<f32>(y + i, load<f32>(x + i) * load<f32>(second + i) + load<f32>(first + i));
    }
    x += bytes;
    y += bytes;
  }
}

/**
 * With r = 1 / sqrt(variance + epsilon), s = sum(dy) and p = sum(dy (x - mean)) r:
 * dx = scale r (dy - s / rows - (x - mean) r p / rows), dScale = p, dOffset = s.
 */
export function batchNormGradient(
  dy: usize,
  x: usize,
  mean: usize,
  variance: usize,
  scale: usize,
  dx: usize,
  dScale: usize,
  dOffset: usize,
  rows: i32,
  channels: i32,
  epsilon: f64,
  work: usize,
): void {
  const bytes = (channels as usize) << 2;
  const first = work; // sums of dy
  const second = work + (bytes << 1); // sums of dy (x - mean)
  const n = rows as f64;
  memory.fill(work, 0, bytes << 2);
  let p = x;
  let q = dy;
  for (let r = 0; r < rows; r++) {
    let i: usize = 0;
    for (; i + 16 <= bytes; i += 16) {
      const d = v128.load(q + i);
      const centred = f32x4.sub(v128.load(p + i), v128.load(mean + i));
      const low = f64x2.promote_low_f32x4(d);
      const upper = high(d);
      addTo(first + (i << 1), low, upper);
      addTo(
        second + (i << 1),
        f64x2.mul(low, f64x2.promote_low_f32x4(centred)),
        f64x2.mul(upper, high(centred)),
      );
    }
    for (; i < bytes; i += 4) {
      const d = load<f32>(q + i) as f64;
      const one = first + (i << 1);
      const two = second + (i << 1);
      store<f64>(one, load<f64>(one) + d);
      store<f64>(two, load<f64>(two) + d * ((load<f32>(p + i) - load<f32>(mean + i)) as f64));
    }
    p += bytes;
    q += bytes;
  }
  for (let i: usize = 0; i < bytes; i += 4) {
    const s = load<f64>(first + (i << 1));
    const r = 1 / sqrt((load<f32>(variance + i) as f64) + epsilon);
    const product = load<f64>(second + (i << 1)) * r;
    store<f32>(dOffset + i, s as f32);
    store<f32>(dScale + i, product as f32);
  }
  // dx = ofDy (dy + ofX (x - mean) + constant), the last two as float32 in place of the sums.
  for (let i: usize = 0; i < bytes; i += 4) {
    const r = 1 / sqrt((load<f32>(variance + i) as f64) + epsilon);
    store<f32>(first + i, (-(load<f32>(dOffset + i) as f64) / n) as f32);
    store<f32>(first + bytes + i, (-(load<f32>(dScale + i) as f64) * r / n) as f32);
    store<f32>(second + i, ((load<f32>(scale + i) as f64) * r) as f32);
  }
  for (let r = 0; r < rows; r++) {
    let i: usize = 0;
    for (; i + 16 <= bytes; i += 16) {
      const centred = f32x4.sub(v128.load(x + i), v128.load(mean + i));
      let value = f32x4.add(v128.load(dy + i), v128.load(first + i));
      value = f32x4.add(value, f32x4.mul(centred, v128.load(first + bytes + i)));
      v128.store(dx + i, f32x4.mul(value, v128.load(second + i)));
    }
    for (; i < bytes; i += 4) {
      const centred = load<f32>(x + i) - load<f32>(mean + i);
      const value = load<f32>(dy + i) + load<f32>(first + i) + centred * load<f32>(first + bytes + i);
      store<f32>(dx + i, value * load<f32>(second + i));
    }
    x += bytes;
    dy += bytes;
    dx += bytes;
  }
}

/** out[i] = old[i] - (old[i] - value[i]) part: a moving average that goes a part of the way. */
export function approach(old: usize, value: usize, out: usize, count: i32, part: f32): void {
  for (; count >= 4; count -= 4) {
    const v = v128.load(old);
    v128.store(out, f32x4.sub(v, f32x4.mul(f32x4.sub(v, v128.load(value)), f32x4.splat(part))));
    old += 16;
    value += 16;
    out += 16;
  }
  for (; count > 0; count--) {
    const v = load<f32>(old);
    store<f32>(out, v - (v - load<f32>(value)) * part);
    old += 4;
    value += 4;
    out += 4;
  }
}
