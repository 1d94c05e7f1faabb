// The input gradient of a convolution: tiles of dy W^T, added where the windows lie. See conv.ts.
import { TEMP } from './conv';
import { roundUp } from './gemm';
import { cropImage, touched, windowOffsets } from './image';
import { packPanelTransposed, packRows } from './pack';
import { packWide } from './pack-wide';
import { addListed, addListed32, isSparse, listByPixel } from './sparse';
import { tile4x4, tile4x8 } from './tile';

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
  const sparse = isSparse(dy, pixels * outChannels, run);
  const panelWidth = sparse ? 32 : 8;
  const panelBytes = ((outChannels * panelWidth) as usize) << 2;
  let to = panels;
  let rowOfW = w;
  for (let s = 0; s < kernelHeight * taps; s++) {
    for (let k = 0; k < run; k += panelWidth) {
      const columns = min(panelWidth, run - k);
      if (sparse) packWide(to, rowOfW, dyStep, columns, outChannels);
      else packPanelTransposed(to, rowOfW, dyStep, columns, outChannels);
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
        for (let k = 0; k < run; k += panelWidth) {
          const columns = min(panelWidth, run - k);
          if (sparse) addLists(target, offsets, counts, lists, b, pixels, outChannels, columns, temp);
          else addTiles(target, offsets, groups, groupBytes, b, pixels, outChannels, columns, temp);
          b += panelBytes;
          target += (panelWidth as usize) << 2;
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
      if (columns == 32) addListed32(to, lists, end, b);
      else addListed(to, lists, end, b, columns, temp);
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
