// Comparisons are steps: their gradient is 0 wherever it exists. tfjs says so for greaterEqual alone;
// without the others a ThresholdedReLU, and every mask computed from an input, cannot train.
import {
  Equal,
  Greater,
  GreaterEqual,
  Less,
  LessEqual,
  LogicalAnd,
  LogicalNot,
  LogicalOr,
  NotEqual,
  type Tensor,
  zeros,
} from '@tensorflow/tfjs-core';
import { defineGradient, type Gradient } from './override.ts';

function flat(kernelName: string, names: string[]): Gradient {
  return defineGradient<object>(
    kernelName,
    (_, saved) =>
      Object.fromEntries(names.map((name, i) => [name, () => zeros((saved[i] as Tensor).shape)])),
    { inputsToSave: names },
  );
}

/** Forward a > b and the like, backward 0. */
export const comparisonGradients: readonly Gradient[] = [
  ...[Equal, Greater, GreaterEqual, Less, LessEqual, LogicalAnd, LogicalOr, NotEqual].map((name) =>
    flat(name, ['a', 'b']),
  ),
  flat(LogicalNot, ['x']),
];
