// Whole numbers as canonical Huffman codes or in as many bits as they need; the first bit is in the highest place of a
// byte.

/** Longest Huffman code. */
const LONGEST = 14;

/**
 * The table of a canonical Huffman code: for every run of `longest` bits, `symbol * 16 + length` as u16. `counts` has
 * room for 32 words. Returns `longest`, or 0 for lengths that are no prefix code.
 */
export function huffmanTable(lengths: usize, symbols: i32, table: usize, counts: usize): i32 {
  const next = counts + 64;
  for (let length = 0; length < 32; length++) store<i32>(counts + (length << 2), 0);
  for (let symbol = 0; symbol < symbols; symbol++) {
    const at = counts + (<usize>load<u8>(lengths + symbol) << 2);
    store<i32>(at, load<i32>(at) + 1);
  }
  store<i32>(counts, 0);
  let longest = LONGEST;
  while (longest > 0 && load<i32>(counts + (longest << 2)) == 0) longest--;
  if (longest == 0) return 0;
  let full = 0;
  for (let length = 1; length <= longest; length++) {
    store<i32>(next + (length << 2), full);
    full += load<i32>(counts + (length << 2));
    if (length < longest) full <<= 1;
  }
  // One symbol alone has a code of length 1, which leaves half of the table empty.
  const alone = longest == 1 && load<i32>(counts, 4) == 1;
  if (full != 1 << longest && !alone) return 0;
  for (let symbol = 0; symbol < symbols; symbol++) {
    const length = i32(load<u8>(lengths + symbol));
    if (length == 0) continue;
    const place = next + (length << 2);
    const code = load<i32>(place);
    store<i32>(place, code + 1);
    const entry = u16((symbol << 4) | length);
    let at = table + (<usize>code << (longest - length + 1));
    const end = at + (<usize>2 << (longest - length));
    for (; at < end; at += 2) store<u16>(at, entry);
  }
  if (alone) store<u16>(table, load<u16>(table), 2);
  return longest;
}

/**
 * `count` symbols of a Huffman code plus `low`, words each, or with `narrow` bytes. The bytes may be read 8 bytes past `end`. Returns whether they sufficed.
 */
export function huffmanSymbols(
  from: usize,
  end: usize,
  table: usize,
  longest: i32,
  out: usize,
  count: i32,
  low: i32,
  narrow: bool,
): bool {
  const shift = 64 - longest;
  let bits: u64 = 0;
  let have = 0;
  let at = from;
  const last = out + (<usize>count << (narrow ? 0 : 2));
  while (out < last) {
    if (at + 8 <= end) {
      // As many whole bytes as there is room for, at once; the bits of a part of one are read again.
      bits |= bswap(load<u64>(at)) >> have;
      const bytes = (63 - have) >> 3;
      at += bytes;
      have += bytes << 3;
    }
    while (have <= 56) {
      // Beyond the end there are zeros, of which no more than one look ahead may be used.
      if (at < end) bits |= u64(load<u8>(at)) << (56 - have);
      at++;
      have += 8;
    }
    do {
      const entry = i32(load<u16>(table + (<usize>(bits >> shift) << 1)));
      const length = entry & 15;
      bits <<= length;
      have -= length;
      if (narrow) {
        store<u8>(out++, low + (entry >> 4));
      } else {
        store<i32>(out, low + (entry >> 4));
        out += 4;
      }
    } while (have >= LONGEST && out < last);
  }
  return 8 * i64(at - from) - have <= 8 * i64(end - from);
}

/** `count` numbers of `width` bits, up to 32, plus `low`. Returns whether all are below `symbols`. */
export function packedSymbols(
  from: usize,
  width: i32,
  out: usize,
  count: i32,
  low: i32,
  symbols: u32,
): bool {
  let bits: u64 = 0;
  let have = 0;
  let most: u32 = 0;
  const mask = (u64(1) << width) - 1;
  const last = out + (<usize>count << 2);
  for (; out < last; out += 4) {
    while (have < width) {
      bits = (bits << 8) | load<u8>(from++);
      have += 8;
    }
    have -= width;
    const symbol = u32((bits >> have) & mask);
    most = max(most, symbol);
    store<i32>(out, low + i32(symbol));
  }
  return most < symbols;
}
