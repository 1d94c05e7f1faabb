// The values of codes in plain TypeScript: what the runtime's compiled functions are to give.
import { type CodedValues, sliceOf, tableOf } from '@thimble/runtime/file';

/** The values of codes, as float32: what the network computes with. */
export function valuesOfCodes(
  codes: Int32Array,
  shape: readonly number[],
  values: CodedValues,
): Float32Array {
  const data = new Float32Array(codes.length);
  if (values.type === 'affine' && values.group !== undefined) {
    const { scale, axis, group } = values;
    const inner = shape.slice(axis! + 1).reduce((n, size) => n * size, 1);
    const along = shape[axis!]!;
    const perLine = Math.ceil(along / group);
    for (let i = 0; i < codes.length; i++) {
      const line = Math.floor(i / (along * inner));
      const place = Math.floor((Math.floor(i / inner) % along) / group);
      data[i] = scale[(line * perLine + place) * inner + (i % inner)]! * codes[i]!;
    }
    return data;
  }
  if (values.type === 'powersOfTwo') {
    const { top } = values;
    for (let i = 0; i < codes.length; i++) {
      const code = codes[i]!;
      data[i] = code === 0 ? 0 : Math.sign(code) * 2 ** (top + 1 - Math.abs(code));
    }
    return data;
  }
  const { repeat, count } = sliceOf(shape, values.axis ?? null);
  const table = values.type === 'codebook' ? tableOf(values.centroids, count) : undefined;
  const scale = values.type === 'codebook' ? undefined : values.scale;
  let i = 0;
  while (i < codes.length) {
    for (let slice = 0; slice < count; slice++) {
      const end = i + repeat;
      if (table) {
        const { lows, rows } = table;
        const [low, row] = [lows[slice]!, rows[slice]!];
        for (; i < end; i++) {
          const place = codes[i]! - low;
          if (place < 0 || place >= row.length)
            throw new RangeError('a code is not in its codebook');
          data[i] = row[place]!;
        }
      } else {
        const step = scale!.length === 0 ? 1 : scale![scale!.length === 1 ? 0 : slice]!;
        for (; i < end; i++) data[i] = step * codes[i]!;
      }
    }
  }
  return data;
}

/** A float32 from the 16 bits of a half. */
export function halfToFloat(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
