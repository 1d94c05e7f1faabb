// Memories for packed networks. An engine gives out few, and takes them back late, so a memory that a disposed
// network leaves is given to the next.
import { inferenceModule } from '@thimble/kernels/inference';

const PAGE = 65_536;
const MOST_PAGES = 65_536;
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

/** A memory that threads share, of exactly as many pages as `bytes` need. */
export function sharedMemory(bytes: number): WebAssembly.Memory {
  const pages = pagesOf(bytes);
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
}

/** The module of the kernels, compiled once. */
export function moduleFor(
  relaxedSimd: boolean | undefined,
  shared: boolean = false,
): Promise<WebAssembly.Module> {
  const key = `${relaxedSimd} ${shared}`;
  let module = modules.get(key);
  if (!module) {
    module = inferenceModule({
      ...(relaxedSimd === undefined ? {} : { relaxedSimd }),
      ...(shared ? { sharedPages: MOST_PAGES } : {}),
    });
    modules.set(key, module);
  }
  return module;
}
