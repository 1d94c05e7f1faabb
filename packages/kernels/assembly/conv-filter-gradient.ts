// The filter gradient of a convolution: windows times dy, added up over pixels and images. See conv.ts.
import { IMAGES, TEMP } from './conv';
import { putPart, roundUp } from './gemm';
import { padImage, touched, windowOffsets } from './image';
import { collides, packPanel } from './pack';
import { addListed, addListed32, isSparse, listByChannel } from './sparse';
import { tile4x4, tile4x8 } from './tile';

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
  const copied = collides(cStep) ? 0 : outChannels & ~7; // columns from here on are copied
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
        for (let k = 0; k < run; k += 32) {
          const columns = min(32, run - k);
          if (columns == 32) addListed32(dw, lists, end, offset);
          else addListed(dw, lists, end, offset, columns, temp);
          dw += (columns as usize) << 2;
          offset += 128;
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
