// The product of a weight with a mask of 0 and 1, for which the mask is kept as bits: with a mask of floats the three
// passes over memory cost a small network a tenth of its step. The mask of @thimble/pruning calls it by name.
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { type KernelConfig, Multiply, type TensorInfo, util } from '@tensorflow/tfjs-core';
import type { Pointer } from '@thimble/kernels';
import { address, allocate, release, simd } from '../simd.ts';
import { defineKernel, runStock, type Tensors } from '../stock.ts';
import { product } from './elementwise.ts';

export const MASK = 'ThimbleMask';

/** Where the bits of a mask lie; undefined where it holds more than 0 and 1. A new mask is a new tensor. */
const known = new WeakMap<object, { bits: Pointer | undefined }>();
const forgotten = new FinalizationRegistry(release);

function bitsOf(backend: BackendWasm, mask: TensorInfo): Pointer | undefined {
  const found = known.get(mask.dataId);
  if (found) return found.bits;
  const size = util.sizeFromShape(mask.shape);
  const block = allocate(backend, size / 8 + 16);
  const valid = simd().maskBits(address(backend, mask), block.pointer, size);
  if (valid) forgotten.register(mask.dataId, block);
  else release(block);
  const bits = valid ? block.pointer : undefined;
  known.set(mask.dataId, { bits });
  return bits;
}

/** `ThimbleMask`: x where the mask is 1, and 0 where it is 0; x times the mask where that holds something else. */
export const maskKernel: KernelConfig = defineKernel<Tensors<'x' | 'mask'>, object>(
  MASK,
  ({ inputs: { x, mask }, backend }) => {
    const bits = bitsOf(backend, mask);
    if (bits === undefined) {
      return product(backend, x, mask) ?? runStock(backend, Multiply, { a: x, b: mask });
    }
    const out = backend.makeOutput(x.shape, 'float32');
    const [from, at, to] = [address(backend, x), address(backend, mask), address(backend, out)];
    simd().applyMask(from, bits, at, to, util.sizeFromShape(x.shape));
    return out;
  },
);
