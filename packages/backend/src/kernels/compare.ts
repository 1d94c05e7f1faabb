// Comparisons of float32 and logic on bool. Stock goes value by value, and where operands broadcast finds
// out for every value where its operands are: 16 ms for a matrix of 235,200 values and a column.
import {
  Equal,
  Greater,
  GreaterEqual,
  type KernelConfig,
  Less,
  LessEqual,
  LogicalAnd,
  LogicalNot,
  LogicalOr,
  NotEqual,
  util,
} from '@tensorflow/tfjs-core';
import { address, simd } from '../simd.ts';
import { defineKernel, type Tensors } from '../stock.ts';
import { inRuns } from './elementwise.ts';
import { overrideKernel } from './override.ts';

/** The number that `compare` knows it by, and whether the operands change places: a > b is b < a. */
const COMPARISONS: Record<string, [kind: number, swapped: boolean]> = {
  [Equal]: [0, false],
  [NotEqual]: [1, false],
  [Less]: [2, false],
  [Greater]: [2, true],
  [LessEqual]: [3, false],
  [GreaterEqual]: [3, true],
};

const comparisons = Object.entries(COMPARISONS).map(([name, [kind, swapped]]) =>
  overrideKernel<Tensors<'a' | 'b'>, object>(name, ({ inputs: { a, b }, backend }) => {
    if (a.dtype !== 'float32') return undefined;
    const [left, right] = swapped ? [b, a] : [a, b];
    return inRuns(
      backend,
      left,
      right,
      (atA, atB, to, { length, oneA, oneB }) =>
        simd().compare(atA, atB, to, length, oneA, oneB, kind),
      'bool',
    );
  }),
);

const logic = [LogicalAnd, LogicalOr].map((name) =>
  defineKernel<Tensors<'a' | 'b'>, object>(name, ({ inputs: { a, b }, backend }) =>
    inRuns(backend, a, b, (atA, atB, to, { length, oneA, oneB }) =>
      simd().logical(atA, atB, to, length, oneA, oneB, name === LogicalOr),
    ),
  ),
);

const not = defineKernel<Tensors<'x'>, object>(LogicalNot, ({ inputs: { x }, backend }) => {
  const out = backend.makeOutput(x.shape, 'bool');
  simd().logicalNot(address(backend, x), address(backend, out), util.sizeFromShape(x.shape));
  return out;
});

/** a = b, a > b and the like, and, or, not, as bool. Comparisons of int32 and bool are left to stock. */
export const compareKernels: readonly KernelConfig[] = [...comparisons, ...logic, not];
