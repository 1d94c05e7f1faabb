// Our own kernels on the heap of tfjs: addresses of tensors, scratch memory, and what to do when there is none.
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import {
  type DataId,
  type DataMover,
  engine,
  env,
  type KernelBackend,
  type TensorInfo,
} from '@tensorflow/tfjs-core';
import { BackendError } from '@thimble/base';
import { hasRelaxedSimd, type Kernels, loadKernels, type Pointer } from '@thimble/kernels';

/** What tfjs's types leave out of its wasm module. */
interface Heap {
  _malloc(bytes: number): number;
  _free(pointer: number): void;
  HEAPU8: Uint8Array;
}

/** Of tf.env(): whether to use relaxed SIMD. True where the engine has it; may be changed at any time. */
const RELAXED_SIMD = 'THIMBLE_RELAXED_SIMD';

let attached: { backend: BackendWasm; plain: Kernels; relaxed?: Kernels } | undefined;
let current: Kernels;

env().registerFlag(RELAXED_SIMD, hasRelaxedSimd, choose);

/** Compiles the kernels onto the heap of `backend`; from then on the heap says when it is full. */
export async function attachKernels(backend: BackendWasm): Promise<void> {
  if (attached?.backend === backend) return;
  const memory = heap(backend);
  const plain = await loadKernels(memory, { relaxedSimd: false });
  const relaxed = hasRelaxedSimd() ? await loadKernels(memory, { relaxedSimd: true }) : undefined;
  checkAllocations(backend);
  checkDisposed(backend);
  attached = relaxed ? { backend, plain, relaxed } : { backend, plain };
  choose();
}

function choose(): void {
  if (!attached) return;
  const { plain, relaxed } = attached;
  current = env().getBool(RELAXED_SIMD) ? (relaxed ?? plain) : plain;
}

/** The kernels. They take addresses: see {@link address}. */
export function simd(): Kernels {
  return current;
}

function heap(backend: BackendWasm): WebAssembly.Memory {
  const { asm } = backend.wasm as unknown as { asm?: { memory?: WebAssembly.Memory } };
  if (!asm?.memory) {
    throw new BackendError(
      'The memory of @tensorflow/tfjs-backend-wasm was not found. Its threaded build is not supported: ' +
        "call tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false) before anything starts the backend wasm.",
    );
  }
  return asm.memory;
}

/**
 * Lets a failed allocation throw. Stock takes the address 0 for memory, and past 4 GB its allocator answers
 * with addresses beyond the heap; then it writes over its own data.
 */
function checkAllocations(backend: BackendWasm): void {
  const wasm = backend.wasm as unknown as Heap;
  wasm._free(wasm._malloc(1)); // the first call of _malloc puts the real one in its place
  const allocate = wasm._malloc;
  wasm._malloc = (bytes: number): number => {
    const pointer = allocate(bytes);
    const start = pointer >>> 0;
    if (start === 0 || start + bytes > wasm.HEAPU8.length) {
      throw new BackendError(
        `Out of memory: the WebAssembly heap (at most 4 GB) has no room for ${bytes} more bytes. ` +
          'Use smaller batches, and dispose of tensors that are not needed (tf.memory() counts them).',
      );
    }
    return pointer;
  };
}

/** Lets the use of a disposed tensor throw an error with a name; tfjs stumbles over `undefined`. */
function checkDisposed(backend: BackendWasm): void {
  const storage = backend.dataIdMap as unknown as { dataMover: DataMover };
  storage.dataMover = {
    moveData(target: KernelBackend, dataId: DataId): void {
      if (!engine().state.tensorInfo.has(dataId)) {
        throw new BackendError(
          'A tensor was used after it was disposed. Look for dispose() or the end of a tf.tidy() before this op; tf.keep() or returning it from the tidy saves a tensor.',
        );
      }
      engine().moveData(target, dataId);
    },
  };
}

/** Where the values of a tensor lie on the heap. It stays there as long as the tensor lives. */
export function address(backend: BackendWasm, info: TensorInfo): Pointer {
  return backend.getMemoryOffset(info.dataId);
}

/** Memory that is no tensor. */
export interface Block {
  backend: BackendWasm;
  pointer: Pointer;
}

/** Memory that stays until {@link release} gives it back. */
export function allocate(backend: BackendWasm, bytes: number): Block {
  return { backend, pointer: (backend.wasm as unknown as Heap)._malloc(bytes) >>> 0 };
}

/** Gives memory back; there is nothing to give where the backend was removed. */
export function release({ backend, pointer }: Block): void {
  (backend.wasm as unknown as Heap | null)?._free(pointer);
}

/** Runs `use` with `bytes` of scratch memory, freed afterwards. */
export function withScratch(
  backend: BackendWasm,
  bytes: number,
  use: (scratch: Pointer) => void,
): void {
  const block = allocate(backend, bytes);
  try {
    use(block.pointer);
  } finally {
    release(block);
  }
}

/** Runs `use` with numbers in scratch memory, as float32. */
export function withNumbers(
  backend: BackendWasm,
  numbers: readonly number[],
  use: (scratch: Pointer) => void,
): void {
  const wasm = backend.wasm as unknown as Heap;
  withScratch(backend, 4 * numbers.length, (scratch) => {
    new Float32Array(wasm.HEAPU8.buffer, scratch, numbers.length).set(numbers);
    use(scratch);
  });
}
