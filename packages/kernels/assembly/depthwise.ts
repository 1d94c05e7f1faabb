// Depthwise convolution and its two gradients, four channels per vector. With `multiplier` M, output channel
// c M + m reads input channel c: the image is copied with every channel M times, and what follows knows
// only one filter per channel. Vectors may read past the last channel, they never write there.
import { biasActivation } from './gemm';
import { cropImage, padImage, touched } from './image';
import { fma } from './tile';

/** Bytes of scratch that the three functions need; `channels` counts the outputs. */
export function depthwiseScratch(
  inHeight: i32,
  inWidth: i32,
  outHeight: i32,
  outWidth: i32,
  channels: i32,
  kernelHeight: i32,
  kernelWidth: i32,
  strideHeight: i32,
  strideWidth: i32,
  dilationHeight: i32,
  dilationWidth: i32,
): usize {
  const height = touched(outHeight, strideHeight, kernelHeight, dilationHeight);
  const width = touched(outWidth, strideWidth, kernelWidth, dilationWidth);
  // The input gradient at stride 1 pads dy so that its windows give the input.
  const turned = touched(inHeight, 1, kernelHeight, dilationHeight) * touched(inWidth, 1, kernelWidth, dilationWidth);
  const images = 2 * max(height * width, turned) + inHeight * inWidth;
  return 64 + (((images + kernelHeight * kernelWidth) * channels) as usize << 2);
}

/** Stores the first `lanes` (1 to 4) values. */
@inline
function put(to: usize, value: v128, lanes: i32): void {
  if (lanes >= 4) {
    v128.store(to, value);
    return;
  }
  store<f32>(to, f32x4.extract_lane(value, 0));
  if (lanes > 1) store<f32>(to, f32x4.extract_lane(value, 1), 4);
  if (lanes > 2) store<f32>(to, f32x4.extract_lane(value, 2), 8);
}

/** to[i, c M + m] = from[i, c]. */
function expand(to: usize, from: usize, pixels: i32, channels: i32, multiplier: i32): void {
  for (let i = pixels * channels; i > 0; i--) {
    const value = load<f32>(from);
    for (let m = 0; m < multiplier; m++) {
      store<f32>(to, value);
      to += 4;
    }
    from += 4;
  }
}

/** to[i, c] = sum over m of from[i, c M + m]. */
function reduce(to: usize, from: usize, pixels: i32, channels: i32, multiplier: i32): void {
  for (let i = pixels * channels; i > 0; i--) {
    let sum: f32 = 0;
    for (let m = 0; m < multiplier; m++) {
      sum += load<f32>(from);
      from += 4;
    }
    store<f32>(to, sum);
    to += 4;
  }
}

/** y of one image whose padding is written out and whose channels are as many as the outputs. */
function forwardImage(
  image: usize,
  row: usize,
  w: usize,
  y: usize,
  outHeight: i32,
  outWidth: i32,
  channels: i32,
  kernelHeight: i32,
  kernelWidth: i32,
  strideHeight: i32,
  strideWidth: i32,
  dilationHeight: i32,
  dilationWidth: i32,
): void {
  const pixel = (channels as usize) << 2;
  const next = (strideWidth as usize) * pixel;
  const right = (dilationWidth as usize) * pixel;
  const down = (dilationHeight as usize) * row;
  for (let i = 0; i < outHeight; i++) {
    let start = image + ((i * strideHeight) as usize) * row;
    let j = 0;
    for (; j + 4 <= outWidth; j += 4) {
      for (let c = 0; c < channels; c += 4) {
        const lanes = channels - c;
        let y0 = f32x4.splat(0);
        let y1 = y0;
        let y2 = y0;
        let y3 = y0;
        let q = w + ((c as usize) << 2);
        let at = start + ((c as usize) << 2);
        for (let a = 0; a < kernelHeight; a++) {
          let p = at;
          for (let b = 0; b < kernelWidth; b++) {
            const weight = v128.load(q);
            y0 = fma(v128.load(p), weight, y0);
            y1 = fma(v128.load(p + next), weight, y1);
            y2 = fma(v128.load(p + 2 * next), weight, y2);
            y3 = fma(v128.load(p + 3 * next), weight, y3);
            p += right;
            q += pixel;
          }
          at += down;
        }
        const to = y + ((c as usize) << 2);
        put(to, y0, lanes);
        put(to + pixel, y1, lanes);
        put(to + 2 * pixel, y2, lanes);
        put(to + 3 * pixel, y3, lanes);
      }
      start += 4 * next;
      y += 4 * pixel;
    }
    for (; j < outWidth; j++) {
      for (let c = 0; c < channels; c += 4) {
        let sum = f32x4.splat(0);
        let q = w + ((c as usize) << 2);
        let at = start + ((c as usize) << 2);
        for (let a = 0; a < kernelHeight; a++) {
          let p = at;
          for (let b = 0; b < kernelWidth; b++) {
            sum = fma(v128.load(p), v128.load(q), sum);
            p += right;
            q += pixel;
          }
          at += down;
        }
        put(y + ((c as usize) << 2), sum, channels - c);
      }
      start += next;
      y += pixel;
    }
  }
}

/** y = activation(depthwise(x, w) + bias); bias 0 for none. w is [kernelHeight, kernelWidth, in, M]. */
export function depthwise(
  x: usize,
  w: usize,
  bias: usize,
  activation: i32,
  y: usize,
  batch: i32,
  inHeight: i32,
  inWidth: i32,
  inChannels: i32,
  outHeight: i32,
  outWidth: i32,
  channels: i32,
  kernelHeight: i32,
  kernelWidth: i32,
  strideHeight: i32,
  strideWidth: i32,
  dilationHeight: i32,
  dilationWidth: i32,
  top: i32,
  left: i32,
  work: usize,
): void {
  const height = touched(outHeight, strideHeight, kernelHeight, dilationHeight);
  const width = touched(outWidth, strideWidth, kernelWidth, dilationWidth);
  const placed = prepared(inHeight, inWidth, inChannels, channels, height, width, top, left);
  const row = ((placed ? inWidth : width) * channels) as usize << 2;
  const yBytes = ((outHeight * outWidth * channels) as usize) << 2;
  for (let n = 0; n < batch; n++) {
    const image = placed
      ? x
      : prepare(work, x, inHeight, inWidth, inChannels, channels, height, width, top, left);
    forwardImage(image, row, w, y, outHeight, outWidth, channels, kernelHeight, kernelWidth, strideHeight,
      strideWidth, dilationHeight, dilationWidth);
    if (bias || activation) biasActivation(y, outHeight * outWidth, channels, bias, activation);
    x += ((inHeight * inWidth * inChannels) as usize) << 2;
    y += yBytes;
  }
}

/** Whether an image can be read as it lies. */
@inline
function prepared(
  inHeight: i32,
  inWidth: i32,
  inChannels: i32,
  channels: i32,
  height: i32,
  width: i32,
  top: i32,
  left: i32,
): bool {
  return inChannels == channels && top == 0 && left == 0 && height <= inHeight && width <= inWidth;
}

/** The padded image with every channel as often as it is used; lies in `work`. */
function prepare(
  work: usize,
  x: usize,
  inHeight: i32,
  inWidth: i32,
  inChannels: i32,
  channels: i32,
  height: i32,
  width: i32,
  top: i32,
  left: i32,
): usize {
  padImage(work, x, inHeight, inWidth, inChannels, height, width, top, left);
  if (inChannels == channels) return work;
  const to = work + (((height * width * channels) as usize) << 2);
  expand(to, work, height * width, inChannels, channels / inChannels);
  return to;
}

/** dw[a, b, c, m] = sum over images and pixels of x times dy. */
export function depthwiseFilterGradient(
  x: usize,
  dy: usize,
  dw: usize,
  batch: i32,
  inHeight: i32,
  inWidth: i32,
  inChannels: i32,
  outHeight: i32,
  outWidth: i32,
  channels: i32,
  kernelHeight: i32,
  kernelWidth: i32,
  strideHeight: i32,
  strideWidth: i32,
  dilationHeight: i32,
  dilationWidth: i32,
  top: i32,
  left: i32,
  work: usize,
): void {
  const height = touched(outHeight, strideHeight, kernelHeight, dilationHeight);
  const width = touched(outWidth, strideWidth, kernelWidth, dilationWidth);
  const placed = prepared(inHeight, inWidth, inChannels, channels, height, width, top, left);
  const pixel = (channels as usize) << 2;
  const row = ((placed ? inWidth : width) as usize) * pixel;
  const right = (dilationWidth as usize) * pixel;
  const next = (strideWidth as usize) * pixel;
  const nextRow = (strideHeight as usize) * row;
  memory.fill(dw, 0, ((kernelHeight * kernelWidth) as usize) * pixel);
  for (let n = 0; n < batch; n++) {
    const image = placed
      ? x
      : prepare(work, x, inHeight, inWidth, inChannels, channels, height, width, top, left);
    for (let c = 0; c < channels; c += 4) {
      const lanes = channels - c;
      let to = dw + ((c as usize) << 2);
      for (let a = 0; a < kernelHeight; a++) {
        let start = image + ((a * dilationHeight) as usize) * row + ((c as usize) << 2);
        // Three taps of a row share the loads of dy.
        for (let b = 0; b < kernelWidth; b += 3) {
          const taps = min(3, kernelWidth - b);
          const second = taps > 1 ? right : 0;
          const third = taps > 2 ? 2 * right : 0;
          let w0 = f32x4.splat(0);
          let w1 = w0;
          let w2 = w0;
          let from = start;
          let q = dy + ((c as usize) << 2);
          for (let i = outHeight; i > 0; i--) {
            let p = from;
            for (let j = outWidth; j > 0; j--) {
              const d = v128.load(q);
              w0 = fma(v128.load(p), d, w0);
              w1 = fma(v128.load(p + second), d, w1);
              w2 = fma(v128.load(p + third), d, w2);
              p += next;
              q += pixel;
            }
            from += nextRow;
          }
          put(to, f32x4.add(v128.load(to), w0), lanes);
          if (taps > 1) put(to + pixel, f32x4.add(v128.load(to + pixel), w1), lanes);
          if (taps > 2) put(to + 2 * pixel, f32x4.add(v128.load(to + 2 * pixel), w2), lanes);
          to += (taps as usize) * pixel;
          start += 3 * right;
        }
      }
    }
    x += ((inHeight * inWidth * inChannels) as usize) << 2;
    dy += ((outHeight * outWidth) as usize) * pixel;
  }
}

/** dx = the sum over the windows that hold a value of dy times its weight. */
export function depthwiseInputGradient(
  dy: usize,
  w: usize,
  dx: usize,
  batch: i32,
  inHeight: i32,
  inWidth: i32,
  inChannels: i32,
  outHeight: i32,
  outWidth: i32,
  channels: i32,
  kernelHeight: i32,
  kernelWidth: i32,
  strideHeight: i32,
  strideWidth: i32,
  dilationHeight: i32,
  dilationWidth: i32,
  top: i32,
  left: i32,
  work: usize,
): void {
  const pixel = (channels as usize) << 2;
  const dyBytes = ((outHeight * outWidth) as usize) * pixel;
  const dxBytes = ((inHeight * inWidth * inChannels) as usize) << 2;
  const multiplier = channels / inChannels;
  const taps = kernelHeight * kernelWidth;
  const whole = work + (taps as usize) * pixel; // dx with all channels, where it is not dx itself
  const images = whole + ((inHeight * inWidth) as usize) * pixel;
  const flip = strideHeight == 1 && strideWidth == 1;
  const height = flip
    ? touched(inHeight, 1, kernelHeight, dilationHeight)
    : touched(outHeight, strideHeight, kernelHeight, dilationHeight);
  const width = flip
    ? touched(inWidth, 1, kernelWidth, dilationWidth)
    : touched(outWidth, strideWidth, kernelWidth, dilationWidth);
  const row = (width as usize) * pixel;
  if (flip) {
    for (let t = 0; t < taps; t++) {
      memory.copy(work + (t as usize) * pixel, w + ((taps - 1 - t) as usize) * pixel, pixel);
    }
  }
  for (let n = 0; n < batch; n++) {
    const target = multiplier == 1 ? dx : whole;
    if (flip) {
      // A convolution of dy with the filter turned by 180 degrees.
      padImage(images, dy, outHeight, outWidth, channels, height, width,
        (kernelHeight - 1) * dilationHeight - top, (kernelWidth - 1) * dilationWidth - left);
      forwardImage(images, row, work, target, inHeight, inWidth, channels, kernelHeight, kernelWidth, 1, 1,
        dilationHeight, dilationWidth);
    } else {
      scatter(images, row, (height as usize) * row, dy, w, outHeight, outWidth, channels, kernelHeight,
        kernelWidth, strideHeight, strideWidth, dilationHeight, dilationWidth);
      cropImage(target, images, inHeight, inWidth, channels, height, width, top, left);
    }
    if (multiplier > 1) reduce(dx, whole, inHeight * inWidth, inChannels, multiplier);
    dx += dxBytes;
    dy += dyBytes;
  }
}

/** Adds dy times every weight where its window lies, tap by tap. */
function scatter(
  image: usize,
  row: usize,
  imageBytes: usize,
  dy: usize,
  w: usize,
  outHeight: i32,
  outWidth: i32,
  channels: i32,
  kernelHeight: i32,
  kernelWidth: i32,
  strideHeight: i32,
  strideWidth: i32,
  dilationHeight: i32,
  dilationWidth: i32,
): void {
  const pixel = (channels as usize) << 2;
  const next = (strideWidth as usize) * pixel;
  memory.fill(image, 0, imageBytes);
  for (let c = 0; c < channels; c += 4) {
    const lanes = channels - c;
    let q = w + ((c as usize) << 2);
    for (let a = 0; a < kernelHeight; a++) {
      for (let b = 0; b < kernelWidth; b++) {
        const weight = v128.load(q);
        let from = dy + ((c as usize) << 2);
        for (let i = 0; i < outHeight; i++) {
          let p = image + ((i * strideHeight + a * dilationHeight) as usize) * row
            + ((b * dilationWidth) as usize) * pixel + ((c as usize) << 2);
          for (let j = outWidth; j > 0; j--) {
            put(p, fma(v128.load(from), weight, v128.load(p)), lanes);
            p += next;
            from += pixel;
          }
        }
        q += pixel;
      }
    }
  }
}
