// Batch normalisation. Stock tfjs has three defects here: parameters that do not lie along the last
// axes are read in the wrong order, without scale or offset the gradient throws, and for rank 5 it
// throws as well.
import {
  Add,
  add,
  FusedBatchNorm,
  type FusedBatchNormAttrs,
  type FusedBatchNormInputs,
  type KernelConfig,
  Multiply,
  mul,
  neg,
  Rsqrt,
  rsqrt,
  Sub,
  square,
  sub,
  type Tensor,
  type TensorInfo,
  util,
} from '@tensorflow/tfjs-core';
import { type Call, castTo, defineKernel, floats, free, runStock } from '../stock.ts';
import { defineGradient, type Gradient, OptionalInputs } from './override.ts';
import { sumTo } from './reduce.ts';

type BatchNormInputs = { [Name in keyof FusedBatchNormInputs]?: TensorInfo };
type BatchNormCall = Call<BatchNormInputs, FusedBatchNormAttrs>;

/**
 * y = (x - mean) / sqrt(variance + epsilon) * scale + offset, the parameters broadcast against x as
 * NumPy does. S. Ioffe and C. Szegedy, "Batch Normalization", 2015, arXiv:1502.03167. In float32, then in the
 * type of x; stock takes the bits of int32 for those of floats.
 */
export const fusedBatchNorm: KernelConfig = defineKernel<BatchNormInputs, FusedBatchNormAttrs>(
  FusedBatchNorm,
  (call) => {
    const { inputs } = call;
    // The tape of tfjs goes through all keys of this object, and stumbles over undefined.
    if (!inputs.scale) delete inputs.scale;
    if (!inputs.offset) delete inputs.offset;
    const given = Object.entries(inputs) as [string, TensorInfo][];
    return given.every(([, { dtype }]) => dtype === 'float32') ? inFloats(call) : inTypeOfX(call);
  },
);

function inFloats(call: BatchNormCall): TensorInfo {
  const { x, ...parameters } = call.inputs;
  const shape = (x as TensorInfo).shape;
  return Object.values(parameters).every((p) => isTrailing((p as TensorInfo).shape, shape))
    ? runStock(call.backend, FusedBatchNorm, { ...call.inputs }, call.attrs)
    : composed(call);
}

function inTypeOfX({ inputs, attrs, backend }: BatchNormCall): TensorInfo {
  const cast = Object.entries(inputs).map(
    ([name, info]) => [name, castTo(backend, info, 'float32')] as const,
  );
  const y = inFloats({ inputs: Object.fromEntries(cast), attrs, backend });
  const out = castTo(backend, y, (inputs.x as TensorInfo).dtype);
  free(backend, y, ...cast.map(([, info]) => info));
  return out;
}

/** Whether a parameter repeats in the order in which x lies in memory. */
function isTrailing(parameter: readonly number[], shape: readonly number[]): boolean {
  const first = parameter.findIndex((size) => size !== 1);
  const own = first < 0 ? [] : parameter.slice(first);
  return own.length === 0 || util.arraysEqual(own, shape.slice(-own.length));
}

function composed({ inputs, attrs, backend }: BatchNormCall): TensorInfo {
  const { x, mean, variance, scale, offset } = inputs as Required<BatchNormInputs>;
  const epsilon = backend.makeOutput([], 'float32');
  floats(backend, epsilon)[0] = attrs.varianceEpsilon;
  const made: TensorInfo[] = [epsilon];
  const run = (name: string, operands: Record<string, TensorInfo>): TensorInfo => {
    const out = runStock(backend, name, operands);
    made.push(out);
    return out;
  };
  let factor = run(Rsqrt, { x: run(Add, { a: variance, b: epsilon }) });
  if (scale) factor = run(Multiply, { a: factor, b: scale });
  let out = run(Multiply, { a: run(Sub, { a: x, b: mean }), b: factor });
  if (offset) out = run(Add, { a: out, b: offset });
  made.pop();
  free(backend, ...made);
  return out;
}

/**
 * With r = 1 / sqrt(variance + epsilon): dx = dy scale r, dMean = -sum(dy) scale r,
 * dVariance = -1/2 sum(dy (x - mean)) scale r^3, dScale = sum(dy (x - mean)) r, dOffset = sum(dy).
 */
export const batchNormGradient: Gradient = defineGradient<FusedBatchNormAttrs>(
  FusedBatchNorm,
  (dy, saved, { varianceEpsilon }) => {
    const [x, mean, variance, scale] = saved as [Tensor, Tensor, Tensor, Tensor?];
    const r = rsqrt(add(variance, varianceEpsilon));
    const factor = scale ? mul(scale, r) : r;
    const product = mul(dy, sub(x, mean));
    // One sum serves several parameters where all have one shape, as they do in practice.
    const plain = [variance, scale ?? mean].every((p) => util.arraysEqual(p.shape, mean.shape));
    if (!plain) return general(dy, product, r, factor, mean, variance, scale);
    const sumDy = sumTo(dy, mean.shape);
    const sumProduct = sumTo(product, mean.shape);
    return {
      x: () => mul(dy, factor),
      mean: () => neg(mul(sumDy, factor)),
      variance: () => mul(mul(sumProduct, factor), mul(square(r), -0.5)),
      scale: () => mul(sumProduct, r),
      offset: () => sumDy,
    };
  },
  { inputsToSave: OptionalInputs.from(['x', 'mean', 'variance', 'scale']) as OptionalInputs },
);

function general(
  dy: Tensor,
  product: Tensor,
  r: Tensor,
  factor: Tensor,
  mean: Tensor,
  variance: Tensor,
  scale?: Tensor,
): Record<string, () => Tensor> {
  return {
    x: () => mul(dy, factor),
    mean: () => neg(sumTo(mul(dy, factor), mean.shape)),
    variance: () => sumTo(mul(mul(product, factor), mul(square(r), -0.5)), variance.shape),
    scale: () => sumTo(mul(product, r), (scale as Tensor).shape),
    offset: () => sumTo(dy, (scale ?? mean).shape),
  };
}
