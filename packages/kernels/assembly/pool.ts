// Max and average pooling of NHWC images, four channels per vector. A window is cut to the image, so the
// padding never counts.

@inline
function start(index: i32, stride: i32, pad: i32): i32 {
  return max(0, index * stride - pad);
}

@inline
function end(index: i32, stride: i32, pad: i32, kernel: i32, size: i32): i32 {
  return min(size, index * stride - pad + kernel);
}

/**
 * dx[the first maximum of a window] += dy[window]; `dx` is filled by the call. NaN is a maximum of its
 * window as on the cpu backend only where it comes first.
 */
export function maxPoolGradient(
  x: usize,
  dy: usize,
  dx: usize,
  batch: i32,
  inHeight: i32,
  inWidth: i32,
  channels: i32,
  outHeight: i32,
  outWidth: i32,
  kernelHeight: i32,
  kernelWidth: i32,
  strideHeight: i32,
  strideWidth: i32,
  top: i32,
  left: i32,
): void {
  const pixel = (channels as usize) << 2;
  const row = (inWidth as usize) * pixel;
  const imageBytes = (inHeight as usize) * row;
  const apart = strideHeight >= kernelHeight && strideWidth >= kernelWidth; // no window overlaps another
  const whole = // the windows cover the image, and every value is written
    strideHeight == kernelHeight && strideWidth == kernelWidth && top == 0 && left == 0 &&
    outHeight * strideHeight >= inHeight && outWidth * strideWidth >= inWidth;
  if (!whole || (channels & 3) != 0) memory.fill(dx, 0, (batch as usize) * imageBytes);
  for (let n = 0; n < batch; n++) {
    for (let i = 0; i < outHeight; i++) {
      const h0 = start(i, strideHeight, top);
      const h1 = end(i, strideHeight, top, kernelHeight, inHeight);
      for (let j = 0; j < outWidth; j++) {
        const w0 = start(j, strideWidth, left);
        const w1 = end(j, strideWidth, left, kernelWidth, inWidth);
        if (h0 < h1 && w0 < w1) {
          const first = (h0 as usize) * row + (w0 as usize) * pixel;
          let c: usize = 0;
          for (; c + 16 <= pixel; c += 16) {
            if (apart) chooseVector(x + first + c, dx + first + c, dy + c, h1 - h0, w1 - w0, row, pixel);
            else routeVector(x + first + c, dx + first + c, dy + c, h1 - h0, w1 - w0, row, pixel);
          }
          for (; c < pixel; c += 4) {
            routeValue(x + first + c, dx + first + c, dy + c, h1 - h0, w1 - w0, row, pixel);
          }
        }
        dy += pixel;
      }
    }
    x += imageBytes;
    dx += imageBytes;
  }
}

@inline
function routeVector(
  x: usize,
  dx: usize,
  dy: usize,
  height: i32,
  width: i32,
  row: usize,
  pixel: usize,
): void {
  let best = v128.load(x);
  let at = i32x4.splat(0); // offsets of the winners, in bytes
  let down: usize = 0;
  for (let h = 0; h < height; h++) {
    let offset = down;
    for (let w = 0; w < width; w++) {
      const value = v128.load(x + offset);
      const larger = f32x4.gt(value, best);
      best = v128.bitselect(value, best, larger);
      at = v128.bitselect(i32x4.splat(offset as i32), at, larger);
      offset += pixel;
    }
    down += row;
  }
  let to = dx + (i32x4.extract_lane(at, 0) as usize);
  store<f32>(to, load<f32>(to) + load<f32>(dy));
  to = dx + (i32x4.extract_lane(at, 1) as usize);
  store<f32>(to, load<f32>(to, 4) + load<f32>(dy, 4), 4);
  to = dx + (i32x4.extract_lane(at, 2) as usize);
  store<f32>(to, load<f32>(to, 8) + load<f32>(dy, 8), 8);
  to = dx + (i32x4.extract_lane(at, 3) as usize);
  store<f32>(to, load<f32>(to, 12) + load<f32>(dy, 12), 12);
}

/** As {@link routeVector}, writing the whole window: no other touches it. */
@inline
function chooseVector(
  x: usize,
  dx: usize,
  dy: usize,
  height: i32,
  width: i32,
  row: usize,
  pixel: usize,
): void {
  let best = v128.load(x);
  let down: usize = 0;
  for (let h = 0; h < height; h++) {
    let offset = down;
    for (let w = 0; w < width; w++) {
      const value = v128.load(x + offset);
      best = v128.bitselect(value, best, f32x4.gt(value, best));
      offset += pixel;
    }
    down += row;
  }
  let open = i32x4.splat(-1); // lanes that have not met their maximum yet
  const missing = f32x4.ne(best, best); // lanes whose first value is NaN, which counts as their maximum
  const gradient = v128.load(dy);
  down = 0;
  for (let h = 0; h < height; h++) {
    let offset = down;
    for (let w = 0; w < width; w++) {
      const met = v128.and(open, v128.or(f32x4.eq(v128.load(x + offset), best), missing));
      v128.store(dx + offset, v128.and(gradient, met));
      open = v128.andnot(open, met);
      offset += pixel;
    }
    down += row;
  }
}

@inline
function routeValue(
  x: usize,
  dx: usize,
  dy: usize,
  height: i32,
  width: i32,
  row: usize,
  pixel: usize,
): void {
  let best = load<f32>(x);
  let at: usize = 0;
  for (let h = 0; h < height; h++) {
    let offset = (h as usize) * row;
    for (let w = 0; w < width; w++) {
      const value = load<f32>(x + offset);
      if (value > best) {
        best = value;
        at = offset;
      }
      offset += pixel;
    }
  }
  store<f32>(dx + at, load<f32>(dx + at) + load<f32>(dy));
}

/** dx = the sum over the windows that hold a value of dy / (values in the window); `dx` is filled by the call. */
export function avgPoolGradient(
  dy: usize,
  dx: usize,
  batch: i32,
  inHeight: i32,
  inWidth: i32,
  channels: i32,
  outHeight: i32,
  outWidth: i32,
  kernelHeight: i32,
  kernelWidth: i32,
  strideHeight: i32,
  strideWidth: i32,
  top: i32,
  left: i32,
): void {
  const pixel = (channels as usize) << 2;
  const row = (inWidth as usize) * pixel;
  const imageBytes = (inHeight as usize) * row;
  memory.fill(dx, 0, (batch as usize) * imageBytes);
  for (let n = 0; n < batch; n++) {
    for (let i = 0; i < outHeight; i++) {
      const h0 = start(i, strideHeight, top);
      const h1 = end(i, strideHeight, top, kernelHeight, inHeight);
      for (let j = 0; j < outWidth; j++) {
        const w0 = start(j, strideWidth, left);
        const w1 = end(j, strideWidth, left, kernelWidth, inWidth);
        const share = (1.0 as f32) / (((h1 - h0) * (w1 - w0)) as f32);
        const shares = f32x4.splat(share);
        for (let h = h0; h < h1; h++) {
          let to = dx + (h as usize) * row + (w0 as usize) * pixel;
          for (let w = w0; w < w1; w++) {
            let c: usize = 0;
            for (; c + 16 <= pixel; c += 16) {
              const value = f32x4.mul(v128.load(dy + c), shares);
              v128.store(to + c, f32x4.add(v128.load(to + c), value));
            }
            for (; c < pixel; c += 4) {
              store<f32>(to + c, load<f32>(to + c) + load<f32>(dy + c) * share);
            }
            to += pixel;
          }
        }
        dy += pixel;
      }
    }
    dx += imageBytes;
  }
}
