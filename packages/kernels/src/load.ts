import { BackendError } from '@thimble/base';
import { plain, relaxed } from '#wasm';
import type { Kernels } from './kernels.ts';
import { decodeModule, hasRelaxedSimd } from './module.ts';

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
  const bytes = decodeModule(plain, relaxedSimd ? relaxed : undefined);
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
