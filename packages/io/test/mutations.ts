// Files that nobody wrote: good ones with bytes changed, and a checksum and length that fit all the same.
import { crc32, Random } from '@thimble/base';
import type { Graph } from '@thimble/graph';
import { encodeGraph } from '@thimble/io';

const HEAD = 9;

/** Encodings of every kind, in a network that may use them. */
export function manyWeights(): Graph {
  const random = new Random(9, 'fuzz');
  const graph: Graph = { name: 'many', nodes: [], weights: {}, inputs: ['x'], outputs: [] };
  graph.nodes.push({
    name: 'x',
    op: 'input',
    layer: 'x',
    inputs: [],
    outputs: [[12]],
    attributes: {},
    weights: {},
  });
  const shape = [12, 8];
  const size = 96;
  const data = (value: (i: number) => number, kept = 1) =>
    Float32Array.from({ length: size }, (_, i) => (random.uniform() < kept ? value(i) : 0));
  const step = Float32Array.from({ length: 8 }, (_, i) => 2 ** -i);
  const shared = Float32Array.of(-1.5, -0.25, 0.75, 1.125);
  const add = (
    name: string,
    values: Graph['weights'][string]['encoding']['values'],
    made: Float32Array,
    masked = false,
  ) => {
    const key = `${name}/kernel`;
    const mask = Uint8Array.from(made, (value) => (value === 0 ? 0 : 1));
    const nonzero = mask.reduce((sum, keep) => sum + keep, 0);
    graph.weights[key] = {
      encoding: { shape, values, nonzero, ...(masked ? { mask } : {}) },
      data: made,
    };
    graph.nodes.push({
      name,
      op: 'dense',
      layer: name,
      inputs: [{ node: graph.nodes.at(-1)!.name, output: 0 }],
      outputs: [[8]],
      attributes: { units: 8 },
      weights: { kernel: key },
    });
  };
  add(
    'float',
    { type: 'float', bits: 32 },
    data(() => random.normal()),
  );
  add(
    'half',
    { type: 'float', bits: 16 },
    data(() => random.integer(100) / 64),
  );
  add(
    'affine',
    { type: 'affine', bits: 8, scale: step, zeroPoint: new Int32Array(8).fill(128), axis: 1 },
    data((i) => (random.integer(255) - 127) * step[i % 8]!),
  );
  add(
    'sparse',
    {
      type: 'affine',
      bits: 4,
      scale: Float32Array.of(0.5),
      zeroPoint: Int32Array.of(8),
      axis: null,
    },
    data(() => (random.integer(15) - 7) / 2, 0.1),
    true,
  );
  add(
    'codebook',
    { type: 'codebook', bits: 2, centroids: shared, axis: null },
    data(() => shared[random.integer(4)]!, 0.3),
    true,
  );
  add(
    'powers',
    { type: 'powersOfTwo', bits: 4, top: -1 },
    data(() => (random.integer(2) - 0.5) * 2 ** -random.integer(3)),
  );
  add(
    'binary',
    { type: 'binary', bits: 1, scale: Float32Array.of(0.3), axis: null },
    data(() => (random.integer(2) ? Math.fround(0.3) : -Math.fround(0.3))),
  );
  graph.outputs = [{ node: 'binary', output: 0 }];
  return graph;
}

/** The same network, written in different ways. */
export function seeds(): Uint8Array<ArrayBuffer>[] {
  const graph = manyWeights();
  const labels = ['a', 'b'];
  return (['none', 'huffman', 'arithmetic'] as const).flatMap((entropy) => [
    encodeGraph(graph, { entropy, labels }).bytes,
    encodeGraph(graph, { entropy, indexBits: 2 }).bytes,
  ]);
}

/** Makes the length and the checksum of a file fit what follows them. */
export function resealed(file: Uint8Array): Uint8Array<ArrayBuffer> {
  // The length is in as many bytes as it was; too long a form is a number all the same.
  let end = HEAD;
  while (end < file.length && file[end]! >= 128) end++;
  const bytes = file.slice();
  let left = bytes.length;
  for (let i = HEAD; i <= end && i < bytes.length; i++) {
    bytes[i] = (left & 127) + (i < end ? 128 : 0);
    left >>= 7;
  }
  if (bytes.length >= HEAD) {
    new DataView(bytes.buffer).setUint32(5, crc32(bytes.subarray(HEAD)), true);
  }
  return bytes;
}

/** A file with a few bytes changed, taken out, put in or doubled; three times of four its checksum fits. */
export function mutated(files: readonly Uint8Array[], random: Random): Uint8Array {
  let bytes = files[random.integer(files.length)]!.slice();
  const times = 1 + random.integer(4);
  for (let n = 0; n < times; n++) {
    const at = random.integer(bytes.length);
    switch (random.integer(6)) {
      case 0:
        bytes[at] = random.integer(256);
        break;
      case 1:
        bytes[at]! ^= 1 << random.integer(8);
        break;
      case 2:
        bytes = bytes.slice(0, at + 1);
        break;
      case 3:
        bytes = Uint8Array.from([
          ...bytes.subarray(0, at),
          ...bytes.subarray(at + random.integer(8)),
        ]);
        break;
      case 4:
        bytes = Uint8Array.from([...bytes.subarray(0, at), 255, 255, 127, ...bytes.subarray(at)]);
        break;
      default: {
        const other = files[random.integer(files.length)]!;
        bytes = Uint8Array.from([
          ...bytes.subarray(0, at),
          ...other.subarray(Math.min(at, other.length)),
        ]);
      }
    }
    if (bytes.length === 0) bytes = Uint8Array.of(0);
  }
  return random.integer(4) === 0 ? bytes : resealed(bytes);
}
