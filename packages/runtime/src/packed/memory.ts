// Memories for packed networks. An engine gives out few, and takes them back late, so a memory that a disposed
// network leaves is given to the next.
import { inferenceModule } from '@thimble/kernels/inference';

const PAGE = 65_536;
/** Memories that are kept for later. */
const KEPT = 4;

const free: WebAssembly.Memory[] = [];
const modules = new Map<string, Promise<WebAssembly.Module>>();

/** Pages that hold `bytes`. */
export function pagesOf(bytes: number): number {
  return Math.ceil(bytes / PAGE);
}

/** A memory of at least `bytes` bytes; what it holds is not known. */
export function takeMemory(bytes: number): WebAssembly.Memory {
  const pages = pagesOf(bytes);
  const memory = free.pop() ?? new WebAssembly.Memory({ initial: pages });
  const missing = pages - pagesOf(memory.buffer.byteLength);
  if (missing > 0) memory.grow(missing);
  return memory;
}

/** Takes a memory back. */
export function giveMemory(memory: WebAssembly.Memory): void {
  if (free.length < KEPT) free.push(memory);
}

/** The module of the kernels, compiled once. */
export function moduleFor(
  relaxedSimd: boolean | undefined,
  sharedPages?: number,
): Promise<WebAssembly.Module> {
  const key = `${relaxedSimd} ${sharedPages}`;
  let module = modules.get(key);
  if (!module) {
    const options = {
      ...(relaxedSimd === undefined ? {} : { relaxedSimd }),
      ...(sharedPages === undefined ? {} : { sharedPages }),
    };
    module = inferenceModule(options);
    modules.set(key, module);
  }
  return module;
}
