// Gradients of convolutions where most of dy is zero, as behind max pooling (one value in four of a 2x2
// window gets a gradient) and ReLU. The values that are not zero are listed once per image, and only they
// are multiplied; the work shrinks with their share.
//
// An entry of a list is eight bytes: where the value belongs, and the value.
import { fma } from './tile';

/** The share of values, in percent, up to which the lists beat the tiles. */
const WORTH: i32 = 45;
/** Runs shorter than this waste too much of a vector. */
const SHORTEST: i32 = 16;

/** Whether lists pay for this dy, judged by its first `count` values. */
export function isSparse(dy: usize, count: i32, run: i32): bool {
  if (run < SHORTEST) return false;
  let sum = 0;
  for (let i = 0; i < count; i++) {
    if (load<f32>(dy) != 0) sum++;
    dy += 4;
  }
  return sum * 100 <= count * WORTH;
}

/** For every pixel the channels that are not zero: 32 times the channel, and the value. */
export function listByPixel(dy: usize, pixels: i32, channels: i32, counts: usize, lists: usize): void {
  for (let p = 0; p < pixels; p++) {
    let at = lists;
    for (let o = 0; o < channels; o++) {
      const value = load<f32>(dy);
      dy += 4;
      if (value != 0) {
        store<u32>(at, o << 5);
        store<f32>(at, value, 4);
        at += 8;
      }
    }
    store<u32>(counts, (at - lists) as u32);
    counts += 4;
    lists += (channels as usize) << 3;
  }
}

/** For every channel the pixels that are not zero: the address of their window, and the value; appends. */
export function listByChannel(
  dy: usize,
  pixels: i32,
  channels: i32,
  image: usize,
  offsets: usize,
  counts: usize,
  lists: usize,
  capacity: usize,
): void {
  for (let p = 0; p < pixels; p++) {
    const window = (image + load<u32>(offsets)) as u32;
    let count = counts;
    let list = lists;
    for (let o = 0; o < channels; o++) {
      const value = load<f32>(dy);
      dy += 4;
      if (value != 0) {
        const used = load<u32>(count);
        store<u32>(list + used, window);
        store<f32>(list + used, value, 4);
        store<u32>(count, used + 8);
      }
      count += 4;
      list += capacity;
    }
    offsets += 4;
  }
}

/** dx[0..31] += sum over the list of value times the panel's row. */
export function spread32(dx: usize, list: usize, end: usize, panel: usize): void {
  let d0 = v128.load(dx);
  let d1 = v128.load(dx, 16);
  let d2 = v128.load(dx, 32);
  let d3 = v128.load(dx, 48);
  let d4 = v128.load(dx, 64);
  let d5 = v128.load(dx, 80);
  let d6 = v128.load(dx, 96);
  let d7 = v128.load(dx, 112);
  for (; list < end; list += 8) {
    const w = panel + (load<u32>(list) << 2);
    const value = v128.load32_splat(list, 4);
    d0 = fma(v128.load(w), value, d0);
    d1 = fma(v128.load(w, 16), value, d1);
    d2 = fma(v128.load(w, 32), value, d2);
    d3 = fma(v128.load(w, 48), value, d3);
    d4 = fma(v128.load(w, 64), value, d4);
    d5 = fma(v128.load(w, 80), value, d5);
    d6 = fma(v128.load(w, 96), value, d6);
    d7 = fma(v128.load(w, 112), value, d7);
  }
  v128.store(dx, d0);
  v128.store(dx, d1, 16);
  v128.store(dx, d2, 32);
  v128.store(dx, d3, 48);
  v128.store(dx, d4, 64);
  v128.store(dx, d5, 80);
  v128.store(dx, d6, 96);
  v128.store(dx, d7, 112);
}

/** As {@link spread32} for the first `columns` (1 to 8) values. */
export function spread8(dx: usize, list: usize, end: usize, panel: usize, columns: i32, temp: usize): void {
  let d0 = f32x4.splat(0);
  let d1 = d0;
  for (; list < end; list += 8) {
    const w = panel + load<u32>(list);
    const value = v128.load32_splat(list, 4);
    d0 = fma(v128.load(w), value, d0);
    d1 = fma(v128.load(w, 16), value, d1);
  }
  addPart(dx, d0, d1, columns, temp);
}

/** dw[0..31] += sum over the list of value times the window's values at `offset`. */
export function collect32(dw: usize, list: usize, end: usize, offset: usize): void {
  let d0 = v128.load(dw);
  let d1 = v128.load(dw, 16);
  let d2 = v128.load(dw, 32);
  let d3 = v128.load(dw, 48);
  let d4 = v128.load(dw, 64);
  let d5 = v128.load(dw, 80);
  let d6 = v128.load(dw, 96);
  let d7 = v128.load(dw, 112);
  for (; list < end; list += 8) {
    const x = load<u32>(list) + offset;
    const value = v128.load32_splat(list, 4);
    d0 = fma(v128.load(x), value, d0);
    d1 = fma(v128.load(x, 16), value, d1);
    d2 = fma(v128.load(x, 32), value, d2);
    d3 = fma(v128.load(x, 48), value, d3);
    d4 = fma(v128.load(x, 64), value, d4);
    d5 = fma(v128.load(x, 80), value, d5);
    d6 = fma(v128.load(x, 96), value, d6);
    d7 = fma(v128.load(x, 112), value, d7);
  }
  v128.store(dw, d0);
  v128.store(dw, d1, 16);
  v128.store(dw, d2, 32);
  v128.store(dw, d3, 48);
  v128.store(dw, d4, 64);
  v128.store(dw, d5, 80);
  v128.store(dw, d6, 96);
  v128.store(dw, d7, 112);
}

/** As {@link collect32} for the first `columns` (1 to 8) values; reads up to seven more. */
export function collect8(dw: usize, list: usize, end: usize, offset: usize, columns: i32, temp: usize): void {
  let d0 = f32x4.splat(0);
  let d1 = d0;
  for (; list < end; list += 8) {
    const x = load<u32>(list) + offset;
    const value = v128.load32_splat(list, 4);
    d0 = fma(v128.load(x), value, d0);
    d1 = fma(v128.load(x, 16), value, d1);
  }
  addPart(dw, d0, d1, columns, temp);
}

@inline
function addPart(to: usize, d0: v128, d1: v128, columns: i32, temp: usize): void {
  if (columns == 8) {
    v128.store(to, f32x4.add(v128.load(to), d0));
    v128.store(to, f32x4.add(v128.load(to, 16), d1), 16);
    return;
  }
  v128.store(temp, d0);
  v128.store(temp, d1, 16);
  for (let i: usize = 0; i < ((columns as usize) << 2); i += 4) {
    store<f32>(to + i, load<f32>(to + i) + load<f32>(temp + i));
  }
}
