// Stock adds the bias wrongly where an operand is transposed or the batch is above 1, and takes a bias of
// rank 1 only. Where two plain matrices remain after transposing, the stock kernel is right and fast;
// everything else is composed: product, bias, activation.
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import {
  _FusedMatMul,
  type _FusedMatMulAttrs,
  type _FusedMatMulInputs,
  Add,
  Elu,
  type KernelConfig,
  LeakyRelu,
  Prelu,
  Relu,
  Relu6,
  Sigmoid,
  type TensorInfo,
} from '@tensorflow/tfjs-core';
import { UnsupportedError } from '@thimble/base';
import { matMul, operand } from '../mat-mul.ts';
import { type Call, defineKernel, free, reshaped, runStock } from '../stock.ts';

type FusedCall = Call<_FusedMatMulInputs, _FusedMatMulAttrs>;

const ACTIVATIONS: Record<string, string> = {
  relu: Relu,
  relu6: Relu6,
  elu: Elu,
  sigmoid: Sigmoid,
  prelu: Prelu,
  leakyrelu: LeakyRelu,
};

/** C = activation(A B + bias), either operand transposed on request. */
export const fusedMatMul: KernelConfig = defineKernel<_FusedMatMulInputs, _FusedMatMulAttrs>(
  _FusedMatMul,
  (call) => {
    const { a, b, bias, preluActivationWeights } = call.inputs;
    const oneMatrix = a.shape.slice(0, -2).every((size) => size === 1);
    const simple =
      oneMatrix &&
      a.dtype === 'float32' &&
      a.shape.length === b.shape.length &&
      b.shape.slice(0, -2).every((size) => size === 1) &&
      (!bias || bias.shape.length === 1) &&
      !preluActivationWeights;
    return simple ? stock(call) : composed(call);
  },
);

function stock({ inputs, attrs, backend }: FusedCall): TensorInfo {
  const a = operand(backend, inputs.a, attrs.transposeA);
  const b = operand(backend, inputs.b, attrs.transposeB);
  const out = runStock(
    backend,
    _FusedMatMul,
    { ...inputs, a: a.info, b: b.info },
    { ...attrs, transposeA: false, transposeB: false },
  );
  a.free();
  b.free();
  return reshaped(out, [...a.batchShape, a.rows, b.columns]);
}

function composed({ inputs, attrs, backend }: FusedCall): TensorInfo {
  let out = matMul(backend, inputs.a, inputs.b, attrs.transposeA, attrs.transposeB);
  if (inputs.bias) out = replace(backend, out, Add, { a: out, b: inputs.bias });
  if (attrs.activation === 'linear') return out;
  const kernelName = ACTIVATIONS[attrs.activation];
  if (!kernelName) {
    throw new UnsupportedError(
      `fused.matMul: unknown activation "${attrs.activation}". Known: linear, ${Object.keys(ACTIVATIONS).join(', ')}.`,
    );
  }
  const operands =
    kernelName === Prelu ? { x: out, alpha: inputs.preluActivationWeights } : { x: out };
  return replace(backend, out, kernelName, operands, { alpha: attrs.leakyreluAlpha });
}

function replace(
  backend: BackendWasm,
  old: TensorInfo,
  kernelName: string,
  inputs: Record<string, TensorInfo | undefined>,
  attrs: object = {},
): TensorInfo {
  const out = runStock(backend, kernelName, inputs, attrs);
  free(backend, old);
  return out;
}
