// The gradient of matMul where an operand is broadcast over the batch. Stock returns it without summing
// over the batch, and tfjs then throws because of the shape.
import {
  BatchMatMul,
  type BatchMatMulAttrs,
  matMul,
  reshape,
  type Tensor,
  util,
} from '@tensorflow/tfjs-core';
import { defineGradient, type Gradient } from './override.ts';
import { sumTo } from './reduce.ts';

/**
 * Forward C = A B. Backward dA = dC B', dB = A' dC, with the operands exchanged where they enter
 * transposed, and summed over the batch items that shared an operand.
 */
export const matMulGradient: Gradient = defineGradient<BatchMatMulAttrs>(
  BatchMatMul,
  (dy, saved, { transposeA, transposeB }) => {
    const [a, b] = saved as [Tensor, Tensor];
    return {
      a: () =>
        sumTo(
          transposeA ? matMul(b, dy, transposeB, true) : matMul(dy, b, false, !transposeB),
          a.shape,
        ),
      b: () => {
        if (isShared(b, dy) && !transposeA && sameBatch(a, dy)) {
          return reshape(product(rows(a), rows(dy)), b.shape);
        }
        return sumTo(product(a, dy), b.shape);
      },
    };

    function product(left: Tensor, right: Tensor): Tensor {
      return transposeB
        ? matMul(right, left, true, transposeA)
        : matMul(left, right, !transposeA, false);
    }
  },
);

/** Whether one matrix meets a batch of them. */
function isShared(matrix: Tensor, dy: Tensor): boolean {
  return dy.rank > 2 && batchSize(matrix) === 1 && batchSize(dy) > 1;
}

function sameBatch(a: Tensor, dy: Tensor): boolean {
  return util.arraysEqual(a.shape.slice(0, -2), dy.shape.slice(0, -2));
}

function batchSize({ shape }: Tensor): number {
  return util.sizeFromShape(shape.slice(0, -2));
}

/** The matrices of a batch below one another: one product then sums over the batch as well. */
function rows(x: Tensor): Tensor {
  return reshape(x, [-1, x.shape[x.rank - 1] as number]);
}
