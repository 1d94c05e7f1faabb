// Mutated files that are loaded for the packed runtime, which packs weights from where the file was read: what comes out is
// what packing the decoded network gives, or an error by name. `npm run fuzz -- --only files` runs it for longer.
import * as tfl from '@tensorflow/tfjs-layers';
import { countNonzero, Random, ThimbleError, withSeed } from '@thimble/base';
import { lower } from '@thimble/core';
import { type EncodeOptions, encodeGraph } from '@thimble/io';
import { decode, load, type PackedModel, pack } from '@thimble/runtime';
import { useCpu } from '@thimble/testing';
import { expect, it } from 'vitest';
import { expectNoGrowth } from './growth.ts';
import { mutated } from './mutations.ts';

useCpu();

const RUNS = Math.ceil(Number(process.env.THIMBLE_FUZZ_FILES ?? 2000) / 5);
const LOADS = Number(process.env.THIMBLE_LOADS ?? 300);
const SEED = Number(process.env.THIMBLE_FUZZ_SEED ?? 1);
const SIDE = 6;

function network(): tfl.LayersModel {
  const { layers } = tfl;
  return tfl.sequential({
    layers: [
      layers.conv2d({ filters: 4, kernelSize: 3, inputShape: [SIDE, SIDE, 1], activation: 'relu' }),
      layers.depthwiseConv2d({ kernelSize: 2 }),
      layers.conv2d({ filters: 6, kernelSize: 1, activation: 'relu' }),
      layers.flatten(),
      layers.dense({ units: 20, activation: 'relu' }),
      layers.dense({ units: 3, activation: 'softmax' }),
    ],
  });
}

/** Files of a network of convolutions and dense layers, a fifth of its weights kept where they are to be sparse. */
function files(): Uint8Array<ArrayBuffer>[] {
  const model = withSeed(5, network);
  const graph = lower(model);
  const random = new Random(3, 'sparse');
  const sparse = Object.fromEntries(
    Object.entries(graph.weights).map(([key, { encoding, data }]) => {
      const kept = data!.map((value) => (random.uniform() < 0.2 ? value : 0));
      return [key, { data: kept, encoding: { ...encoding, nonzero: countNonzero(kept) } }];
    }),
  );
  model.dispose();
  const forms = [undefined, 'float16', 'int8', 'int4'] as const;
  return (['none', 'huffman', 'arithmetic'] as const).flatMap((entropy) =>
    [graph, { ...graph, weights: sparse }].flatMap((each) =>
      forms.map((weights) => {
        const options: EncodeOptions = { entropy, ...(weights ? { weights } : {}) };
        return encodeGraph(each, options).bytes;
      }),
    ),
  );
}

/** What a network computes, bit for bit; or the kind of its error. */
async function outcome(making: Promise<PackedModel>): Promise<string> {
  try {
    const net = await making;
    const sizes = Object.fromEntries(
      net.inputs.map(({ name, size }) => [name, new Float32Array(size).fill(0.5)]),
    );
    const found = net.predict(sizes);
    const outputs = found instanceof Float32Array ? [found] : Object.values(found);
    net.dispose();
    // Every NaN is one.
    return outputs.map((values) => Array.from(values, (v) => `${v}`).join()).join(';');
  } catch (error) {
    if (error instanceof ThimbleError) return error.name;
    throw error;
  }
}

it('mutated files are packed as what is decoded, or refused by name', async () => {
  const good = files();
  const random = new Random(SEED, 'packed files');
  let ran = 0;
  for (let run = 0; run < RUNS; run++) {
    const bytes = mutated(good, random);
    const loaded = await outcome(load(bytes));
    const packed = await outcome(decode(bytes).then(({ graph }) => pack(graph)));
    if (loaded !== packed && !(loaded.endsWith('Error') && packed.endsWith('Error'))) {
      throw new Error(`run ${run} of seed ${SEED}: ${loaded} where packing gives ${packed}`);
    }
    if (!loaded.endsWith('Error')) ran++;
  }
  expect(ran).toBeGreaterThan(RUNS / 50);
  expect(ran).toBeLessThan(RUNS);
}, 3_600_000);

it('loads and disposals take no memory', async () => {
  const good = files();
  await expectNoGrowth(async (i) => (await load(good[i % good.length]!)).dispose(), LOADS);
}, 3_600_000);
