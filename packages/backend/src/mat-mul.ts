// Matrix products of tensors: batches, broadcasting and types around the one kernel `gemm`.
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { broadcast_util, type TensorInfo, util } from '@tensorflow/tfjs-core';
import { ShapeError } from '@thimble/base';
import { address, simd, withScratch } from './simd.ts';
import { castTo, free, zeros } from './stock.ts';

/** Batched matrices: `rows` and `columns` are those of op(X), the transpose flag carried out. */
interface Operand {
  info: TensorInfo;
  batchShape: number[];
  batch: number;
  rows: number;
  columns: number;
}

function operand(info: TensorInfo, transpose: boolean): Operand {
  const batchShape = info.shape.slice(0, -2);
  const [rows, columns] = info.shape.slice(-2) as [number, number];
  const batch = util.sizeFromShape(batchShape);
  return transpose
    ? { info, batchShape, batch, rows: columns, columns: rows }
    : { info, batchShape, batch, rows, columns };
}

/**
 * C[..,i,j] = sum over k of op(A)[..,i,k] op(B)[..,k,j] for two tensors of one type; batch dimensions
 * broadcast. int32 is exact up to 2^24, as float32 is; of bool the result is the count, in int32.
 *
 * @throws ShapeError when the inner sizes differ.
 */
export function matMul(
  backend: BackendWasm,
  a: TensorInfo,
  b: TensorInfo,
  transposeA: boolean,
  transposeB: boolean,
): TensorInfo {
  if (a.dtype !== 'float32' && b.dtype !== 'float32') {
    const [fa, fb] = [castTo(backend, a, 'float32'), castTo(backend, b, 'float32')];
    const product = matMul(backend, fa, fb, transposeA, transposeB);
    const out = castTo(backend, product, 'int32');
    free(backend, fa, fb, product);
    return out;
  }
  const left = operand(a, transposeA);
  const right = operand(b, transposeB);
  if (left.columns !== right.rows) {
    throw new ShapeError(
      `matMul: the inner sizes differ, [${left.rows}, ${left.columns}] x [${right.rows}, ${right.columns}].`,
    );
  }
  const batchShape = broadcast_util.assertAndGetBroadcastShape(left.batchShape, right.batchShape);
  const shape = [...batchShape, left.rows, right.columns];
  if (left.columns === 0 || util.sizeFromShape(shape) === 0) return zeros(backend, shape);
  const out = backend.makeOutput(shape, 'float32');
  multiply(backend, left, right, address(backend, out), batchShape, transposeA, transposeB);
  return out;
}

function multiply(
  backend: BackendWasm,
  a: Operand,
  b: Operand,
  out: number,
  batchShape: number[],
  transposeA: boolean,
  transposeB: boolean,
): void {
  const [aAt, bAt] = [address(backend, a.info), address(backend, b.info)];
  const { gemm, gemmScratch } = simd();
  let batch = util.sizeFromShape(batchShape);
  let { rows: m } = a;
  const [n, k] = [b.columns, a.columns];
  if (b.batch === 1 && a.batch === batch && !transposeA) {
    m *= batch; // one matrix serves all: the batch is more rows
    batch = 1;
  }
  withScratch(backend, gemmScratch(m, n, k, transposeB), (scratch) => {
    for (let i = 0; i < batch; i++) {
      const left = aAt + pick(i, batchShape, a) * m * k * 4;
      const right = bAt + pick(i, batchShape, b) * k * n * 4;
      gemm(left, right, out + i * m * n * 4, m, n, k, transposeA, transposeB, false, scratch);
    }
  });
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
