// The bytes of a .thimble file from a graph whose weights say how they are to be stored.
import { crc32, sizeOf } from '@thimble/base';
import type { Graph } from '@thimble/graph';
import {
  type FileNotes,
  FREE_VALUES,
  HEAD,
  MAGIC,
  VALUES_PER_BYTE,
  VERSION,
} from '@thimble/runtime/file';
import { ArithmeticEncoder } from './arithmetic/encoder.ts';
import { codeText } from './arithmetic/text-model.ts';
import { ByteWriter } from './byte-writer.ts';
import { describe } from './describe.ts';
import { phrasesOf } from './phrases.ts';
import { type Entropies, type Stored, storeWeight } from './store-weight.ts';

/** A file, and what each weight takes in it. */
export interface WrittenFile {
  bytes: Uint8Array<ArrayBuffer>;
  /** Bytes of all but the weights. */
  header: number;
  weights: Map<string, Stored>;
}

/** Writes weight by weight; says after each how many entries it had. */
export function* writeFile(
  graph: Graph,
  notes: FileNotes,
  entropies: Entropies,
): Generator<number, WrittenFile> {
  const { keys } = describe(graph, notes);
  const body = new ByteWriter();
  const weights = new Map<string, Stored>();
  for (const key of keys) {
    const weight = graph.weights[key]!;
    const stored = storeWeight(weight, entropies);
    weights.set(key, stored);
    body.append(stored.bytes);
    yield sizeOf(weight.encoding.shape);
  }
  const written = body.done();
  const bytes = joinFile(graph, notes, written);
  return { bytes, header: bytes.length - written.length, weights };
}

/** The file of a description and weights that are written already. */
export function joinFile(
  graph: Graph,
  notes: FileNotes,
  weights: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const { text, keys } = describe(graph, notes);
  const raw = phrasesOf(text);
  const coder = new ArithmeticEncoder();
  codeText(coder, raw);
  const body = new ByteWriter();
  body.varint(raw.length);
  body.section(coder.done());
  body.append(weights);
  const rest = body.done();
  // A reader allows so many values for every byte: zeros make up for it where a file is smaller still.
  const values = keys.reduce((sum, key) => {
    const { shape } = graph.weights[key]!.encoding;
    return sum + shape.reduce((n, size) => n * Math.max(1, size), 1);
  }, 0);
  const least = values <= FREE_VALUES ? 0 : Math.ceil(values / VALUES_PER_BYTE);
  let lengthBytes = 1;
  while (HEAD + lengthBytes + rest.length >= 128 ** lengthBytes || least >= 128 ** lengthBytes) {
    lengthBytes++;
  }
  const total = Math.max(least, HEAD + lengthBytes + rest.length);
  const bytes = new Uint8Array(total);
  const head = new ByteWriter();
  head.varint(total);
  bytes.set(MAGIC);
  bytes[MAGIC.length] = VERSION;
  bytes.set(head.done(), HEAD);
  bytes.set(rest, HEAD + lengthBytes);
  new DataView(bytes.buffer).setUint32(MAGIC.length + 1, crc32(bytes.subarray(HEAD)), true);
  return bytes;
}
