// The weights of convolutions as lists for assembly/inference/stream.ts. `out` is zeros at first.

/** Whether one of the weights `first` and `second` (none where less than 0) of an output is not 0. */
@inline
function isKept(data: usize, first: i32, second: i32, outputs: i32, o: i32): bool {
  if (first >= 0 && load<u32>(data + (<usize>(first * outputs + o) << 2)) << 1 != 0) return true;
  return second >= 0 && load<u32>(data + (<usize>(second * outputs + o) << 2)) << 1 != 0;
}

/** Adds the entries of lists of one output each, and of two: a word each, zeros at first. */
export function countEntries(
  data: usize,
  outputs: i32,
  first: usize,
  second: usize,
  cells: i32,
  one: usize,
  two: usize,
): void {
  for (let cell = 0; cell < cells; cell++, first += 4, second += 4) {
    const a = load<i32>(first);
    const b = load<i32>(second);
    for (let o = 0; o < outputs; o += 2) {
      const at = one + (<usize>o << 2);
      const even = u32(isKept(data, a, b, outputs, o));
      store<u32>(at, load<u32>(at) + even);
      let odd: u32 = 0;
      if (o + 1 < outputs) {
        odd = u32(isKept(data, a, b, outputs, o + 1));
        store<u32>(at, load<u32>(at, 4) + odd, 4);
      }
      const pair = two + (<usize>(o >> 1) << 2);
      store<u32>(pair, load<u32>(pair) + (even | odd));
    }
  }
}

/** The weights of a cell: a float times its scale, or where that is 0, two whole numbers of 16 bits. */
@inline
function entryOf(data: usize, first: i32, second: i32, outputs: i32, o: i32, scale: usize): u32 {
  if (!isKept(data, first, second, outputs, o)) return 0;
  const a = first < 0 ? f32(0) : load<f32>(data + (<usize>(first * outputs + o) << 2));
  if (scale) return reinterpret<u32>(f32(a * load<f32>(scale + (<usize>o << 2))));
  const b = second < 0 ? f32(0) : load<f32>(data + (<usize>(second * outputs + o) << 2));
  return (u32(i32(a)) & 0xffff) | (u32(i32(b)) << 16);
}

/**
 * Writes the entries of lists with `group` outputs (1 or 2): where it lies, and a weight for each. `next` has the word of
 * `out` at which each list goes on. Output o reads `channelStep` bytes further than the one `repeat` outputs before it.
 */
export function fillEntries(
  data: usize,
  outputs: i32,
  delta: usize,
  first: usize,
  second: usize,
  cells: i32,
  scale: usize,
  group: i32,
  channelStep: i32,
  repeat: i32,
  next: usize,
  out: usize,
): void {
  for (let cell = 0; cell < cells; cell++, first += 4, second += 4, delta += 4) {
    const a = load<i32>(first);
    const b = load<i32>(second);
    for (let o = 0; o < outputs; o += group) {
      const two = group == 2 && o + 1 < outputs;
      if (!isKept(data, a, b, outputs, o) && !(two && isKept(data, a, b, outputs, o + 1))) continue;
      const list = next + (<usize>(group == 2 ? o >> 1 : o) << 2);
      const place = load<u32>(list);
      const at = out + (place << 2);
      store<u32>(list, place + 1 + group);
      store<i32>(at, load<i32>(delta) + (channelStep ? (o / repeat) * channelStep : 0));
      store<u32>(at, entryOf(data, a, b, outputs, o, scale), 4);
      if (two) store<u32>(at, entryOf(data, a, b, outputs, o + 1, scale), 8);
    }
  }
}
