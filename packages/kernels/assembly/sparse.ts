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

/** For every pixel the channels that are not zero: the channel's row in a panel of 32, and the value. */
export function listByPixel(dy: usize, pixels: i32, channels: i32, counts: usize, lists: usize): void {
  for (let p = 0; p < pixels; p++) {
    let at = lists;
    for (let o = 0; o < channels; o++) {
      const value = load<f32>(dy);
      dy += 4;
      if (value != 0) {
        store<u32>(at, o << 7);
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

/** to[0..31] += sum over the list of value times the 32 values at the entry's place from `base` on. */
export function addListed32(to: usize, list: usize, end: usize, base: usize): void {
  let d0 = v128.load(to);
  let d1 = v128.load(to, 16);
  let d2 = v128.load(to, 32);
  let d3 = v128.load(to, 48);
  let d4 = v128.load(to, 64);
  let d5 = v128.load(to, 80);
  let d6 = v128.load(to, 96);
  let d7 = v128.load(to, 112);
  for (; list < end; list += 8) {
    const x = load<u32>(list) + base;
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
  v128.store(to, d0);
  v128.store(to, d1, 16);
  v128.store(to, d2, 32);
  v128.store(to, d3, 48);
  v128.store(to, d4, 64);
  v128.store(to, d5, 80);
  v128.store(to, d6, 96);
  v128.store(to, d7, 112);
}

/** As {@link addListed32} for `columns` (1 to 32) values, eight at a time; reads up to seven more. */
export function addListed(
  to: usize,
  list: usize,
  end: usize,
  base: usize,
  columns: i32,
  temp: usize,
): void {
  for (; columns > 0; columns -= 8) {
    addListed8(to, list, end, base, min(8, columns), temp);
    to += 32;
    base += 32;
  }
}

function addListed8(to: usize, list: usize, end: usize, base: usize, columns: i32, temp: usize): void {
  let d0 = f32x4.splat(0);
  let d1 = d0;
  for (; list < end; list += 8) {
    const x = load<u32>(list) + base;
    const value = v128.load32_splat(list, 4);
    d0 = fma(v128.load(x), value, d0);
    d1 = fma(v128.load(x, 16), value, d1);
  }
  addPart(to, d0, d1, columns, temp);
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
