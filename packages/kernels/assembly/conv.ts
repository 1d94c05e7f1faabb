// Convolution and its two gradients as products of windows, never laid out in memory whole.
//
// A window of the padded image is a few runs of neighbouring values: a row of the kernel where the
// dilation is 1, a single tap where it is not. The forward pass interleaves the windows of four pixels;
// the filter gradient reads them in place, four values of a window per tile; the input gradient adds tiles
// of dy W^T where the windows lie. One image at a time, so all but the filter stays in the first-level cache.
import { biasActivation, putPart, roundUp } from './gemm';
import { padImage, touched, windowOffsets } from './image';
import { interleave4, packPanel } from './pack';
import { tile4x4, tile4x8 } from './tile';

/** Steps of k per block. */
const KC: i32 = 256;
/** Bytes of interleaved windows that are multiplied at a time. */
const WINDOWS: usize = 1 << 16;
/** Bytes of images and gradients that a filter gradient takes at a time. */
export const IMAGES: usize = 3 << 13;
/** One tile that is computed aside. */
export const TEMP: usize = 128;

/** Bytes of scratch that the three functions need for images of this size. */
export function convScratch(
  inChannels: i32,
  outHeight: i32,
  outWidth: i32,
  outChannels: i32,
  kernelHeight: i32,
  kernelWidth: i32,
  strideHeight: i32,
  strideWidth: i32,
  dilationHeight: i32,
  dilationWidth: i32,
): usize {
  const height = touched(outHeight, strideHeight, kernelHeight, dilationHeight);
  const width = touched(outWidth, strideWidth, kernelWidth, dilationWidth);
  const image = ((height * width * inChannels) as usize) << 2;
  const pixels = roundUp(outHeight * outWidth, 4) as usize;
  const channels = roundUp(outChannels, 8) as usize;
  const size = kernelHeight * kernelWidth * inChannels;
  // Panels of the filter: by output channels forward, by runs backward, of 8 or of 32 values.
  const runs = (dilationWidth == 1
    ? kernelHeight * roundUp(kernelWidth * inChannels, 32)
    : kernelHeight * kernelWidth * roundUp(inChannels, 32)) as usize;
  const panels = max((size as usize) * channels, runs * (outChannels as usize));
  const windows = max(WINDOWS, (size as usize) << 4);
  // The lists of the values of dy that are not zero, two words each, and the filter gradient turned.
  const lists = 2 * pixels * channels + pixels + channels + (size as usize) * channels;
  return 64 + TEMP + image + 3 * IMAGES + (pixels + panels + pixels * channels + lists << 2) + windows;
}

/** y = activation(x * w + bias), pixel by pixel; bias 0 for none. w is [kernelHeight, kernelWidth, in, out]. */
export function conv(
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
  outChannels: i32,
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
  const placed = top == 0 && left == 0 && height <= inHeight && width <= inWidth;
  const pixel = (inChannels as usize) << 2;
  const row = ((placed ? inWidth : width) as usize) * pixel;
  const imageBytes = ((inHeight * inWidth) as usize) * pixel;
  const pixels = outHeight * outWidth;
  const size = kernelHeight * kernelWidth * inChannels;
  const yStep = (outChannels as usize) << 2;

  const temp = work;
  const panels = temp + TEMP;
  const panelBytes = (size as usize) << 5;
  const offsets = panels + ((roundUp(outChannels, 8) >> 3) as usize) * panelBytes;
  const padded = offsets + ((roundUp(pixels, 4) as usize) << 2);
  const windows = padded + (((height * width) as usize) * pixel + 15 & ~15);
  for (let j = 0; j < outChannels; j += 8) {
    const to = panels + ((j >> 3) as usize) * panelBytes;
    packPanel(to, w + ((j as usize) << 2), yStep, min(8, outChannels - j), size);
  }
  windowOffsets(offsets, outHeight, outWidth, strideHeight * row, strideWidth * pixel);
  const groupBytes = (size as usize) << 4;
  const block = max(1, (WINDOWS / groupBytes) as i32) << 2;

  for (let n = 0; n < batch; n++) {
    let image = x;
    if (!placed) {
      padImage(padded, x, inHeight, inWidth, inChannels, height, width, top, left);
      image = padded;
    }
    for (let p0 = 0; p0 < pixels; p0 += block) {
      const count = min(block, pixels - p0);
      let to = windows;
      for (let p = p0; p < p0 + count; p += 4) {
        gather(to, image, offsets + ((p as usize) << 2), min(4, pixels - p), row, pixel, inChannels,
          kernelHeight, kernelWidth, dilationHeight, dilationWidth);
        to += groupBytes;
      }
      const yAt = y + (p0 as usize) * yStep;
      for (let k0 = 0; k0 < size; k0 += KC) {
        const depth = min(KC, size - k0);
        const add = k0 > 0;
        for (let j = 0; j < outChannels; j += 8) {
          const columns = min(8, outChannels - j);
          const b = panels + ((j >> 3) as usize) * panelBytes + ((k0 as usize) << 5);
          let a = windows + ((k0 as usize) << 4);
          let c = yAt + ((j as usize) << 2);
          for (let p = 0; p < count; p += 4) {
            const rows = min(4, count - p);
            if (rows == 4 && columns == 8) {
              tile4x8(a, 16, 0, 0, b, 32, depth, 1, 1, c, yStep, add);
            } else if (rows == 4 && columns == 4) {
              tile4x4(a, 16, 0, 0, b, 32, depth, 1, 1, c, yStep, add);
            } else {
              if (columns > 4) tile4x8(a, 16, 0, 0, b, 32, depth, 1, 1, temp, 32, false);
              else tile4x4(a, 16, 0, 0, b, 32, depth, 1, 1, temp, 32, false);
              putPart(c, yStep, temp, rows, columns, add);
            }
            a += groupBytes;
            c += yStep << 2;
          }
        }
      }
      if (bias || activation) biasActivation(yAt, count, outChannels, bias, activation);
    }
    x += imageBytes;
    y += (pixels as usize) * yStep;
  }
}

/** Interleaves the windows of four pixels; where there are fewer, the first stands in for the missing. */
function gather(
  to: usize,
  image: usize,
  offsets: usize,
  pixels: i32,
  row: usize,
  pixel: usize,
  channels: i32,
  kernelHeight: i32,
  kernelWidth: i32,
  dilationHeight: i32,
  dilationWidth: i32,
): void {
  let r0 = image + load<u32>(offsets);
  let r1 = pixels > 1 ? image + load<u32>(offsets, 4) : r0;
  let r2 = pixels > 2 ? image + load<u32>(offsets, 8) : r0;
  let r3 = pixels > 3 ? image + load<u32>(offsets, 12) : r0;
  const down = (dilationHeight as usize) * row;
  const right = (dilationWidth as usize) * pixel;
  const run = dilationWidth == 1 ? kernelWidth * channels : channels;
  const taps = dilationWidth == 1 ? 1 : kernelWidth;
  const runBytes = (run as usize) << 4;
  for (let a = 0; a < kernelHeight; a++) {
    let at: usize = 0;
    for (let b = 0; b < taps; b++) {
      interleave4(to, 16, r0 + at, r1 + at, r2 + at, r3 + at, run);
      to += runBytes;
      at += right;
    }
    r0 += down;
    r1 += down;
    r2 += down;
    r3 += down;
  }
}
