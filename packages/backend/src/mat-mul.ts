// Matrix products on the stock kernel's fast path.
//
// Stock has one: two plain matrices without a transpose flag go to XNNPACK (16-22 GFLOP/s); with a flag
// or a batch it falls to a naive loop (1.9 GFLOP/s). So: transpose first with the stock kernel (an
// operand of 784x300 takes 0.15 ms), fold the batch into the rows where one matrix serves all, and run
// every other batch item on its own, in place on its part of the heap.
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import {
  BatchMatMul,
  broadcast_util,
  Cast,
  type TensorInfo,
  Transpose,
  util,
} from '@tensorflow/tfjs-core';
import { ShapeError } from '@thimble/base';
import { dropPart, floats, free, part, reshaped, runStock } from './stock.ts';

/** Batched matrices [batch, rows, columns], and how to free what was made for them. */
export interface Operand {
  info: TensorInfo;
  batchShape: number[];
  batch: number;
  rows: number;
  columns: number;
  free(): void;
}

/** A matrix operand with its transpose flag carried out. */
export function operand(backend: BackendWasm, info: TensorInfo, transpose: boolean): Operand {
  const { shape } = info;
  const batchShape = shape.slice(0, -2);
  const batch = util.sizeFromShape(batchShape);
  const [rows, columns] = shape.slice(-2) as [number, number];
  const flat = reshaped(info, [batch, rows, columns]);
  if (!transpose) return { info: flat, batchShape, batch, rows, columns, free() {} };
  const turned = runStock(backend, Transpose, { x: flat }, { perm: [0, 2, 1] });
  return {
    info: turned,
    batchShape,
    batch,
    rows: columns,
    columns: rows,
    free: () => free(backend, turned),
  };
}

/** The product of two float32 or two int32 tensors; int32 is exact up to 2^24, as float32 is. */
export function matMul(
  backend: BackendWasm,
  a: TensorInfo,
  b: TensorInfo,
  transposeA: boolean,
  transposeB: boolean,
): TensorInfo {
  if (a.dtype === 'int32' && b.dtype === 'int32') {
    const [fa, fb] = [a, b].map((x) => runStock(backend, Cast, { x }, { dtype: 'float32' }));
    const product = matMul(backend, fa as TensorInfo, fb as TensorInfo, transposeA, transposeB);
    const out = runStock(backend, Cast, { x: product }, { dtype: 'int32' });
    free(backend, fa as TensorInfo, fb as TensorInfo, product);
    return out;
  }
  const left = operand(backend, a, transposeA);
  const right = operand(backend, b, transposeB);
  const out = multiply(backend, left, right);
  left.free();
  right.free();
  return out;
}

function multiply(backend: BackendWasm, a: Operand, b: Operand): TensorInfo {
  if (a.columns !== b.rows) {
    throw new ShapeError(
      `matMul: the inner sizes differ, [${a.rows}, ${a.columns}] x [${b.rows}, ${b.columns}].`,
    );
  }
  const batchShape = broadcast_util.assertAndGetBroadcastShape(a.batchShape, b.batchShape);
  const shape = [...batchShape, a.rows, b.columns];
  const batch = util.sizeFromShape(batchShape);
  if (b.batch === 1 && a.batch === batch) {
    const rows = reshaped(a.info, [1, batch * a.rows, a.columns]);
    return reshaped(plain(backend, rows, reshaped(b.info, [1, b.rows, b.columns])), shape);
  }
  const out = backend.makeOutput(shape, 'float32');
  const size = a.rows * b.columns;
  for (let i = 0; i < batch; i++) {
    const x = part(backend, a.info, pick(i, batchShape, a) * a.rows * a.columns, [
      1,
      a.rows,
      a.columns,
    ]);
    const y = part(backend, b.info, pick(i, batchShape, b) * b.rows * b.columns, [
      1,
      b.rows,
      b.columns,
    ]);
    const product = plain(backend, x, y);
    floats(backend, out).set(floats(backend, product), i * size);
    dropPart(backend, x);
    dropPart(backend, y);
    free(backend, product);
  }
  return out;
}

/** The stock product of two plain matrices, both of shape [1, rows, columns]. */
function plain(backend: BackendWasm, a: TensorInfo, b: TensorInfo): TensorInfo {
  return runStock(backend, BatchMatMul, { a, b }, { transposeA: false, transposeB: false });
}

/** Which matrix of an operand serves item `index` of the broadcast batch. */
function pick(index: number, batchShape: number[], { batchShape: own, batch }: Operand): number {
  if (batch === 1) return 0;
  let rest = index;
  let at = 0;
  let stride = 1;
  for (let axis = batchShape.length - 1; axis >= 0; axis--) {
    const size = batchShape[axis] as number;
    const ownSize = own[axis - batchShape.length + own.length] ?? 1;
    if (ownSize > 1) at += (rest % size) * stride;
    stride *= ownSize;
    rest = Math.floor(rest / size);
  }
  return at;
}
