// Pooling of planes.

/** v, or w where it is larger; a NaN wins. */
@inline
function larger(v: f32, w: f32): f32 {
  return max<f32>(v, w);
}

/** The largest value, or with `mean` the mean, of the part of each window that lies in x. */
export function poolPlanes(
  x: usize,
  xStep: usize,
  xPitch: usize,
  y: usize,
  yStep: usize,
  yPitch: usize,
  channels: i32,
  inHeight: i32,
  inWidth: i32,
  outHeight: i32,
  outWidth: i32,
  kernelHeight: i32,
  kernelWidth: i32,
  strideHeight: i32,
  strideWidth: i32,
  top: i32,
  left: i32,
  mean: bool,
): void {
  const halves = kernelHeight == 2 && kernelWidth == 2 && strideWidth == 2 && top == 0 && left == 0
    && strideHeight * (outHeight - 1) + 2 <= inHeight && 2 * outWidth <= inWidth;
  for (; channels > 0; channels--) {
    let row = y;
    for (let i = 0; i < outHeight; i++) {
      let to = row;
      let j = 0;
      if (halves) {
        let p = x + ((i * strideHeight) as usize) * xPitch;
        for (; j + 4 <= outWidth; j += 4) {
          const q = p + xPitch;
          const a = v128.load(p);
          const b = v128.load(p, 16);
          const c = v128.load(q);
          const d = v128.load(q, 16);
          if (mean) {
            const ab = f32x4.add(v128.shuffle<f32>(a, b, 0, 2, 4, 6), v128.shuffle<f32>(a, b, 1, 3, 5, 7));
            const cd = f32x4.add(v128.shuffle<f32>(c, d, 0, 2, 4, 6), v128.shuffle<f32>(c, d, 1, 3, 5, 7));
            v128.store(to, f32x4.mul(f32x4.add(ab, cd), f32x4.splat(0.25)));
          } else {
            const e = f32x4.max(a, c);
            const f = f32x4.max(b, d);
            v128.store(to, f32x4.max(v128.shuffle<f32>(e, f, 0, 2, 4, 6), v128.shuffle<f32>(e, f, 1, 3, 5, 7)));
          }
          p += 32;
          to += 16;
        }
      }
      const h0 = max(0, i * strideHeight - top);
      const h1 = min(inHeight, i * strideHeight - top + kernelHeight);
      for (; j < outWidth; j++) {
        const w0 = max(0, j * strideWidth - left);
        const w1 = min(inWidth, j * strideWidth - left + kernelWidth);
        let value: f32 = mean ? 0 : -Infinity;
        for (let h = h0; h < h1; h++) {
          let p = x + (h as usize) * xPitch + ((w0 as usize) << 2);
          for (let w = w0; w < w1; w++) {
            if (mean) value += load<f32>(p);
            else value = larger(value, load<f32>(p));
            p += 4;
          }
        }
        store<f32>(to, mean ? value / (((h1 - h0) * (w1 - w0)) as f32) : value);
        to += 4;
      }
      row += yPitch;
    }
    x += xStep;
    y += yStep;
  }
}

/** y[c] = the largest value, or with `mean` the mean, of plane c. */
export function poolWhole(
  x: usize,
  xStep: usize,
  xPitch: usize,
  y: usize,
  channels: i32,
  height: i32,
  width: i32,
  mean: bool,
): void {
  const whole = width & ~3;
  for (; channels > 0; channels--) {
    let v = f32x4.splat(mean ? 0 : -Infinity);
    let rest: f32 = mean ? 0 : -Infinity;
    let row = x;
    for (let i = height; i > 0; i--) {
      let p = row;
      for (let j = whole; j > 0; j -= 4) {
        v = mean ? f32x4.add(v, v128.load(p)) : f32x4.max(v, v128.load(p));
        p += 16;
      }
      for (let j = width - whole; j > 0; j--) {
        rest = mean ? rest + load<f32>(p) : larger(rest, load<f32>(p));
        p += 4;
      }
      row += xPitch;
    }
    const a = f32x4.extract_lane(v, 0);
    const b = f32x4.extract_lane(v, 1);
    const c = f32x4.extract_lane(v, 2);
    const d = f32x4.extract_lane(v, 3);
    const value = mean
      ? (a + b + (c + d) + rest) / ((height * width) as f32)
      : larger(larger(larger(a, b), larger(c, d)), rest);
    store<f32>(y, value);
    x += xStep;
    y += 4;
  }
}
