// A packed network's program: calls of kernels with addresses, as plain data, and where everything lies.
import type { InferenceKernels } from '@thimble/kernels/inference';

export type KernelName = keyof InferenceKernels;

/** Weights that are made where they will lie. */
export interface Content {
  bytes: number;
  /** Writes all bytes of `target`. */
  fill(target: Uint8Array): void;
}

/** A piece of memory: weights, which stay, or values, which are there from their first to their last use. */
export interface Piece {
  bytes: number;
  /** What it holds from the start. */
  content?: Content;
  /** Whether it outlives the program's run: inputs from before its start, outputs until after its end. */
  before?: boolean;
  after?: boolean;
}

/** An address within a piece. */
export interface Place {
  piece: Piece;
  offset: number;
}

export type Argument = number | Place;

/** A call of a kernel, for those examples alone of which the floats at some places are above 0, or are not. */
export interface Step {
  kernel: KernelName;
  args: Argument[];
  when?: readonly { at: Place; open: boolean }[];
}

/** A call with addresses; those of values, at `moved`, and of conditions are relative to the arena. */
export interface Call {
  kernel: KernelName;
  args: number[];
  moved: number[];
  when?: readonly { at: number; open: boolean }[];
}

/** Where a program lies in memory: weights first, then the arena of the values. */
export interface Placed {
  calls: Call[];
  weightBytes: number;
  arenaBytes: number;
  /** Addresses of weights, offsets in the arena of values. */
  offsets: Map<Piece, number>;
}

/** Pieces begin at multiples of a cache line. */
const LINE = 64;
/** What kernels may read past the end of an operand. */
const BEYOND = 128;

const roundUp = (bytes: number): number => Math.ceil(bytes / LINE) * LINE;

/** A program under construction. */
export class Program {
  readonly steps: Step[] = [];
  #farthest = 0;

  /** A piece for values of `bytes` bytes. */
  piece(bytes: number): Piece {
    return { bytes };
  }

  /** A piece that holds weights. */
  weights(content: ArrayBufferView | Content): Place {
    const made = ArrayBuffer.isView(content) ? copied(content) : content;
    return { piece: { bytes: made.bytes, content: made }, offset: 0 };
  }

  call(kernel: KernelName, ...args: Argument[]): void {
    this.steps.push({ kernel, args });
  }

  /** Says that a kernel reads up to `bytes` past the end of a piece. */
  readsBeyond(bytes: number): void {
    this.#farthest = Math.max(this.#farthest, bytes);
  }

  /**
   * Gives every piece a place: weights one after the other from `start` on, values so that those alive at the
   * same time lie apart, the largest first, each as low as it fits.
   */
  place(start: number, kept: readonly Piece[] = []): Placed {
    const offsets = new Map<Piece, number>();
    const lives = new Map<Piece, [first: number, last: number]>();
    let end = roundUp(start);
    const meet = (piece: Piece, at: number): void => {
      if (piece.content) {
        if (offsets.has(piece)) return;
        offsets.set(piece, end);
        end += roundUp(piece.bytes + BEYOND);
        return;
      }
      const life = lives.get(piece);
      if (life) life[1] = at;
      else lives.set(piece, [piece.before ? -1 : at, piece.after ? this.steps.length : at]);
    };
    for (const piece of kept) meet(piece, 0);
    for (const [at, { args, when = [] }] of this.steps.entries()) {
      for (const arg of args) if (typeof arg !== 'number') meet(arg.piece, at);
      for (const gate of when) meet(gate.at.piece, at);
    }
    for (const [piece, life] of lives) if (piece.after) life[1] = this.steps.length;
    const weightBytes = end;
    const arenaBytes = fit(lives, offsets) + roundUp(this.#farthest) + BEYOND;
    const address = ({ piece, offset }: Place): number => offsets.get(piece)! + offset;
    const calls = this.steps.map(({ kernel, args, when }): Call => {
      const moved = args.flatMap((arg, i) =>
        typeof arg !== 'number' && !arg.piece.content ? [i] : [],
      );
      const numbers = args.map((arg) => (typeof arg === 'number' ? arg : address(arg)));
      const conditions = when?.map(({ at, open }) => ({ at: address(at), open }));
      return { kernel, args: numbers, moved, ...(conditions ? { when: conditions } : {}) };
    });
    return { calls, weightBytes, arenaBytes: roundUp(arenaBytes), offsets };
  }
}

/** Puts pieces into the arena; returns how long it is. */
function fit(lives: Map<Piece, [number, number]>, offsets: Map<Piece, number>): number {
  const placed: { from: number; to: number; life: [number, number] }[] = [];
  let length = 0;
  for (const [piece, life] of [...lives].sort(([a], [b]) => b.bytes - a.bytes)) {
    const size = roundUp(piece.bytes + BEYOND);
    let at = 0;
    for (const { from, to, life: other } of placed) {
      const together = other[0] <= life[1] && life[0] <= other[1];
      if (together && from < at + size && at < to) at = to;
    }
    offsets.set(piece, at);
    placed.push({ from: at, to: at + size, life });
    placed.sort((a, b) => a.from - b.from);
    length = Math.max(length, at + size);
  }
  return length;
}

/** Writes the weights where they belong. */
export function write(memory: WebAssembly.Memory, offsets: ReadonlyMap<Piece, number>): void {
  for (const [{ content }, at] of offsets) {
    content?.fill(new Uint8Array(memory.buffer, at, content.bytes));
  }
}

function copied({ buffer, byteOffset, byteLength }: ArrayBufferView): Content {
  const bytes = new Uint8Array(buffer, byteOffset, byteLength);
  return { bytes: byteLength, fill: (target) => target.set(bytes) };
}

/** The calls with the arena at `arena`. */
export function moveTo(calls: readonly Call[], arena: number): Call[] {
  return calls.map(({ kernel, args, moved, when }) => {
    const at = [...args];
    for (const i of moved) at[i]! += arena;
    const conditions = when?.map((gate) => ({ ...gate, at: gate.at + arena }));
    return { kernel, args: at, moved, ...(conditions ? { when: conditions } : {}) };
  });
}

/** A runnable form of the calls, on a memory that does not grow any more. */
export function runnable(
  calls: readonly Call[],
  kernels: InferenceKernels,
  memory: WebAssembly.Memory,
): () => void {
  const bound = calls.map(({ kernel, args, when }) => ({
    run: kernels[kernel] as (...args: number[]) => void,
    args,
    when,
  }));
  const values = new Float32Array(memory.buffer);
  return () => {
    for (const { run, args, when } of bound) if (!when || hold(when, values)) run(...args);
  };
}

function hold(conditions: NonNullable<Call['when']>, values: Float32Array): boolean {
  for (const { at, open } of conditions) if (values[at >> 2]! > 0 !== open) return false;
  return true;
}
