// Elementwise kernels of one operand. On bool the stock ones read and write four bytes per value, beyond
// both tensors; on int32 most of them take the bits of the int for those of a float.
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import {
  Abs,
  Acos,
  Acosh,
  Asin,
  Asinh,
  Atan,
  Atanh,
  backend_util,
  Ceil,
  ClipByValue,
  Cos,
  Cosh,
  type DataType,
  Elu,
  Erf,
  Exp,
  Expm1,
  Floor,
  IsFinite,
  IsInf,
  IsNan,
  type KernelConfig,
  LeakyRelu,
  Log,
  Log1p,
  Neg,
  Reciprocal,
  Relu,
  Relu6,
  Round,
  Rsqrt,
  Selu,
  Sigmoid,
  Sign,
  Sin,
  Sinh,
  Softplus,
  Sqrt,
  Square,
  Step,
  Tan,
  Tanh,
  type TensorInfo,
} from '@tensorflow/tfjs-core';
import type { Tensors } from '../stock.ts';
import { applied, clamp, leakyRelu, sign } from './elementwise.ts';
import { overrideKernel } from './override.ts';

type Attrs = Record<'alpha' | 'clipValueMin' | 'clipValueMax', number>;

interface Unary {
  /** The function, on whole numbers. */
  value: (x: number, attrs: Attrs) => number;
  /** The type of the result; default that of x. A fraction is cut off for int32, and not 0 is true. */
  out?: DataType;
  /** Whether stock is right for int32. */
  int?: true;
  /** What serves for float32; default stock. */
  float?: (backend: BackendWasm, x: TensorInfo, attrs: Attrs) => TensorInfo;
}

const { SELU_SCALE, SELU_SCALEALPHA } = backend_util;

const UNARY: Record<string, Unary> = {
  [Abs]: { value: Math.abs, int: true },
  [Acos]: { value: Math.acos },
  [Acosh]: { value: Math.acosh },
  [Asin]: { value: Math.asin },
  [Asinh]: { value: Math.asinh },
  [Atan]: { value: Math.atan },
  [Atanh]: { value: Math.atanh },
  [Ceil]: { value: (x) => x },
  [ClipByValue]: {
    value: (x, { clipValueMin, clipValueMax }) => Math.min(Math.max(x, clipValueMin), clipValueMax),
    float: (backend, x, { clipValueMin, clipValueMax }) =>
      clamp(backend, x, clipValueMin, clipValueMax),
  },
  [Cos]: { value: Math.cos },
  [Cosh]: { value: Math.cosh },
  [Elu]: { value: (x) => (x >= 0 ? x : Math.expm1(x)) },
  [Erf]: { value: (x) => (Math.abs(x) > 5 ? Math.sign(x) : 0) }, // below 1 in float64 up to 5
  [Exp]: { value: Math.exp, out: 'float32', int: true, float: applied('exp') },
  [Expm1]: { value: Math.expm1, out: 'float32', int: true },
  [Floor]: { value: (x) => x },
  [IsFinite]: { value: () => 1, out: 'bool' },
  [IsInf]: { value: () => 0, out: 'bool' },
  [IsNan]: { value: () => 0, out: 'bool' },
  [LeakyRelu]: {
    value: (x, { alpha }) => (x < 0 ? alpha * x : x),
    out: 'float32',
    int: true,
    float: leakyRelu,
  },
  [Log]: { value: Math.log, float: applied('log') },
  [Log1p]: { value: Math.log1p, float: applied('log1p') },
  [Neg]: { value: (x) => -x, int: true },
  [Reciprocal]: { value: (x) => 1 / x },
  [Relu]: { value: (x) => Math.max(x, 0), int: true },
  [Relu6]: {
    value: (x) => Math.min(Math.max(x, 0), 6),
    int: true,
    float: (backend, x) => clamp(backend, x, 0, 6),
  },
  [Round]: { value: (x) => x, int: true },
  [Rsqrt]: { value: (x) => 1 / Math.sqrt(x) },
  [Selu]: {
    value: (x) => (x >= 0 ? SELU_SCALE * x : SELU_SCALEALPHA * Math.expm1(x)),
    float: applied('selu'),
  },
  [Sigmoid]: { value: (x) => 1 / (1 + Math.exp(-x)) },
  [Sign]: { value: Math.sign, float: sign },
  [Sin]: { value: Math.sin },
  [Sinh]: { value: Math.sinh },
  [Softplus]: {
    value: (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
    float: applied('softplus'),
  },
  [Sqrt]: { value: Math.sqrt },
  [Square]: { value: (x) => x * x, int: true },
  [Step]: { value: (x, { alpha }) => (x > 0 ? 1 : alpha), int: true },
  [Tan]: { value: Math.tan },
  [Tanh]: { value: Math.tanh, float: applied('tanh') },
};

/** The kernels of one operand: f(x) for float32 by stock or by SIMD, for int32 and bool as on cpu. */
export const unary: readonly KernelConfig[] = Object.entries(UNARY).map(([name, entry]) =>
  overrideKernel<Tensors<'x'>, Attrs>(name, ({ inputs: { x }, attrs, backend }) => {
    if (x.dtype === 'float32') return entry.float?.(backend, x, attrs);
    const stock = x.dtype === 'int32' ? entry.int : x.dtype !== 'bool';
    return stock ? undefined : whole(backend, x, attrs, entry);
  }),
);

function whole(
  backend: BackendWasm,
  x: TensorInfo,
  attrs: Attrs,
  { value, out: dtype = x.dtype }: Unary,
): TensorInfo {
  const out = backend.makeOutput(x.shape, dtype);
  const from = backend.typedArrayFromHeap(x);
  const to = backend.typedArrayFromHeap(out);
  for (let i = 0; i < from.length; i++) {
    const result = value(from[i] as number, attrs);
    to[i] = dtype === 'bool' ? Number((result | 0) !== 0) : result;
  }
  return out;
}
