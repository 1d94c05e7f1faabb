// Finds the whole-number codes that stand for the values of a weight exactly.
import { roundHalfToEven, type ValueCode } from '@thimble/base';
import type { GraphWeight } from '@thimble/graph';
import { hashedValues, scalesOf, tableOf } from '@thimble/runtime/file';
import { halfToFloat, valuesOfCodes } from './values-of-codes.ts';

/** A weight ready to be stored: how its values are coded, and their codes where they have any. */
export interface Coded {
  values: ValueCode;
  /** For affine, codebook, powers of two and binary: 0 stands for the value 0. */
  codes?: Int32Array;
}

/** A codebook is tried in place of floats where a weight has no more different values than this. */
const FEW_VALUES = 256;

/**
 * The codes of a weight by its own encoding where that gives its values bit for bit (a 0 for a -0); else by
 * a codebook of the values themselves if they are few, else floats.
 */
export function codesOf({ encoding, data }: GraphWeight): Coded {
  const { shape, values } = encoding;
  const stored = data!;
  for (const candidate of [values, codebookOfValues(stored)]) {
    if (!candidate || candidate.type === 'float') continue;
    if (candidate.type === 'hashed') {
      if (same(hashedValues(candidate, stored.length), stored)) return { values: candidate };
      continue;
    }
    const codes = candidateCodes(stored, shape, candidate);
    if (codes && same(valuesOfCodes(codes, shape, sorted(candidate, shape)), stored)) {
      return { values: sorted(candidate, shape), codes };
    }
  }
  const halves = stored.every((value) => same1(halfToFloat(halfOf(value)), value));
  return { values: { type: 'float', bits: halves ? 16 : 32 } };
}

/** The 16 bits of the half nearest to a float; ties to even. */
export function halfOf(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  if (Number.isNaN(value)) return 0x7e00;
  const size = Math.abs(value);
  if (size >= 65520) return sign | 0x7c00;
  if (size < 2 ** -14) return sign | roundHalfToEven(size * 2 ** 24);
  const exponent = Math.floor(Math.log2(size));
  const power =
    size < 2 ** exponent ? exponent - 1 : size >= 2 ** (exponent + 1) ? exponent + 1 : exponent;
  return sign | (((power + 15) << 10) + roundHalfToEven((size / 2 ** power - 1) * 1024));
}

function same1(a: number, b: number): boolean {
  return a === b || (Number.isNaN(a) && Number.isNaN(b));
}

function same(a: Float32Array, b: Float32Array): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** A codebook of all values of some data, or undefined where they are many or not finite. */
export function codebookOfValues(data: Float32Array): ValueCode | undefined {
  const found = new Set<number>();
  let kept = 0;
  for (const value of data) {
    if (!Number.isFinite(value)) return undefined;
    if (value === 0) continue;
    kept++;
    found.add(value);
    if (found.size > FEW_VALUES) return undefined;
  }
  // A float takes as much as its value in the codebook: that must be used more than once.
  if (found.size * 2 > kept || kept === 0) return undefined;
  const centroids = Float32Array.from(found).sort();
  const bits = Math.max(1, Math.ceil(Math.log2(found.size)));
  return { type: 'codebook', bits, centroids };
}

/** A codebook in ascending order: what the file takes. */
function sorted<T extends ValueCode>(values: T, shape: readonly number[]): T {
  if (values.type !== 'codebook') return values;
  const slices = values.axis == null ? 1 : shape[values.axis]!;
  const size = values.centroids.length / slices;
  const centroids = values.centroids.slice();
  for (let i = 0; i < slices; i++) centroids.subarray(i * size, (i + 1) * size).sort();
  return { ...values, centroids };
}

type CodedValues = Exclude<ValueCode, { type: 'float' | 'hashed' }>;

/** What the codes would be, undefined where a value has none. */
function candidateCodes(
  data: Float32Array,
  shape: readonly number[],
  values: CodedValues,
): Int32Array | undefined {
  const codes = new Int32Array(data.length);
  if (values.type === 'powersOfTwo') {
    for (let i = 0; i < data.length; i++) {
      const value = data[i]!;
      if (value === 0) continue;
      const below = values.top - Math.round(Math.log2(Math.abs(value)));
      if (below < 0) return undefined;
      codes[i] = Math.sign(value) * (below + 1);
    }
    return codes;
  }
  if (values.type === 'codebook') return codebookCodes(data, shape, values, codes);
  const { scale, axis } = values;
  const group = values.type === 'affine' ? values.group : undefined;
  const at = scaleAt(shape, axis, group, scale.length);
  for (let i = 0; i < data.length; i++) {
    const step = scale.length === 0 ? 1 : scale[at(i)]!;
    const code = step === 0 ? 0 : Math.round(data[i]! / step);
    if (!(Math.abs(code) < 2 ** 31)) return undefined;
    codes[i] = code;
  }
  return codes;
}

/** For an entry the number of its scale. */
export function scaleAt(
  shape: readonly number[],
  axis: number | null,
  group: number | undefined,
  scales: number,
): (i: number) => number {
  if (axis === null || scales <= 1) return () => 0;
  const inner = shape.slice(axis + 1).reduce((n, size) => n * size, 1);
  const along = shape[axis]!;
  if (group === undefined) return (i) => Math.floor(i / inner) % along;
  const perLine = Math.ceil(along / group);
  return (i) =>
    (Math.floor(i / (along * inner)) * perLine +
      Math.floor((Math.floor(i / inner) % along) / group)) *
      inner +
    (i % inner);
}

function codebookCodes(
  data: Float32Array,
  shape: readonly number[],
  values: Extract<ValueCode, { type: 'codebook' }>,
  codes: Int32Array,
): Int32Array | undefined {
  const { centroids, axis = null } = sorted(values, shape);
  const slices = axis === null ? 1 : shape[axis]!;
  const { lows, rows } = tableOf(centroids, slices);
  const places = rows.map((row, slice) => {
    const found = new Map<number, number>();
    for (let k = 0; k < row.length; k++)
      if (!found.has(row[k]!)) found.set(row[k]!, k + lows[slice]!);
    return found;
  });
  const at = scaleAt(shape, axis, undefined, slices);
  for (let i = 0; i < data.length; i++) {
    const value = data[i]!;
    const code = value === 0 ? 0 : places[at(i)]!.get(value);
    if (code === undefined) return undefined;
    codes[i] = code;
  }
  return codes;
}

/** Whether a scale for every slice or group is there. */
export function hasScales(shape: readonly number[], values: ValueCode): boolean {
  return (
    values.type !== 'affine' ||
    values.scale.length === scalesOf(shape, values.axis, values.group ?? 0)
  );
}
