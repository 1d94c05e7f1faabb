// A case of the kernel benchmark, and the memory that its operands lie in.
import type * as tf from '@tensorflow/tfjs-core';
import type { Kernels } from '@thimble/kernels';
import { Random } from 'thimble';

/** One kernel and shape. */
export interface Case {
  name: string;
  /** Floating-point operations, or bytes read and written where memory is the limit. */
  work: number;
  unit: 'GFLOP/s' | 'GB/s';
  /** The call on our kernels; the operands are laid out once. */
  ours(kernels: Kernels): () => void;
  /** The same on the stock backend, where it has the kernel. */
  stock?: () => () => tf.Tensor;
}

/** The memory that the kernels work on. Every case uses it from the start. */
export const memory: WebAssembly.Memory = new WebAssembly.Memory({ initial: 1024 });
const random = new Random('kernels bench');
let next = 0;

/** Lays out `length` values, of which `share` are not zero; with `positive`, above 0. */
export function floats(
  length: number,
  { share = 1, positive = false }: { share?: number; positive?: boolean } = {},
): number {
  const at = next;
  next += (length * 4 + 127) & ~63;
  const values = new Float32Array(memory.buffer, at, length);
  for (let i = 0; i < length; i++) {
    const value = random.uniform();
    values[i] = random.uniform() < share ? (positive ? value : 2 * value - 1) : 0;
  }
  return at;
}

/** Every case calls this first: its operands may lie where those of the last one lay. */
export function start(): void {
  next = 1024;
}
