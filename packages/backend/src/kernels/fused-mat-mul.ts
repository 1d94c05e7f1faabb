import {
  _FusedMatMul,
  type _FusedMatMulAttrs,
  type _FusedMatMulInputs,
  type KernelConfig,
} from '@tensorflow/tfjs-core';
import { finish } from '../epilogue.ts';
import { matMul } from '../mat-mul.ts';
import { defineKernel } from '../stock.ts';

/**
 * C = activation(A B + bias), either operand transposed on request. Stock adds the bias wrongly where an
 * operand is transposed or the batch is above 1, and takes a bias of rank 1 only.
 */
export const fusedMatMul: KernelConfig = defineKernel<_FusedMatMulInputs, _FusedMatMulAttrs>(
  _FusedMatMul,
  ({ inputs: { a, b, bias, preluActivationWeights }, attrs, backend }) => {
    const product = matMul(backend, a, b, attrs.transposeA, attrs.transposeB);
    return finish(backend, product, { ...attrs, bias, preluActivationWeights });
  },
);
