// Compiled modules: what the engine can run, how the bytes are carried, and what memory they ask for.

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

/** The bytes of a module that the build wrote in base64, or those of another build, which are edits of it. */
export function decodeModule(text: string, edits?: string): Uint8Array<ArrayBuffer> {
  const bytes = fromBase64(text);
  return edits === undefined ? bytes : edited(bytes, fromBase64(edits));
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  let bytes: Uint8Array<ArrayBuffer>;
  const { Buffer } = globalThis as { Buffer?: { from(text: string, code: string): typeof bytes } };
  if (Buffer) return Buffer.from(text, 'base64');
  const characters = atob(text);
  bytes = new Uint8Array(characters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i);
  return bytes;
}

/** Applies edits; scripts/edits.mjs says what they are. */
function edited(old: Uint8Array, edits: Uint8Array): Uint8Array<ArrayBuffer> {
  const cursor = { at: 0 };
  const number = (): number => readLeb(edits, cursor);
  const made = new Uint8Array(number());
  for (let to = 0, from = 0; to < made.length; ) {
    const fresh = number();
    made.set(edits.subarray(cursor.at, cursor.at + fresh), to);
    cursor.at += fresh;
    to += fresh;
    const jump = number();
    from += jump & 1 ? -((jump + 1) >> 1) : jump >> 1;
    const length = number();
    made.set(old.subarray(from, from + length), to);
    to += length;
    from += length;
  }
  return made;
}

/** What the number of the section of imports is. */
const IMPORTS = 2;

/**
 * The module with another import of its memory: one that is shared between threads, of at most `pages` pages.
 * Our modules import that memory and nothing else; no instruction depends on whether it is shared.
 */
export function withSharedMemory(
  bytes: Uint8Array<ArrayBuffer>,
  pages: number,
): Uint8Array<ArrayBuffer> {
  const name = (text: string) => [text.length, ...new TextEncoder().encode(text)];
  const SHARED = 3; // with a largest size
  const content = [1, ...name('env'), ...name('memory'), 2, SHARED, ...leb(0), ...leb(pages)];
  const cursor = { at: 8 };
  while (cursor.at < bytes.length) {
    const start = cursor.at;
    const id = bytes[cursor.at++];
    const size = readLeb(bytes, cursor);
    cursor.at += size;
    if (id !== IMPORTS) continue;
    return Uint8Array.of(
      ...bytes.subarray(0, start),
      ...[IMPORTS, ...leb(content.length), ...content],
      ...bytes.subarray(cursor.at),
    );
  }
  return bytes;
}

/** Reads an unsigned number in seven bits a byte, and moves the cursor behind it. */
function readLeb(bytes: Uint8Array, cursor: { at: number }): number {
  let value = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[cursor.at++]!;
    value |= (byte & 127) << shift;
    if (byte < 128) return value;
  }
}

/** An unsigned number in seven bits a byte. */
function leb(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...leb(value >>> 7)];
}
