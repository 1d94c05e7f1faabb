// Values of the integer executor, and rounding between them.
import { roundHalfToEven } from '@thimble/base';
import type { ActivationCode } from './graph.ts';

/** Whole numbers that stand for `F(scale[i % scale.length] * data[i])`. */
export interface CodedValue {
  kind: 'coded';
  /** The batch axis first. */
  shape: number[];
  data: Int32Array;
  /** One step, or one per channel of the last axis at the time when they were made. */
  scale: Float32Array;
}

/** Real numbers, in float32. */
export interface RealValue {
  kind: 'real';
  shape: number[];
  data: Float32Array;
}

export type IntegerValue = CodedValue | RealValue;

/** The real numbers that a value stands for. */
export function dequantize(value: IntegerValue): Float32Array {
  if (value.kind === 'real') return value.data;
  const { data, scale } = value;
  const reals = new Float32Array(data.length); // rounds what it is given to float32
  for (let i = 0; i < data.length; i++) reals[i] = data[i]! * scale[i % scale.length]!;
  return reals;
}

/** The codes of a value, the zero point taken off. */
export function quantize(value: IntegerValue, code: ActivationCode): CodedValue {
  const scale = Math.fround(code.scale);
  const reals = dequantize(value);
  const low = code.low - code.zeroPoint;
  const high = code.high - code.zeroPoint;
  const data = new Int32Array(reals.length);
  for (let i = 0; i < reals.length; i++) data[i] = codeOf(reals[i]!, scale, low, high);
  return { kind: 'coded', shape: value.shape, data, scale: Float32Array.of(scale) };
}

/** `clip(R(F(x / scale)), low, high)`. */
export function codeOf(x: number, scale: number, low: number, high: number): number {
  const code = roundHalfToEven(Math.fround(x / scale));
  return code < low ? low : code > high ? high : code;
}
