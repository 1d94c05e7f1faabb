// From codes to values, in place: words become floats.

/** The next code that is not 0, or `last`; two codes at a time, as most of a sparse weight is 0. */
@inline
function nextKept(codes: usize, last: usize): usize {
  while (codes + 8 <= last && load<u64>(codes) == 0) codes += 8;
  while (codes < last && load<u32>(codes) == 0) codes += 4;
  return codes;
}

/** scale times code: one scale for `repeat` codes in a row; after `slices` scales they begin anew. */
export function scaled(codes: usize, size: i32, scales: usize, slices: i32, repeat: i32): void {
  const end = codes + (<usize>size << 2);
  while (codes < end) {
    for (let slice = 0; slice < slices; slice++) {
      const scale = f64(load<f32>(scales + (<usize>slice << 2)));
      const last = codes + (<usize>repeat << 2);
      while ((codes = nextKept(codes, last)) < last) {
        store<f32>(codes, f32(scale * f64(load<i32>(codes))));
        codes += 4;
      }
    }
  }
}

/** As scaled, with a scale for every run of `group` entries along an axis of `along`, `inner` apart. */
export function groupScaled(codes: usize, size: i32, scales: usize, along: i32, inner: i32, group: i32): void {
  const end = codes + (<usize>size << 2);
  const row = <usize>inner << 2;
  while (codes < end) {
    for (let start = 0; start < along; start += group, scales += row) {
      const count = min(group, along - start);
      for (let k = 0; k < count; k++) {
        for (let s: usize = 0; s < row; s += 4, codes += 4) {
          store<f32>(codes, f32(f64(load<f32>(scales + s)) * f64(load<i32>(codes))));
        }
      }
    }
  }
}

/**
 * Values from tables, in which the code 0 is the value 0, one for `repeat` codes in a row; after `slices` tables they begin anew. `rows` has three words for
 * each: its lowest code, how many it has, its address. Whether every code is in its table.
 */
export function lookedUp(codes: usize, size: i32, rows: usize, slices: i32, repeat: i32): bool {
  const end = codes + (<usize>size << 2);
  while (codes < end) {
    let row = rows;
    for (let slice = 0; slice < slices; slice++, row += 12) {
      const low = load<i32>(row);
      const count = load<u32>(row, 4);
      const table = load<u32>(row, 8);
      const last = codes + (<usize>repeat << 2);
      while ((codes = nextKept(codes, last)) < last) {
        const place = u32(load<i32>(codes) - low);
        if (place >= count) return false;
        store<u32>(codes, load<u32>(table + (place << 2)));
        codes += 4;
      }
    }
  }
  return true;
}

/** 0 for 0, else the code's sign times 2^(top + 1 - |code|). */
export function powers(codes: usize, size: i32, top: i32): void {
  for (const end = codes + (<usize>size << 2); codes < end; codes += 4) {
    const code = load<i32>(codes);
    if (code == 0) continue;
    const exponent = min(max(i64(top) + 1 - abs(i64(code)), -1022), 1023);
    const power = reinterpret<f64>((exponent + 1023) << 52);
    store<f32>(codes, f32(code < 0 ? -power : power));
  }
}

/** Floats from halves, the lower byte first. */
export function halves(from: usize, count: i32, out: usize): void {
  for (const end = from + (<usize>count << 1); from < end; from += 2, out += 4) {
    const half = u32(load<u16>(from));
    const sign = (half & 0x8000) << 16;
    const exponent = (half >> 10) & 31;
    const fraction = half & 1023;
    if (exponent == 0) {
      store<f32>(out, f32(fraction) * f32(5.9604644775390625e-8)); // 2^-24
      store<u32>(out, load<u32>(out) | sign);
    } else if (exponent == 31) {
      store<u32>(out, fraction ? 0x7fc0_0000 : sign | 0x7f80_0000);
    } else {
      store<u32>(out, sign | ((exponent + 112) << 23) | (fraction << 13));
    }
  }
}

/** How many bytes are `value`. */
export function countBytes(from: usize, size: i32, value: u32): i32 {
  let count = 0;
  for (const end = from + size; from < end; from++) count += i32(u32(load<u8>(from)) == value);
  return count;
}

/** How many floats are not 0; 1 in `mask`, unless that is 0, for each of them, else 0. */
export function countKept(data: usize, size: i32, mask: usize): i32 {
  const last = data + (<usize>size << 2);
  let count = 0;
  if (!mask) {
    // Two at a time: all bits but the signs.
    for (; data + 8 <= last; data += 8) {
      const bits = load<u64>(data);
      count += i32(u32(bits) << 1 != 0) + i32(bits << 1 >> 33 != 0);
    }
    return data < last ? count + i32(load<u32>(data) << 1 != 0) : count;
  }
  memory.fill(mask, 0, size);
  for (let at = data; (at = nextKept(at, last)) < last; at += 4) {
    if (load<u32>(at) << 1 == 0) continue;
    count++;
    store<u8>(mask + ((at - data) >> 2), 1);
  }
  return count;
}
