// Threads that share a batch: workers on the same memory, with the weights in common and an arena each.
import { UnsupportedError } from '@thimble/base';
import { type Call, moveTo } from './program.ts';

/** Where a thread's inputs and outputs lie, in bytes: for up to `CHUNK` examples at a time. */
export interface Desk {
  arena: number;
  /** Number of the round (i32), examples in it, the last round that is done. */
  control: number;
  staging: number;
}

/** Examples that a thread gets at a time. */
export const CHUNK = 16;
const CONTROL_BYTES = 64;

interface Sizes {
  arenaBytes: number;
  /** Values of an example's inputs and outputs, and where they are in the arena. */
  inputs: readonly { size: number; offset: number }[];
  outputs: readonly { size: number; offset: number }[];
}

/** Bytes that the desks of `threads` threads take. */
export function desksBytes({ arenaBytes, inputs, outputs }: Sizes, threads: number): number {
  const values = [...inputs, ...outputs].reduce((sum, { size }) => sum + size, 0);
  return threads * (arenaBytes + CONTROL_BYTES + 64 * Math.ceil((4 * CHUNK * values) / 64));
}

/** Whether threads with a common memory can be had here. */
export function canShare(): boolean {
  return (
    typeof SharedArrayBuffer === 'function' && (nodeWorkers() ?? globalThis.Worker) !== undefined
  );
}

/**
 * What a worker does. It is told of a round by `control`: word 0 is the round, word 1 the number of examples or -1
 * for the end, word 2 the last round that is done.
 */
const WORKER = `
const start = ({ module, memory, calls, desk, inputs, outputs }, ready) => {
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const bound = calls.map(({ kernel, args, when = [] }) => [exports[kernel], args, when]);
  const words = new Int32Array(memory.buffer);
  const values = new Float32Array(memory.buffer);
  const control = desk.control >> 2;
  const arena = desk.arena >> 2;
  let round = 0;
  ready();
  for (;;) {
    Atomics.wait(words, control, round);
    round = Atomics.load(words, control);
    const count = words[control + 1];
    if (count < 0) return;
    let from = desk.staging >> 2;
    let to = from;
    for (const { size } of inputs) to += size * count;
    for (let n = 0; n < count; n++) {
      for (const { size, offset } of inputs) {
        values.copyWithin(arena + (offset >> 2), from, from + size);
        from += size;
      }
      for (const [run, args, when] of bound) {
        if (when.every(({ at, open }) => values[at >> 2] > 0 === open)) run(...args);
      }
      for (const { size, offset } of outputs) {
        const at = arena + (offset >> 2);
        values.copyWithin(to, at, at + size);
        to += size;
      }
    }
    Atomics.store(words, control + 2, round);
    Atomics.notify(words, control + 2);
  }
};`;
const IN_NODE = `${WORKER}
const { parentPort } = require('node:worker_threads');
parentPort.once('message', (task) => start(task, () => parentPort.postMessage(0)));`;
const IN_BROWSER = `${WORKER}
onmessage = ({ data }) => start(data, () => postMessage(0));`;

interface NodeWorker {
  postMessage(task: unknown): void;
  once(event: string, listener: (value: unknown) => void): void;
  unref(): void;
  terminate(): void;
}
interface NodeWorkers {
  Worker: new (code: string, options: { eval: boolean }) => NodeWorker;
}

function nodeWorkers(): NodeWorkers | undefined {
  const { process } = globalThis as {
    process?: { getBuiltinModule?: (name: string) => unknown };
  };
  return process?.getBuiltinModule?.('node:worker_threads') as NodeWorkers | undefined;
}

/** Starts a worker with its task; returns how to end it once it is ready. */
async function startWorker(task: unknown): Promise<() => void> {
  const node = nodeWorkers();
  if (node) {
    const worker = new node.Worker(IN_NODE, { eval: true });
    worker.unref();
    const ready = new Promise((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    worker.postMessage(task);
    await ready;
    return () => worker.terminate();
  }
  const url = URL.createObjectURL(new Blob([IN_BROWSER], { type: 'text/javascript' }));
  const worker = new Worker(url);
  const ready = new Promise((resolve, reject) => {
    worker.onmessage = resolve;
    worker.onerror = () =>
      reject(
        new UnsupportedError('pack: this page does not allow workers from blobs; use one thread.'),
      );
  });
  worker.postMessage(task);
  await ready;
  URL.revokeObjectURL(url);
  return () => worker.terminate();
}

/** The other threads of a network: the caller is one too. */
export class Threads {
  readonly #words: Int32Array;
  readonly #values: Float32Array;
  readonly #desks: readonly Desk[];
  readonly #ends: readonly (() => void)[];
  readonly #sizes: Sizes;

  private constructor(
    memory: WebAssembly.Memory,
    desks: Desk[],
    ends: (() => void)[],
    sizes: Sizes,
  ) {
    this.#words = new Int32Array(memory.buffer);
    this.#values = new Float32Array(memory.buffer);
    this.#desks = desks;
    this.#ends = ends;
    this.#sizes = sizes;
  }

  /** `count` workers on a shared memory, their desks one after the other from `at` on. */
  static async start(
    module: WebAssembly.Module,
    memory: WebAssembly.Memory,
    calls: readonly Call[],
    sizes: Sizes,
    count: number,
    at: number,
  ): Promise<Threads> {
    const each = desksBytes(sizes, 1);
    const desks = Array.from({ length: count }, (_, i): Desk => {
      const arena = at + i * each;
      const control = arena + sizes.arenaBytes;
      return { arena, control, staging: control + CONTROL_BYTES };
    });
    const plain = (ports: Sizes['inputs']) => ports.map(({ size, offset }) => ({ size, offset }));
    const ports = { inputs: plain(sizes.inputs), outputs: plain(sizes.outputs) };
    const ends = await Promise.all(
      desks.map((desk) => {
        const own = moveTo(calls, desk.arena).map(({ moved, ...call }) => call);
        return startWorker({ module, memory, calls: own, desk, ...ports });
      }),
    );
    return new Threads(memory, desks, ends, sizes);
  }

  get count(): number {
    return this.#desks.length;
  }

  /** Hands examples `from` to `to` (at most a chunk) to worker `i`. */
  give(i: number, inputs: readonly Float32Array[], from: number, to: number): void {
    const { control, staging } = this.#desks[i]!;
    let at = staging >> 2;
    for (let n = from; n < to; n++) {
      for (const [p, { size }] of this.#sizes.inputs.entries()) {
        this.#values.set(inputs[p]!.subarray(n * size, (n + 1) * size), at);
        at += size;
      }
    }
    this.#words[(control >> 2) + 1] = to - from;
    Atomics.add(this.#words, control >> 2, 1);
    Atomics.notify(this.#words, control >> 2);
  }

  /** Waits for worker `i`, and takes the outputs of the examples that it was given. */
  take(i: number, outputs: readonly Float32Array[], from: number, to: number): void {
    const { control, staging } = this.#desks[i]!;
    const word = control >> 2;
    const round = this.#words[word]!;
    for (;;) {
      const done = Atomics.load(this.#words, word + 2);
      if (done === round) break;
      if (nodeWorkers()) Atomics.wait(this.#words, word + 2, done);
    }
    let at = staging >> 2;
    for (const { size } of this.#sizes.inputs) at += size * (to - from);
    for (let n = from; n < to; n++) {
      for (const [p, { size }] of this.#sizes.outputs.entries()) {
        outputs[p]!.set(this.#values.subarray(at, at + size), n * size);
        at += size;
      }
    }
  }

  dispose(): void {
    for (const { control } of this.#desks) {
      this.#words[(control >> 2) + 1] = -1;
      Atomics.add(this.#words, control >> 2, 1);
      Atomics.notify(this.#words, control >> 2);
    }
    for (const end of this.#ends) end();
  }
}
