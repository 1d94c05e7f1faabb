// Values in ascending order with their running sums: all that one-dimensional clustering looks at.

/** Values in ascending order; sums of any stretch of them take two look-ups. */
export interface SortedValues {
  values: Float32Array;
  /** `sums[i]` is the sum of the first i values. */
  sums: Float64Array;
}

/** Sorts a copy of finite values, by radix: three passes over the bits of the floats. */
export function sortValues(input: Float32Array): SortedValues {
  const n = input.length;
  const values = radixSorted(input);
  const sums = new Float64Array(n + 1);
  let sum = 0;
  for (let i = 0; i < n; i++) {
    sum += values[i]!;
    sums[i + 1] = sum;
  }
  return { values, sums };
}

const DIGIT_BITS = 11;
const DIGITS = 1 << DIGIT_BITS;
const DIGIT_MASK = DIGITS - 1;

function radixSorted(input: Float32Array): Float32Array {
  const n = input.length;
  const bits = new Uint32Array(input.buffer, input.byteOffset, n);
  const a = new Uint32Array(n);
  const b = new Uint32Array(n);
  const counts = [new Uint32Array(DIGITS), new Uint32Array(DIGITS), new Uint32Array(DIGITS)];
  const [low, middle, high] = counts as [Uint32Array, Uint32Array, Uint32Array];
  for (let i = 0; i < n; i++) {
    const key = orderedBits(bits[i]!);
    a[i] = key;
    low[key & DIGIT_MASK]!++;
    middle[(key >>> DIGIT_BITS) & DIGIT_MASK]!++;
    high[key >>> (2 * DIGIT_BITS)]!++;
  }
  for (const count of counts) {
    let start = 0;
    for (let digit = 0; digit < DIGITS; digit++) {
      const own = count[digit]!;
      count[digit] = start;
      start += own;
    }
  }
  scatter(a, b, low, 0);
  scatter(b, a, middle, DIGIT_BITS);
  scatter(a, b, high, 2 * DIGIT_BITS);
  for (let i = 0; i < n; i++) {
    const key = b[i]!;
    b[i] = key >>> 31 ? key ^ 0x80000000 : ~key;
  }
  return new Float32Array(b.buffer);
}

function scatter(from: Uint32Array, to: Uint32Array, next: Uint32Array, shift: number): void {
  for (let i = 0; i < from.length; i++) {
    const key = from[i]!;
    const digit = (key >>> shift) & DIGIT_MASK;
    const place = next[digit]!;
    to[place] = key;
    next[digit] = place + 1;
  }
}

/** The bits of a float as a whole number that grows with the float. */
export function orderedBits(bits: number): number {
  return (bits >>> 31 ? ~bits : bits ^ 0x80000000) >>> 0;
}

/** The number of values in `[start, end)` of ascending ones that are at most `limit`, plus start. */
export function countUpTo(
  values: Float32Array,
  limit: number,
  start: number = 0,
  end: number = values.length,
): number {
  let low = start;
  let high = end;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (values[middle]! <= limit) low = middle + 1;
    else high = middle;
  }
  return low;
}
