// Forward pooling of NDHWC volumes; an image has depth 1. A window is cut to the volume and must not be
// empty, so the padding never counts.
import { better } from './elementwise';

@inline
function add(sum: v128, x: v128, average: bool): v128 {
  return average ? f32x4.add(sum, x) : better(sum, x, false);
}

/** Pools four channels of one window: x[0..depth)[0..height)[0..width), the steps in bytes. */
@inline
function pool4(
  x: usize,
  depth: i32,
  height: i32,
  width: i32,
  plane: usize,
  row: usize,
  pixel: usize,
  average: bool,
): v128 {
  let result = average ? f32x4.splat(0) : v128.load(x);
  for (let d = 0; d < depth; d++) {
    let r = x;
    for (let h = 0; h < height; h++) {
      let p = r;
      for (let w = 0; w < width; w++) {
        result = add(result, v128.load(p), average);
        p += pixel;
      }
      r += row;
    }
    x += plane;
  }
  return result;
}

/** As {@link pool4}, sixteen channels, written to `out`. */
@inline
function pool16(
  x: usize,
  depth: i32,
  height: i32,
  width: i32,
  plane: usize,
  row: usize,
  pixel: usize,
  average: bool,
  share: v128,
  out: usize,
): void {
  let r0 = average ? f32x4.splat(0) : v128.load(x);
  let r1 = average ? r0 : v128.load(x, 16);
  let r2 = average ? r0 : v128.load(x, 32);
  let r3 = average ? r0 : v128.load(x, 48);
  for (let d = 0; d < depth; d++) {
    let r = x;
    for (let h = 0; h < height; h++) {
      let p = r;
      for (let w = 0; w < width; w++) {
        r0 = add(r0, v128.load(p), average);
        r1 = add(r1, v128.load(p, 16), average);
        r2 = add(r2, v128.load(p, 32), average);
        r3 = add(r3, v128.load(p, 48), average);
        p += pixel;
      }
      r += row;
    }
    x += plane;
  }
  v128.store(out, average ? f32x4.mul(r0, share) : r0);
  v128.store(out, average ? f32x4.mul(r1, share) : r1, 16);
  v128.store(out, average ? f32x4.mul(r2, share) : r2, 32);
  v128.store(out, average ? f32x4.mul(r3, share) : r3, 48);
}

/** Pools one channel of one window. */
function pool1(
  x: usize,
  depth: i32,
  height: i32,
  width: i32,
  plane: usize,
  row: usize,
  pixel: usize,
  average: bool,
): f32 {
  let result: f32 = average ? 0 : load<f32>(x);
  for (let d = 0; d < depth; d++) {
    let r = x;
    for (let h = 0; h < height; h++) {
      let p = r;
      for (let w = 0; w < width; w++) {
        const value = load<f32>(p);
        result = average ? result + value : max(result, value);
        p += pixel;
      }
      r += row;
    }
    x += plane;
  }
  return result;
}

@inline
function pooled(
  x: usize,
  out: usize,
  batch: i32,
  inDepth: i32,
  inHeight: i32,
  inWidth: i32,
  channels: i32,
  outDepth: i32,
  outHeight: i32,
  outWidth: i32,
  kernelDepth: i32,
  kernelHeight: i32,
  kernelWidth: i32,
  strideDepth: i32,
  strideHeight: i32,
  strideWidth: i32,
  front: i32,
  top: i32,
  left: i32,
  average: bool,
): void {
  const pixel = (channels as usize) << 2;
  const row = (inWidth as usize) * pixel;
  const plane = (inHeight as usize) * row;
  for (let n = 0; n < batch; n++) {
    for (let o = 0; o < outDepth; o++) {
      const d0 = max(0, o * strideDepth - front);
      const depth = min(inDepth, o * strideDepth - front + kernelDepth) - d0;
      for (let i = 0; i < outHeight; i++) {
        const h0 = max(0, i * strideHeight - top);
        const height = min(inHeight, i * strideHeight - top + kernelHeight) - h0;
        const line = x + (d0 as usize) * plane + (h0 as usize) * row;
        for (let j = 0; j < outWidth; j++) {
          const w0 = max(0, j * strideWidth - left);
          const width = min(inWidth, j * strideWidth - left + kernelWidth) - w0;
          const share: f32 = average ? 1 / ((depth * height * width) as f32) : 1;
          const shares = f32x4.splat(share);
          let p = line + (w0 as usize) * pixel;
          const end = out + pixel;
          for (; out + 64 <= end; out += 64, p += 64) {
            pool16(p, depth, height, width, plane, row, pixel, average, shares, out);
          }
          while (out < end && pixel >= 16) {
            if (out + 16 > end) {
              p -= out + 16 - end; // the last four channels, some of them again
              out = end - 16;
            }
            const four = pool4(p, depth, height, width, plane, row, pixel, average);
            v128.store(out, average ? f32x4.mul(four, shares) : four);
            out += 16;
            p += 16;
          }
          for (; out < end; out += 4, p += 4) {
            const one = pool1(p, depth, height, width, plane, row, pixel, average);
            store<f32>(out, average ? one * share : one);
          }
        }
      }
    }
    x += (inDepth as usize) * plane;
  }
}

/** out[n,d,h,w,c] = the maximum of the window; NaN where it holds one. */
export function maxPool(
  x: usize,
  out: usize,
  batch: i32,
  inDepth: i32,
  inHeight: i32,
  inWidth: i32,
  channels: i32,
  outDepth: i32,
  outHeight: i32,
  outWidth: i32,
  kernelDepth: i32,
  kernelHeight: i32,
  kernelWidth: i32,
  strideDepth: i32,
  strideHeight: i32,
  strideWidth: i32,
  front: i32,
  top: i32,
  left: i32,
): void {
  pooled(x, out, batch, inDepth, inHeight, inWidth, channels, outDepth, outHeight, outWidth, kernelDepth, kernelHeight, kernelWidth, strideDepth, strideHeight, strideWidth, front, top, left, false);
}

/** out[n,d,h,w,c] = the mean of the values in the window. */
export function avgPool(
  x: usize,
  out: usize,
  batch: i32,
  inDepth: i32,
  inHeight: i32,
  inWidth: i32,
  channels: i32,
  outDepth: i32,
  outHeight: i32,
  outWidth: i32,
  kernelDepth: i32,
  kernelHeight: i32,
  kernelWidth: i32,
  strideDepth: i32,
  strideHeight: i32,
  strideWidth: i32,
  front: i32,
  top: i32,
  left: i32,
): void {
  pooled(x, out, batch, inDepth, inHeight, inWidth, channels, outDepth, outHeight, outWidth, kernelDepth, kernelHeight, kernelWidth, strideDepth, strideHeight, strideWidth, front, top, left, true);
}
