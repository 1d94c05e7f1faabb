import { BackendError } from '@thimble/base';
import { plain, relaxed } from '#wasm';
import type { Kernels } from './kernels.ts';

/** A module of one function, which ends in f32x4.relaxed_madd of three zeros. */
const RELAXED_PROBE = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0], // magic, version
  ...[1, 5, 1, 96, 0, 1, 123], // type: () -> v128
  ...[3, 2, 1, 0], // one function
  ...[10, 19, 1, 17, 0], // its body: 17 bytes, no locals
  ...[65, 0, 253, 15, 65, 0, 253, 15, 65, 0, 253, 15], // three times i8x16.splat(0)
  ...[253, 133, 2, 11], // relaxed_madd, end
);

/** Whether this engine has relaxed SIMD, whose multiply-add takes one instruction and rounds once. */
export function hasRelaxedSimd(): boolean {
  return WebAssembly.validate(RELAXED_PROBE);
}

/** How {@link loadKernels} is to be done. */
export interface LoadOptions {
  /** Which build: with relaxed SIMD or plain. Default: relaxed where the engine has it. */
  relaxedSimd?: boolean;
}

/**
 * The kernels, working on `memory`. They keep nothing between calls, have no data and no stack of their
 * own, and may share the memory with another module; they never grow it.
 *
 * @throws BackendError where the engine has no WebAssembly SIMD.
 * @example
 * import { loadKernels } from '@thimble/kernels';
 * const memory = new WebAssembly.Memory({ initial: 1 });
 * const kernels = await loadKernels(memory);
 * const values = new Float32Array(memory.buffer);
 * values.set([1, 2, 3, 4], 256); // A at byte 1024
 * values.set([5, 6, 7, 8], 260); // B at byte 1040
 * kernels.gemm(1024, 1040, 1056, 2, 2, 2, false, false, false, 2048);
 * console.log(values.subarray(264, 268)); // 19, 22, 43, 50
 */
export async function loadKernels(
  memory: WebAssembly.Memory,
  { relaxedSimd = hasRelaxedSimd() }: LoadOptions = {},
): Promise<Kernels> {
  const text = atob(relaxedSimd ? relaxed : plain);
  const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
  try {
    const { instance } = await WebAssembly.instantiate(bytes, { env: { memory } });
    return instance.exports as unknown as Kernels;
  } catch (cause) {
    throw new BackendError(
      'The kernels did not compile: this engine has no WebAssembly SIMD. Use Node 20 or a browser of 2023 or later.',
      { cause },
    );
  }
}
