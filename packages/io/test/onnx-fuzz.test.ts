// ONNX files that are not to be trusted.
import { readFile } from 'node:fs/promises';
import * as tf from '@tensorflow/tfjs-core';
import { FileFormatError, Random, ThimbleError, UnsupportedError } from '@thimble/base';
import { fromOnnx, graphOfOnnx } from '@thimble/io';
import { useCpu } from '@thimble/testing';
import { expect, it } from 'vitest';
import { encodeModel, type OnnxModel, type OnnxNode } from '../src/onnx/messages.ts';

useCpu();

const RUNS = Number(process.env.THIMBLE_FUZZ_FILES ?? 600);
const SEED = Number(process.env.THIMBLE_FUZZ_SEED ?? 1);
const MOST_MEMORY = 64 * 2 ** 20;

const read = (name: string) => readFile(new URL(`onnx/${name}.onnx`, import.meta.url));

/** A file with some bytes changed, left out, doubled or cut off. */
function mutated(files: Uint8Array[], random: Random): Uint8Array {
  const bytes = Uint8Array.from(files[random.integer(files.length)]!);
  const at = () => random.integer(bytes.length);
  switch (random.integer(4)) {
    case 0:
      return bytes.subarray(0, at());
    case 1: {
      const [from, to, length] = [at(), at(), random.integer(64)];
      bytes.copyWithin(to, from, from + length);
      return bytes;
    }
    case 2: {
      const from = at();
      const cut = random.integer(16);
      return Uint8Array.from([...bytes.subarray(0, from), ...bytes.subarray(from + cut)]);
    }
    default:
      for (let i = random.integer(8); i >= 0; i--) bytes[at()] = random.integer(256);
      return bytes;
  }
}

it('mutated files are read or refused by name, in bounded memory', async () => {
  const files = await Promise.all(['images', 'sequences', 'u8s8', 's8s8'].map(read));
  const random = new Random(SEED, 'onnx');
  const tensors = tf.memory().numTensors;
  let [taken, refused] = [0, 0];
  for (let run = 0; run < RUNS; run++) {
    const bytes = mutated(files, random);
    const before = process.memoryUsage().arrayBuffers;
    try {
      fromOnnx(bytes).dispose();
      taken++;
    } catch (error) {
      refused++;
      if (!(error instanceof ThimbleError)) {
        throw new Error(`run ${run} of seed ${SEED}: ${error}`, { cause: error });
      }
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(MOST_MEMORY);
  }
  expect(taken).toBeGreaterThan(0);
  expect(refused).toBeGreaterThan(0);
  expect(tf.memory().numTensors).toBe(tensors);
}, 3_600_000);

it('every file that is cut off is refused', async () => {
  const bytes = await read('sequences');
  for (let length = 0; length < bytes.length; length++) {
    expect(() => graphOfOnnx(bytes.subarray(0, length))).toThrow(FileFormatError);
  }
});

const value = (name: string, ...sizes: number[]) => ({
  name,
  type: { tensor: { element: 1, shape: { dims: sizes.map((size) => ({ size })) } } },
});
const node = (op: string, inputs: string[], output: string): OnnxNode => ({
  op,
  inputs,
  outputs: [output],
  attributes: [],
});
const none = { floats: [], ints: [], longs: [], doubles: [] };

function file(
  nodes: OnnxNode[],
  more: Partial<NonNullable<OnnxModel['graph']>> = {},
  version = 13,
): Uint8Array {
  const graph = { name: 'made', nodes, initializers: [], inputs: [value('x', 1, 3)], outputs: [] };
  const outputs = [value(nodes.at(-1)?.outputs[0] ?? 'x', 1, 3)];
  return encodeModel({
    irVersion: 7,
    opsets: [{ version }],
    graph: { ...graph, outputs, ...more },
  });
}

it('names what it does not know', () => {
  expect(() => graphOfOnnx(file([node('Einsum', ['x'], 'y')]))).toThrow(UnsupportedError);
  expect(() => graphOfOnnx(file([node('Einsum', ['x'], 'y')]))).toThrow(/"y", a Einsum/);
  const own = { ...node('Relu', ['x'], 'y'), domain: 'com.microsoft' };
  expect(() => graphOfOnnx(file([own]))).toThrow(/of com.microsoft/);
  expect(() => graphOfOnnx(file([node('Relu', ['x'], 'y')], {}, 6))).toThrow(/operator set 6/);
  const shape = node('Reshape', ['x', 'x'], 'y');
  expect(() => graphOfOnnx(file([shape]))).toThrow(/must be a constant/);
});

it('refuses cycles, missing values and no graph', () => {
  const cycle = [node('Relu', ['b'], 'a'), node('Relu', ['a'], 'b')];
  expect(() => graphOfOnnx(file(cycle))).toThrow(/no node before it gives/);
  expect(() => graphOfOnnx(file([], { outputs: [value('z', 1)] }))).toThrow(FileFormatError);
  expect(() => graphOfOnnx(new Uint8Array(0))).toThrow(/no graph/);
});

it('refuses files that want more than they bring', () => {
  const big = { name: 'w', dims: [2 ** 20, 2 ** 20], type: 1, raw: new Uint8Array(4), ...none };
  const gemm = node('Gemm', ['x', 'w'], 'y');
  expect(() => graphOfOnnx(file([gemm], { initializers: [big] }))).toThrow(/has 1 values/);
  const relus = Array.from({ length: 5000 }, (_, i) =>
    node('Relu', [i ? `y${i - 1}` : 'x'], `y${i}`),
  );
  expect(() => graphOfOnnx(file(relus))).toThrow(/5000 nodes/);
  // A square matrix, used again and again.
  const dims = [300, 300];
  const raw = new Uint8Array(4 * 300 * 300);
  const square = { name: 'w', dims, type: 1, raw, ...none };
  const products = Array.from({ length: 100 }, (_, i) =>
    node('MatMul', [i ? `y${i - 1}` : 'x', 'w'], `y${i}`),
  );
  const often = file(products, { initializers: [square], inputs: [value('x', 1, 300)] });
  expect(() => graphOfOnnx(often)).toThrow(/more often than a network would/);
  const elsewhere = { name: 'w', dims: [3, 3], type: 1, location: 1, ...none };
  expect(() => graphOfOnnx(file([gemm], { initializers: [elsewhere] }))).toThrow(/another file/);
});

it('long chains end in a name too', () => {
  const relus = Array.from({ length: 4000 }, (_, i) =>
    node('Relu', [i ? `y${i - 1}` : 'x'], `y${i}`),
  );
  try {
    fromOnnx(file(relus)).dispose();
  } catch (error) {
    expect(error).toBeInstanceOf(ThimbleError);
  }
});
