// Numbers of TFLite's schema, `tensorflow/lite/schema/schema.fbs`, version 3.
import type { Field } from './flat-table.ts';

/** Types of tensors. */
export const FLOAT32 = 0;
export const INT32 = 2;
export const INT8 = 9;
export const RELU = 1;
/** Operators: their number, and their versions for floats and for 8 bits. */
export const OPERATORS = {
  add: { code: 0, versions: [1, 2] },
  averagePool: { code: 1, versions: [1, 2] },
  conv: { code: 3, versions: [1, 3] },
  depthwise: { code: 4, versions: [1, 3] },
  dequantize: { code: 6, versions: [2, 2] },
  dense: { code: 9, versions: [1, 4] },
  maxPool: { code: 17, versions: [1, 2] },
  reshape: { code: 22, versions: [1, 1] },
  softmax: { code: 25, versions: [1, 2] },
  mean: { code: 40, versions: [1, 2] },
  quantize: { code: 114, versions: [1, 1] },
} as const;
/** An operator that is written. */
export type Operator = keyof typeof OPERATORS;
/** Number of an operator's options in their union. */
export const OPTIONS: Partial<Record<Operator, number>> = {
  conv: 1,
  depthwise: 2,
  averagePool: 5,
  maxPool: 5,
  dense: 8,
  softmax: 9,
  add: 11,
  reshape: 17,
  mean: 27,
};

export const byte = (value: number): Field => ({ type: 'byte', value });
export const int = (value: number): Field => ({ type: 'int', value });
