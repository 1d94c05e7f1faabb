// Long training of every layer leaves as many tensors, buffers and bytes as a few steps do.
import '../src/index.ts';
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import { beforeAll, describe, expect, test } from 'vitest';
import { registerChainedOps } from './helpers.ts';
import { batch, chain, merge, merges, withoutWeights, withWeights } from './layer-cases.ts';

const STEPS = process.env.THIMBLE_FUZZ_RUNS ? 1000 : 100;
const WARM_UP = 20;

interface Heap {
  _malloc(bytes: number): number;
  _free(pointer: number): void;
}

/** What is allocated on the heap and not freed: pointer and bytes. */
const held = new Map<number, number>();

beforeAll(async () => {
  registerChainedOps();
  tf.env().set('IS_TEST', false); // the engine's own leak check miscounts fused ops
  tf.env().set('PROD', true);
  await tf.setBackend('thimble');
  tf.dispose(tf.square(tf.ones([2]))); // from the first allocation on the functions below stay the same
  const wasm = (tf.backend() as unknown as BackendWasm).wasm as unknown as Heap;
  const { _malloc, _free } = wasm;
  wasm._malloc = (bytes) => {
    const pointer = _malloc(bytes);
    held.set(pointer, bytes);
    return pointer;
  };
  wasm._free = (pointer) => {
    held.delete(pointer);
    _free(pointer);
  };
});

function state() {
  const { numTensors, numDataBuffers, numBytes } = tf.memory();
  const backend = tf.backend() as unknown as BackendWasm & { wasm: { HEAPU8: Uint8Array } };
  return {
    tensors: numTensors,
    buffers: numDataBuffers,
    bytes: numBytes,
    dataIds: backend.numDataIds(),
    heap: backend.wasm.HEAPU8.length,
    allocations: held.size,
    allocated: [...held.values()].reduce((sum, bytes) => sum + bytes, 0),
  };
}

async function expectNoLeak(build: () => tfl.LayersModel, ids?: number): Promise<void> {
  const model = build();
  model.compile({ optimizer: tf.train.adam(1e-3), loss: 'meanSquaredError' });
  const [x, y] = batch(model, ids);
  const train = async (steps: number): Promise<void> => {
    for (let i = 0; i < steps; i++) await model.trainOnBatch(x, y);
  };
  await train(WARM_UP);
  const before = state();
  expect(before.allocations).toBeGreaterThan(0);
  await train(STEPS - WARM_UP);
  expect(state()).toEqual(before);
  model.dispose();
  tf.dispose([x, y]);
}

describe(`${STEPS} steps leave nothing behind:`, () => {
  test.each([...withWeights, ...withoutWeights])(
    '%s',
    (_, shape, make, options) => expectNoLeak(() => chain(shape, make), options?.ids),
    300_000,
  );
  test.each(Object.entries(merges))('%s', (_, make) => expectNoLeak(() => merge(make)), 300_000);
});
