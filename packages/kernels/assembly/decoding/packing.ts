// The weights of dense layers, [input, output], in the forms that assembly/inference/dense.ts takes. `out` is zeros at
// first.

/** Words: weights that are not 0, and blocks of 8 outputs of an input with such a weight. */
export function countBlocks(data: usize, inputs: i32, outputs: i32, counts: usize): void {
  let kept = 0;
  let blocks = 0;
  for (let i = 0; i < inputs; i++) {
    for (let o = 0; o < outputs; o += 8) {
      const end = data + (<usize>min(8, outputs - o) << 2);
      const before = kept;
      for (; data < end; data += 4) kept += i32(load<u32>(data) << 1 != 0);
      blocks += i32(kept > before);
    }
  }
  store<i32>(counts, kept);
  store<i32>(counts, blocks, 4);
}

/** The values that occur, bit by bit but with one 0, `most` at most. Returns how many; `most` + 1 for more. */
export function distinctValues(data: usize, size: i32, out: usize, most: i32): i32 {
  let count = 0;
  let last: u32 = 0xffff_ffff;
  for (const end = data + (<usize>size << 2); data < end; data += 4) {
    let value = load<u32>(data);
    if (value << 1 == 0) value = 0;
    if (value == last && count > 0) continue;
    last = value;
    let k = 0;
    while (k < count && load<u32>(out + (<usize>k << 2)) != value) k++;
    if (k < count) continue;
    if (count == most) return most + 1;
    store<u32>(out + (<usize>count << 2), value);
    count++;
  }
  return count;
}

/** Panels of 16 outputs, of those from `begin` to `end`: biases, then weights of each input and `more` rows of zeros. */
export function floatPanels(
  data: usize,
  inputs: i32,
  outputs: i32,
  scale: usize,
  bias: usize,
  more: i32,
  begin: i32,
  end: i32,
  out: usize,
): void {
  const row = <usize>outputs << 2;
  for (let o = begin; o < end; o += 16) {
    const width = <usize>min(16, outputs - o) << 2;
    const first = <usize>o << 2;
    memory.copy(out, bias + first, width);
    out += 64;
    let from = data + first;
    let plain = true;
    for (let j: usize = 0; j < width; j += 4) plain = plain && load<f32>(scale + first + j) == 1;
    for (let i = 0; i < inputs; i++, from += row, out += 64) {
      if (plain && width == 64) {
        for (let j: usize = 0; j < 64; j += 16) {
          store<u64>(out + j, load<u64>(from + j));
          store<u64>(out + j, load<u64>(from + j, 8), 8);
        }
        continue;
      }
      for (let j: usize = 0; j < width; j += 4) {
        store<f32>(out + j, load<f32>(from + j) * load<f32>(scale + first + j));
      }
    }
    out += <usize>more << 6;
  }
}

/** How long the lists of each output are: `starts` in words, `places` zeros. Returns the words of all. */
export function listStarts(data: usize, inputs: i32, outputs: i32, starts: usize, places: usize): i32 {
  const row = <usize>outputs << 2;
  for (let o: usize = 0; o < row; o += 4) store<u32>(places + o, 0);
  for (let i = 0; i < inputs; i++, data += row) {
    for (let o: usize = 0; o < row; o += 4) {
      const kept = u32(load<u32>(data + o) << 1 != 0);
      store<u32>(places + o, load<u32>(places + o) + kept);
    }
  }
  return startsOf(outputs, starts, places);
}

/** Lists of the weights of each output that are not 0: groups of 4, bias; then of each group 4 addresses, 4 weights. */
export function fillLists(
  data: usize,
  inputs: i32,
  outputs: i32,
  scale: usize,
  bias: usize,
  starts: usize,
  places: usize,
  out: usize,
): void {
  const row = <usize>outputs << 2;
  fillHeads(outputs, bias, starts, places, out);
  for (let i = 0; i < inputs; i++, data += row) {
    for (let o: usize = 0; o < row; o += 4) {
      if (load<u32>(data + o) << 1 == 0) continue;
      fillEntry(starts, places, o, i, load<f32>(data + o) * load<f32>(scale + o), out);
    }
  }
}

/** As countBlocks, of the `count` values at ascending places; all others are 0. */
export function keptBlocks(places: usize, values: usize, count: i32, outputs: i32, counts: usize): void {
  const blocksOfRow = (outputs + 7) >> 3;
  let kept = 0;
  let blocks = 0;
  let last = -1;
  for (const end = places + (<usize>count << 2); places < end; places += 4, values += 4) {
    if (load<u32>(values) << 1 == 0) continue;
    const place = load<i32>(places);
    const row = place / outputs;
    const block = row * blocksOfRow + ((place - row * outputs) >> 3);
    kept++;
    blocks += i32(block != last);
    last = block;
  }
  store<i32>(counts, kept);
  store<i32>(counts, blocks, 4);
}

/** As listStarts, of the `count` values at ascending places; all others are 0. `lengths` is as its `places`. */
export function keptStarts(
  places: usize,
  values: usize,
  count: i32,
  outputs: i32,
  starts: usize,
  lengths: usize,
): i32 {
  memory.fill(lengths, 0, <usize>outputs << 2);
  for (const end = places + (<usize>count << 2); places < end; places += 4, values += 4) {
    if (load<u32>(values) << 1 == 0) continue;
    const at = lengths + (<usize>(load<i32>(places) % outputs) << 2);
    store<u32>(at, load<u32>(at) + 1);
  }
  return startsOf(outputs, starts, lengths);
}

/** Where lists begin, in words; returns the words of all. */
function startsOf(outputs: i32, starts: usize, lengths: usize): i32 {
  let length = 0;
  for (let o: usize = 0; o < <usize>outputs << 2; o += 4) {
    store<u32>(starts + o, length);
    length += 2 + 8 * ((load<i32>(lengths + o) + 3) >> 2);
  }
  return length;
}

/** Writes the heads of lists; `places` becomes zeros. */
function fillHeads(outputs: i32, bias: usize, starts: usize, places: usize, out: usize): void {
  for (let o: usize = 0; o < <usize>outputs << 2; o += 4) {
    const at = out + (load<u32>(starts + o) << 2);
    store<u32>(at, (load<u32>(places + o) + 3) >> 2);
    store<f32>(at, load<f32>(bias + o), 4);
    store<u32>(places + o, 0);
  }
}

/** Writes an entry of a list. */
@inline
function fillEntry(starts: usize, places: usize, o: usize, input: i32, weight: f32, out: usize): void {
  const place = load<u32>(places + o);
  store<u32>(places + o, place + 1);
  const at = out + ((load<u32>(starts + o) + 2 + 8 * (place >> 2) + (place & 3)) << 2);
  store<u32>(at, input << 2);
  store<f32>(at, weight, 16);
}

/** As fillLists, of the `count` values at ascending places; all others are 0. */
export function fillKept(
  places: usize,
  values: usize,
  count: i32,
  outputs: i32,
  scale: usize,
  bias: usize,
  starts: usize,
  lengths: usize,
  out: usize,
): void {
  fillHeads(outputs, bias, starts, lengths, out);
  for (const end = places + (<usize>count << 2); places < end; places += 4, values += 4) {
    if (load<u32>(values) << 1 == 0) continue;
    const place = load<i32>(places);
    const row = place / outputs;
    const o = <usize>(place - row * outputs) << 2;
    fillEntry(starts, lengths, o, row, load<f32>(values) * load<f32>(scale + o), out);
  }
}

@inline
function anyKept(from: usize, end: usize): bool {
  for (; from < end; from += 4) if (load<u32>(from) << 1 != 0) return true;
  return false;
}

/** Inputs that each block of 8 outputs keeps, a word each. Returns the words of all blocks. */
export function blockSizes(data: usize, inputs: i32, outputs: i32, sizes: usize): i32 {
  const row = <usize>outputs << 2;
  let length = 0;
  for (let o = 0; o < outputs; o += 8, sizes += 4) {
    const width = <usize>min(8, outputs - o) << 2;
    let from = data + (<usize>o << 2);
    let kept = 0;
    for (let i = 0; i < inputs; i++, from += row) kept += i32(anyKept(from, from + width));
    store<u32>(sizes, kept);
    length += 12 + 36 * ((kept + 3) >> 2);
  }
  return length;
}

/** Blocks of 8 outputs: groups of 4, 3 spare words, biases; then of each group 4 addresses and 4 times 8 weights. */
export function fillBlocks(
  data: usize,
  inputs: i32,
  outputs: i32,
  scale: usize,
  bias: usize,
  sizes: usize,
  out: usize,
): void {
  const row = <usize>outputs << 2;
  for (let o = 0; o < outputs; o += 8, sizes += 4) {
    const width = <usize>min(8, outputs - o) << 2;
    const first = <usize>o << 2;
    const groups = (load<u32>(sizes) + 3) >> 2;
    store<u32>(out, groups);
    memory.copy(out + 16, bias + first, width);
    out += 48;
    let place: u32 = 0;
    let from = data + first;
    for (let i = 0; i < inputs; i++, from += row) {
      if (!anyKept(from, from + width)) continue;
      const group = out + 144 * (place >> 2);
      store<u32>(group + ((place & 3) << 2), i << 2);
      const weights = group + 16 + ((place & 3) << 5);
      for (let j: usize = 0; j < width; j += 4) {
        store<f32>(weights + j, load<f32>(from + j) * load<f32>(scale + first + j));
      }
      place++;
    }
    out += 144 * groups;
  }
}

/** Numbers of values, half a byte a weight: panels of 16 scales and biases, then a row for every two inputs. */
export function numberPanels(
  data: usize,
  inputs: i32,
  outputs: i32,
  scale: usize,
  bias: usize,
  values: usize,
  out: usize,
): void {
  const row = <usize>outputs << 2;
  for (let o = 0; o < outputs; o += 16) {
    const width = min(16, outputs - o);
    const first = <usize>o << 2;
    memory.copy(out, scale + first, width << 2);
    memory.copy(out + 64, bias + first, width << 2);
    out += 128;
    let from = data + first;
    for (let i = 0; i < inputs; i++, from += row) {
      for (let j = 0; j < width; j++) {
        const value = load<f32>(from + (<usize>j << 2));
        let number = 0;
        while (number < 15 && load<f32>(values + (<usize>number << 2)) != value) number++;
        const at = out + j;
        store<u8>(at, load<u8>(at) | (number << ((i & 1) << 2)));
      }
      if (i & 1) out += 16;
    }
    if (inputs & 1) out += 16;
  }
}

/** round(value / step), a step for each output. The smallest and the largest of them and 0 as words at `range`. */
export function wholeCodes(data: usize, size: i32, steps: usize, outputs: i32, codes: usize, range: usize): void {
  let least = 0;
  let most = 0;
  const end = data + (<usize>size << 2);
  while (data < end) {
    for (let o: usize = 0; o < <usize>outputs << 2; o += 4, data += 4, codes += 4) {
      const code = i32(Math.floor(f64(load<f32>(data)) / f64(load<f32>(steps + o)) + 0.5));
      store<i32>(codes, code);
      least = min(least, code);
      most = max(most, code);
    }
  }
  store<i32>(range, least);
  store<i32>(range, most, 4);
}

/** Sums of the magnitudes of each output's codes, as f64; zeros at first. */
export function columnSums(codes: usize, size: i32, outputs: i32, sums: usize): void {
  const end = codes + (<usize>size << 2);
  while (codes < end) {
    for (let o: usize = 0; o < <usize>outputs << 3; o += 8, codes += 4) {
      store<f64>(sums + o, load<f64>(sums + o) + f64(abs(load<i32>(codes))));
    }
  }
}

/**
 * Codes in panels of 16 outputs, of those from `begin` to `end`, behind 192 bytes each: a byte each, pairs of inputs; with
 * `four` half a byte.
 */
export function codePanels(
  codes: usize,
  inputs: i32,
  outputs: i32,
  four: bool,
  begin: i32,
  end: i32,
  out: usize,
): void {
  const row = <usize>outputs << 2;
  const pairs = (inputs + 1) >> 1;
  for (let o = begin; o < end; o += 16) {
    const width = min(16, outputs - o);
    out += 192;
    if (four) memory.fill(out, 0x88, <usize>pairs << 4);
    let from = codes + (<usize>o << 2);
    for (let i = 0; i < inputs; i++, from += row) {
      for (let j = 0; j < width; j++) {
        const code = load<i32>(from + (<usize>j << 2));
        if (four) {
          const at = out + j;
          const shift = (i & 1) << 2;
          store<u8>(at, (i32(load<u8>(at)) & (0xf0 >> shift)) | ((code + 8) << shift));
        } else {
          store<u8>(out + 2 * j + (i & 1), code);
        }
      }
      if (i & 1) out += four ? 16 : 32;
    }
    if (inputs & 1) out += four ? 16 : 32;
  }
}

/** As codePanels of a byte each, from codes of a byte each that stand for so many more than `low`. */
export function bytePanels(
  codes: usize,
  low: i32,
  inputs: i32,
  outputs: i32,
  begin: i32,
  end: i32,
  out: usize,
): void {
  for (let o = begin; o < end; o += 16) {
    const width = <usize>min(16, outputs - o);
    out += 192;
    let from = codes + o;
    for (let i = 0; i < inputs; i++, from += outputs) {
      const to = out + (i & 1);
      for (let j: usize = 0; j < width; j++) store<u8>(to + 2 * j, low + i32(load<u8>(from + j)));
      if (i & 1) out += 32;
    }
    if (inputs & 1) out += 32;
  }
}
