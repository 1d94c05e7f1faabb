// Convolution and its two gradients as products of windows, never laid out in memory whole.
//
// A window of the padded image is a few runs of neighbouring values: a row of the kernel where the
// dilation is 1, a single tap where it is not. The forward pass interleaves the windows of four pixels;
// the filter gradient reads them in place, four values of a window per tile; the input gradient adds tiles
// of dy W^T where the windows lie. One image at a time, so all but the filter stays in the first-level cache.
import { biasActivation, putPart, roundUp } from './gemm';
import { cropImage, padImage, touched, windowOffsets } from './image';
import { packWide } from './pack-wide';
import { interleave4, packPanel, packPanelTransposed, packRows } from './pack';
import {
  collect32,
  collect8,
  isSparse,
  listByChannel,
  listByPixel,
  spread32,
  spread8,
} from './sparse';
import { tile4x4, tile4x8 } from './tile';

/** Steps of k per block. */
const KC: i32 = 256;
/** Bytes of interleaved windows that are multiplied at a time. */
const WINDOWS: usize = 1 << 16;
/** Bytes of images and gradients that a filter gradient takes at a time. */
const IMAGES: usize = 3 << 13;
const TEMP: usize = 128;

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
  // Panels of the filter: by output channels forward, by runs backward; a run has up to seven values less.
  const runs = (kernelHeight * kernelWidth * roundUp(inChannels, 8)) as usize;
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

/** dw[a, b, c, o] = sum over images and pixels of the window's value x times dy. */
export function convFilterGradient(
  x: usize,
  dy: usize,
  dw: usize,
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
  const inBytes = ((inHeight * inWidth) as usize) * pixel;
  const imageBytes = placed ? inBytes : ((height * width) as usize) * pixel;
  const pixels = outHeight * outWidth;
  const cStep = (outChannels as usize) << 2;
  const dyBytes = (pixels as usize) * cStep;
  const run = dilationWidth == 1 ? kernelWidth * inChannels : inChannels;
  const taps = dilationWidth == 1 ? 1 : kernelWidth;
  const aStep = (strideWidth as usize) * pixel;
  const aGroup = (strideHeight as usize) * row;

  // As many images at a time as fit, so that a tile is loaded and stored rarely.
  const panelsBytes = ((pixels * roundUp(outChannels, 8)) as usize) << 2;
  const chunk = min(batch, max(1, (IMAGES / (imageBytes + panelsBytes)) as i32));
  const temp = work;
  const padded = temp + TEMP;
  const panel = padded + (placed ? 0 : (chunk as usize) * imageBytes + 15 & ~15);
  const copied = (cStep & 511) == 0 ? 0 : outChannels & ~7; // columns from here on are copied
  const panelBytes = ((chunk * pixels) as usize) << 5;
  const size = kernelHeight * kernelWidth * inChannels;
  const sparse = isSparse(dy, pixels * outChannels, run);
  const turned = panel + ((outChannels + 7 >> 3) as usize) * panelBytes; // dw [out, window], lists
  const offsets = turned + ((size * outChannels) as usize << 2);
  const counts = offsets + ((pixels as usize) << 2);
  const lists = counts + cStep;
  const capacity = ((chunk * pixels) as usize) << 3;
  if (sparse) {
    memory.fill(turned, 0, ((size * outChannels) as usize) << 2);
    windowOffsets(offsets, outHeight, outWidth, aGroup, aStep);
  } else {
    memory.fill(dw, 0, (size as usize) * cStep);
  }

  for (let n = 0; n < batch; n += chunk) {
    const images = min(chunk, batch - n);
    let image = x;
    if (!placed) {
      for (let i = 0; i < images; i++) {
        const to = padded + (i as usize) * imageBytes;
        padImage(to, x + (i as usize) * inBytes, inHeight, inWidth, inChannels, height, width, top, left);
      }
      image = padded;
    }
    if (sparse) {
      memory.fill(counts, 0, cStep);
      for (let i: usize = 0; i < (images as usize); i++) {
        listByChannel(dy + i * dyBytes, pixels, outChannels, image + i * imageBytes, offsets, counts, lists,
          capacity);
      }
      collect(turned, counts, lists, capacity, outChannels, kernelHeight, taps, run, dilationHeight * row,
        dilationWidth * pixel, temp);
      x += (images as usize) * inBytes;
      dy += (images as usize) * dyBytes;
      continue;
    }
    for (let j = copied; j < outChannels; j += 8) {
      const to = panel + ((j - copied) >> 3) * panelBytes;
      packPanel(to, dy + ((j as usize) << 2), cStep, min(8, outChannels - j), images * pixels);
    }
    for (let j = 0; j < outChannels; j += 8) {
      const columns = min(8, outChannels - j);
      const lies = j < copied;
      const b = lies ? dy + ((j as usize) << 2) : panel + ((j - copied) >> 3) * panelBytes;
      const bStep: usize = lies ? cStep : 32;
      let c = dw + ((j as usize) << 2);
      for (let a = 0; a < kernelHeight; a++) {
        for (let t = 0; t < taps; t++) {
          let from = image + ((a * dilationHeight) as usize) * row + ((t * dilationWidth) as usize) * pixel;
          for (let k = 0; k < run; k += 4) {
            const rows = min(4, run - k);
            if (rows == 4 && columns == 8) {
              tile4x8(from, aStep, aGroup, imageBytes, b, bStep, outWidth, outHeight, images, c, cStep, true);
            } else if (rows == 4 && columns == 4) {
              tile4x4(from, aStep, aGroup, imageBytes, b, bStep, outWidth, outHeight, images, c, cStep, true);
            } else {
              if (columns > 4) {
                tile4x8(from, aStep, aGroup, imageBytes, b, bStep, outWidth, outHeight, images, temp, 32, false);
              } else {
                tile4x4(from, aStep, aGroup, imageBytes, b, bStep, outWidth, outHeight, images, temp, 32, false);
              }
              putPart(c, cStep, temp, rows, columns, true);
            }
            from += 16;
            c += (rows as usize) * cStep;
          }
        }
      }
    }
    x += (images as usize) * inBytes;
    dy += (images as usize) * dyBytes;
  }
  if (sparse) transpose(dw, turned, outChannels, size);
}

/** Adds to dw [out, window] what the lists of some images say. */
function collect(
  dw: usize,
  counts: usize,
  lists: usize,
  capacity: usize,
  channels: i32,
  kernelHeight: i32,
  taps: i32,
  run: i32,
  down: usize,
  right: usize,
  temp: usize,
): void {
  for (let o = 0; o < channels; o++) {
    const end = lists + load<u32>(counts);
    for (let a = 0; a < kernelHeight; a++) {
      for (let t = 0; t < taps; t++) {
        let offset = (a as usize) * down + (t as usize) * right;
        let k = 0;
        for (; k + 32 <= run; k += 32) {
          collect32(dw, lists, end, offset);
          dw += 128;
          offset += 128;
        }
        for (; k < run; k += 8) {
          const columns = min(8, run - k);
          collect8(dw, lists, end, offset, columns, temp);
          dw += (columns as usize) << 2;
          offset += 32;
        }
      }
    }
    counts += 4;
    lists += capacity;
  }
}

/** to[j, i] = from[i, j]. */
function transpose(to: usize, from: usize, rows: i32, columns: i32): void {
  const step = (rows as usize) << 2;
  for (let i = 0; i < rows; i++) {
    let at = to;
    for (let j = 0; j < columns; j++) {
      store<f32>(at, load<f32>(from));
      from += 4;
      at += step;
    }
    to += 4;
  }
}

/** dx = the sum over the windows that hold a value of dy times its weight. */
export function convInputGradient(
  dy: usize,
  w: usize,
  dx: usize,
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
  const inBytes = ((inHeight * inWidth) as usize) * pixel;
  const pixels = outHeight * outWidth;
  const dyStep = (outChannels as usize) << 2;
  const run = dilationWidth == 1 ? kernelWidth * inChannels : inChannels;
  const taps = dilationWidth == 1 ? 1 : kernelWidth;
  const paddedBytes = ((height * width) as usize) * pixel;

  const temp = work;
  const padded = temp + TEMP;
  const offsets = padded + (placed ? 0 : paddedBytes + 15 & ~15);
  const groups = offsets + ((roundUp(pixels, 4) as usize) << 2);
  const groupBytes = (outChannels as usize) << 4;
  const panels = groups + ((roundUp(pixels, 4) >> 2) as usize) * groupBytes;
  const panelBytes = (outChannels as usize) << 5;

  const sparse = isSparse(dy, pixels * outChannels, run);
  let to = panels;
  let rowOfW = w;
  for (let s = 0; s < kernelHeight * taps; s++) {
    let k = 0;
    if (sparse) {
      for (; k + 32 <= run; k += 32) {
        packWide(to, rowOfW, dyStep, 32, outChannels);
        rowOfW += dyStep << 5;
        to += panelBytes << 2;
      }
    }
    for (; k < run; k += 8) {
      const columns = min(8, run - k);
      packPanelTransposed(to, rowOfW, dyStep, columns, outChannels);
      rowOfW += (columns as usize) * dyStep;
      to += panelBytes;
    }
  }
  const counts = to;
  const lists = counts + ((pixels as usize) << 2);
  windowOffsets(offsets, outHeight, outWidth, strideHeight * row, strideWidth * pixel);

  for (let n = 0; n < batch; n++) {
    const image = placed ? dx : padded;
    memory.fill(image, 0, placed ? inBytes : paddedBytes);
    if (sparse) {
      listByPixel(dy, pixels, outChannels, counts, lists);
    } else {
      for (let p = 0; p < pixels; p += 4) {
        const from = dy + (p as usize) * dyStep;
        packRows(groups + ((p >> 2) as usize) * groupBytes, from, dyStep, min(4, pixels - p), outChannels);
      }
    }
    let b = panels;
    for (let a = 0; a < kernelHeight; a++) {
      for (let t = 0; t < taps; t++) {
        let target = image + ((a * dilationHeight) as usize) * row + ((t * dilationWidth) as usize) * pixel;
        let k = 0;
        if (sparse) {
          for (; k + 32 <= run; k += 32) {
            addLists(target, offsets, counts, lists, b, pixels, outChannels, 32, temp);
            b += panelBytes << 2;
            target += 128;
          }
        }
        for (; k < run; k += 8) {
          const columns = min(8, run - k);
          if (sparse) addLists(target, offsets, counts, lists, b, pixels, outChannels, columns, temp);
          else addTiles(target, offsets, groups, groupBytes, b, pixels, outChannels, columns, temp);
          b += panelBytes;
          target += 32;
        }
      }
    }
    if (!placed) cropImage(dx, padded, inHeight, inWidth, inChannels, height, width, top, left);
    dx += inBytes;
    dy += (pixels as usize) * dyStep;
  }
}

/** Adds dy W^T for one panel of W to every window, where dy is given as lists. */
function addLists(
  target: usize,
  offsets: usize,
  counts: usize,
  lists: usize,
  b: usize,
  pixels: i32,
  channels: i32,
  columns: i32,
  temp: usize,
): void {
  for (let p = 0; p < pixels; p++) {
    const to = target + load<u32>(offsets);
    const end = lists + load<u32>(counts);
    if (lists < end) {
      if (columns == 32) spread32(to, lists, end, b);
      else spread8(to, lists, end, b, columns, temp);
    }
    offsets += 4;
    counts += 4;
    lists += (channels as usize) << 3;
  }
}

/** Adds dy W^T for one panel of W to every window. */
function addTiles(
  target: usize,
  offsets: usize,
  groups: usize,
  groupBytes: usize,
  b: usize,
  pixels: i32,
  depth: i32,
  columns: i32,
  temp: usize,
): void {
  for (let p = 0; p < pixels; p += 4) {
    const rows = min(4, pixels - p);
    if (columns > 4) tile4x8(groups, 16, 0, 0, b, 32, depth, 1, 1, temp, 32, false);
    else tile4x4(groups, 16, 0, 0, b, 32, depth, 1, 1, temp, 32, false);
    let from = temp;
    for (let r = 0; r < rows; r++) {
      const to = target + load<u32>(offsets);
      if (columns == 8) {
        v128.store(to, f32x4.add(v128.load(to), v128.load(from)));
        v128.store(to, f32x4.add(v128.load(to, 16), v128.load(from, 16)), 16);
      } else {
        for (let i: usize = 0; i < ((columns as usize) << 2); i += 4) {
          store<f32>(to + i, load<f32>(to + i) + load<f32>(from + i));
        }
      }
      from += 32;
      offsets += 4;
    }
    groups += groupBytes;
  }
}
