// Elementwise kernels of two operands where stock is wrong.
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import {
  Atan2,
  backend_util,
  type DataType,
  FloorDiv,
  type KernelConfig,
  Maximum,
  Minimum,
  Mod,
  Multiply,
  Pow,
  Prelu,
  RealDiv,
  type TensorInfo,
  util,
} from '@tensorflow/tfjs-core';
import type { Tensors } from '../stock.ts';
import { runsOf } from './broadcast.ts';
import { extreme, power, prelu as preluFloat, product } from './elementwise.ts';
import { overrideKernel } from './override.ts';

interface Binary {
  /** The function, on whole numbers. */
  value: (a: number, b: number) => number;
  /** The type of the result; default that of the operands. */
  out?: DataType;
  /** Whether stock is right for int32. */
  int?: true;
  /** What serves for float32; default stock. */
  float?: (backend: BackendWasm, a: TensorInfo, b: TensorInfo) => TensorInfo | undefined;
}

// On int32 stock traps at x / 0 and mod(x, 0), after which the whole module is lost; on bool it reads and
// writes four bytes per value.
const BINARY: Record<string, Binary> = {
  [Atan2]: { value: Math.atan2 },
  [FloorDiv]: { value: (a, b) => Math.floor(a / b), out: 'int32' },
  [Maximum]: {
    value: Math.max,
    int: true,
    float: (backend, a, b) => extreme(backend, a, b, false),
  },
  [Minimum]: { value: Math.min, int: true, float: (backend, a, b) => extreme(backend, a, b, true) },
  [Mod]: { value: (a, b) => a - b * Math.floor(a / b) },
  [Multiply]: { value: (a, b) => a * b, int: true, float: product },
  [Pow]: { value: (a, b) => a ** b, float: power },
  [RealDiv]: { value: (a, b) => a / b },
};

/** f(a, b) of two operands that broadcast; int32 as on cpu: a fraction is cut off, x / 0 is 0. */
export const binary: readonly KernelConfig[] = Object.entries(BINARY).map(([name, entry]) =>
  overrideKernel<Tensors<'a' | 'b'>, object>(name, ({ inputs: { a, b }, backend }) => {
    if (a.dtype === 'float32') return entry.float?.(backend, a, b);
    const stock = a.dtype === 'int32' ? entry.int : a.dtype !== 'bool';
    return stock ? undefined : whole(backend, a, b, entry.value, entry.out);
  }),
);

/** alpha x where x < 0, else x. Stock takes alpha for one value per channel, whatever its shape. */
export const prelu: KernelConfig = overrideKernel<Tensors<'x' | 'alpha'>, object>(
  Prelu,
  ({ inputs: { x, alpha }, backend }) => {
    if (x.dtype !== 'float32' || alpha.dtype !== 'float32') {
      return whole(backend, x, alpha, (value, a) => (value < 0 ? a * value : value), 'float32');
    }
    const channels = x.shape.at(-1);
    const perChannel =
      channels === alpha.shape.at(-1) && channels === util.sizeFromShape(alpha.shape);
    return perChannel ? undefined : preluFloat(backend, x, alpha);
  },
);

function whole(
  backend: BackendWasm,
  a: TensorInfo,
  b: TensorInfo,
  value: (a: number, b: number) => number,
  dtype: DataType = a.dtype,
): TensorInfo {
  const shape = backend_util.assertAndGetBroadcastShape(a.shape, b.shape);
  const out = backend.makeOutput(shape, dtype);
  if (util.sizeFromShape(shape) === 0) return out;
  const [left, right, to] = [a, b, out].map((info) => backend.typedArrayFromHeap(info)) as [
    Int32Array,
    Int32Array,
    Int32Array,
  ];
  const { length, oneA, oneB, starts } = runsOf(shape, a.shape, b.shape);
  starts.forEach((start, run) => {
    for (let i = 0; i < length; i++) {
      const result = value(
        left[oneA ? start.a : start.a + i] as number,
        right[oneB ? start.b : start.b + i] as number,
      );
      to[run * length + i] = dtype === 'bool' ? Number((result | 0) !== 0) : result;
    }
  });
  return out;
}
