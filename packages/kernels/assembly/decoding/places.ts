// The places of kept entries, as words; and entries put there.

/** From gaps to places, in place; with `outputs`, numbered output by output. Whether all are below `size`. */
export function gapPlaces(places: usize, count: i32, size: i32, outputs: i32): bool {
  const inputs = outputs > 0 ? size / outputs : 1;
  let number = -1;
  let output = 0;
  let first = 0;
  for (const end = places + (<usize>count << 2); places < end; places += 4) {
    number += load<i32>(places) + 1;
    if (number >= size) return false;
    let place = number;
    if (outputs > 0) {
      while (number >= first + inputs) {
        first += inputs;
        output++;
      }
      place = (number - first) * outputs + output;
    }
    store<i32>(places, place);
  }
  return true;
}

/** The places of the bits that are set, the lowest bit of each byte first. Returns how many. */
export function bitPlaces(bits: usize, size: i32, places: usize): i32 {
  let at = places;
  for (let i = 0; i < size; i++) {
    if (((load<u8>(bits + (i >> 3)) >> (i & 7)) & 1) == 0) continue;
    store<i32>(at, i);
    at += 4;
  }
  return i32(at - places) >> 2;
}

/** The places of the words that are not 0. Returns how many. */
export function keptPlaces(codes: usize, size: i32, places: usize): i32 {
  let at = places;
  for (let i = 0; i < size; i++) {
    if (load<i32>(codes + (<usize>i << 2)) == 0) continue;
    store<i32>(at, i);
    at += 4;
  }
  return i32(at - places) >> 2;
}

/**
 * N of M: for each run of `length` along an axis of `along` entries, `stride` apart, `kept` places within it are given;
 * they become places, in place. Whether all lie in their runs.
 */
export function runPlaces(places: usize, outer: i32, along: i32, stride: i32, length: i32, kept: i32): bool {
  for (let line = 0; line < outer; line++) {
    for (let start = 0; start < along; start += length) {
      const size = min(length, along - start);
      const count = min(kept, size);
      for (let s = 0; s < stride; s++) {
        const first = (line * along + start) * stride + s;
        for (let k = 0; k < count; k++, places += 4) {
          const within = load<i32>(places);
          if (within >= size) return false;
          store<i32>(places, first + within * stride);
        }
      }
    }
  }
  return true;
}

/** The places of the runs whose bit is set. Returns how many. */
export function blockPlaces(bits: usize, places: usize, outer: i32, along: i32, stride: i32, length: i32): i32 {
  let at = places;
  let run = 0;
  for (let line = 0; line < outer; line++) {
    for (let start = 0; start < along; start += length) {
      const size = min(length, along - start);
      for (let s = 0; s < stride; s++, run++) {
        if (((load<u8>(bits + (run >> 3)) >> (run & 7)) & 1) == 0) continue;
        let place = (line * along + start) * stride + s;
        for (let k = 0; k < size; k++, place += stride, at += 4) store<i32>(at, place);
      }
    }
  }
  return i32(at - places) >> 2;
}

/** Puts words in their places. */
export function scatter(places: usize, values: usize, count: i32, out: usize): void {
  const end = places + (<usize>count << 2);
  for (; places < end; places += 4, values += 4) {
    store<u32>(out + (<usize>load<u32>(places) << 2), load<u32>(values));
  }
}
