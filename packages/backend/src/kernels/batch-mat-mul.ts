import { BatchMatMul, type BatchMatMulAttrs, type KernelConfig } from '@tensorflow/tfjs-core';
import { matMul } from '../mat-mul.ts';
import { defineKernel, type Tensors } from '../stock.ts';

/** C[..,i,j] = sum over k of A[..,i,k] B[..,k,j], either operand transposed on request. */
export const batchMatMul: KernelConfig = defineKernel<Tensors<'a' | 'b'>, BatchMatMulAttrs>(
  BatchMatMul,
  ({ inputs: { a, b }, attrs, backend }) =>
    matMul(backend, a, b, attrs.transposeA, attrs.transposeB),
);
