// The memory in which a file is decoded.
import { DECODING_BYTES, type DecodingKernels, decodingKernels } from '@thimble/kernels/decoding';
import { ByteReader } from './reader.ts';

const PAGE = 65_536;
/** A memory of more bytes is left to the garbage collector: it would never become smaller. */
const MOST_KEPT = 2 ** 24;
const CODER = 64;
const TABLES = 128;
const START: number = TABLES + DECODING_BYTES.tables;

/** An address in a {@link Workspace}. */
export type Address = number;

let kept: Workspace | undefined;

/**
 * A file in memory, and behind it room for what is made of it. Views of the memory are made when they are needed: they
 * end where it grows.
 */
export class Workspace {
  readonly kernels: DecodingKernels;
  readonly coder: Address = CODER;
  readonly tables: Address = TABLES;
  /** Where the file begins. */
  file: Address = START;
  readonly #memory: WebAssembly.Memory;
  #next: Address = START;
  #reader: ByteReader | undefined;
  #fileBytes = 0;

  private constructor() {
    this.#memory = new WebAssembly.Memory({ initial: 4 });
    this.kernels = decodingKernels(this.#memory);
    this.kernels.prepare(TABLES);
  }

  /**
   * Calls `run` with the workspace of this thread, and then frees what was taken. `run` may do so again; it must not
   * wait for anything.
   *
   * @throws RangeError where there is not enough memory.
   */
  static use<T>(run: (work: Workspace) => T): T {
    kept ??= new Workspace();
    const work = kept;
    const { mark } = work;
    try {
      return run(work);
    } finally {
      work.rewind(mark);
      if (mark === START && work.#memory.buffer.byteLength > MOST_KEPT) kept = undefined;
    }
  }

  /** Takes in a file; returns what reads it. */
  open(file: Uint8Array): ByteReader {
    const reader = this.room(file.length);
    reader.bytes.set(file);
    return reader;
  }

  /** Room for a file of so many bytes; returns what reads it once its bytes are there. */
  room(bytes: number): ByteReader {
    this.#reader = undefined;
    this.file = this.take(bytes);
    this.#fileBytes = bytes;
    this.#reader = new ByteReader(this.bytes(this.file, bytes));
    return this.#reader;
  }

  /** What was taken until now; {@link rewind} frees what is taken later. */
  get mark(): Address {
    return this.#next;
  }

  rewind(mark: Address): void {
    this.#next = mark;
  }

  /** Room for so many bytes, and 16 more that may be read; what it holds is not known. */
  take(bytes: number): Address {
    const at = this.#next;
    this.#next = Math.ceil((at + bytes + 16) / 8) * 8;
    const missing = this.#next - this.#memory.buffer.byteLength;
    if (missing <= 0) return at;
    this.#memory.grow(Math.ceil(missing / PAGE));
    if (this.#reader) this.#reader.bytes = this.bytes(this.file, this.#fileBytes);
    return at;
  }

  /** As {@link take}, filled with zeros. */
  zeros(bytes: number): Address {
    const at = this.take(bytes);
    this.bytes(at, bytes).fill(0);
    return at;
  }

  /** Room that holds a copy of some values. */
  put({ buffer, byteOffset, byteLength }: ArrayBufferView): Address {
    const at = this.take(byteLength);
    this.bytes(at, byteLength).set(new Uint8Array(buffer, byteOffset, byteLength));
    return at;
  }

  /** Moves what lies behind a mark to it, and frees all else behind that; returns where it is then. */
  keep(mark: Address, at: Address, bytes: number): Address {
    if (at < mark) {
      this.rewind(mark);
      return at;
    }
    if (at > mark) new Uint8Array(this.#memory.buffer).copyWithin(mark, at, at + bytes);
    this.rewind(mark);
    return this.take(bytes);
  }

  /** Moves values of four bytes to where a view of them may begin, at most three bytes to the front. */
  align(at: Address, bytes: number): Address {
    const to = at - (at % 4);
    if (to !== at) new Uint8Array(this.#memory.buffer).copyWithin(to, at, at + bytes);
    return to;
  }

  /** A view of bytes. */
  bytes(at: Address, count: number): Uint8Array {
    return new Uint8Array(this.#memory.buffer, at, count);
  }

  /** A view of whole numbers. */
  words(at: Address, count: number): Int32Array {
    return new Int32Array(this.#memory.buffer, at, count);
  }

  /** A view of floats. */
  reals(at: Address, count: number): Float32Array {
    return new Float32Array(this.#memory.buffer, at, count);
  }

  /** A copy of floats. */
  floats(at: Address, count: number): Float32Array {
    return this.reals(at, count).slice();
  }

  /** The arithmetic coder before the first bit of some bytes of the file. */
  begin(from: number, count: number): void {
    const words = new Uint32Array(this.#memory.buffer, CODER, 5);
    const bytes = this.bytes(this.file + from, Math.min(4, count));
    let code = 0;
    for (let i = 0; i < 4; i++) code = code * 256 + (bytes[i] ?? 0);
    const at = this.file + from;
    words.set([0, 0xffffffff, code, at + 4, at + count]);
  }
}
