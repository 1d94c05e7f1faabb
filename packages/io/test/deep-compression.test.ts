// Deep Compression's sizes (Han, Mao, Dally, 2016, tables 2 and 3) against what the encoder writes.
import { Random, sizeOf } from '@thimble/base';
import type { GraphWeight } from '@thimble/graph';
import { readWeight, Workspace } from '@thimble/runtime/file';
import { expect, it } from 'vitest';
import { storeWeight } from '../src/store-weight.ts';

/** Bytes of a weight's head, at most. */
const HEAD = 24;

/** A kernel with a share of its entries kept at random, their values from a codebook of 2^bits - 1. */
function pruned(shape: number[], share: number, bits: number): GraphWeight {
  const random = new Random(7, shape.join());
  const centroids = Float32Array.from({ length: 2 ** bits - 1 }, () => random.normal()).sort();
  const kept = new Set<number>();
  const order = random.permutation(sizeOf(shape));
  for (let i = 0; i < Math.round(share * order.length); i++) kept.add(order[i]!);
  const data = Float32Array.from({ length: order.length }, (_, i) =>
    kept.has(i) ? centroids[random.integer(centroids.length)]! : 0,
  );
  const mask = Uint8Array.from(data, (value) => (value === 0 ? 0 : 1));
  const values = { type: 'codebook', bits, centroids, axis: null } as const;
  return { encoding: { shape, values, mask, nonzero: kept.size }, data };
}

// Sizes in percent of float32 by (kept + fillers) (weight bits + index bits) + 32 bits for each of 2^bits
// values, for zeros at random places. The paper, whose zeros are not quite at random, has 3.1, 3.8, 15.7 and
// 78.5, 6.0, 2.7, 6.9.
it.each([
  ['LeNet-300-100 ip1', [784, 300], 0.08, 6, 2.98],
  ['LeNet-300-100 ip2', [300, 100], 0.09, 6, 3.47],
  ['LeNet-300-100 ip3', [100, 10], 0.26, 6, 15.3],
  ['LeNet-5 conv1', [5, 5, 1, 20], 0.66, 8, 78.0],
  ['LeNet-5 conv2', [5, 5, 20, 50], 0.12, 8, 5.98],
  ['LeNet-5 ip1', [800, 500], 0.08, 5, 2.69],
  ['LeNet-5 ip2', [500, 10], 0.19, 5, 6.58],
])('%s', (_, shape, share, bits, percent) => {
  const weight = pruned(shape, share, bits);
  const stored = storeWeight(weight, { entropies: ['none'], layouts: ['gaps'], gapBits: 5 });
  const size = (100 * stored.bytes.length) / (4 * sizeOf(shape));
  // The head of a weight (shape, codes, lengths), which the model leaves out, is more than that of 500 weights.
  const head = (100 * HEAD) / (4 * sizeOf(shape));
  expect(Math.abs(size - percent)).toBeLessThan(0.4 + head);
  // To the byte: what the model says, but for one value less, and the head of the weight.
  const { nonzero } = weight.encoding;
  const model = ((nonzero + stored.fillers) * (bits + 5)) / 8 + 4 * (2 ** bits - 1);
  expect(stored.bytes.length - model).toBeGreaterThan(0);
  expect(stored.bytes.length - model).toBeLessThan(HEAD);
});

it('stores fillers exactly where a gap is more than 2^bits', () => {
  const data = new Float32Array(100);
  // Distances 1, 4, 5, 12 and 78 with 2 bits: none, none, 1, 2 and 19 fillers.
  for (const place of [0, 4, 9, 21, 99]) data[place] = 1.5;
  const values = { type: 'float', bits: 32 } as const;
  const weight: GraphWeight = { encoding: { shape: [100], values, nonzero: 5 }, data };
  const stored = storeWeight(weight, { entropies: ['none'], layouts: ['gaps'], gapBits: 2 });
  expect(stored.fillers).toBe(22);
});

it('counts gaps output by output where that is shorter', () => {
  // One output of 100 is kept: 64 entries in a row behind 3 * 64, which takes 48 fillers of 4. In the order of
  // the entries each of them is 100 from the next.
  const [inputs, outputs] = [64, 100];
  const data = new Float32Array(inputs * outputs);
  for (let i = 0; i < inputs; i++) data[i * outputs + 3] = 1 + i;
  const values = { type: 'float', bits: 32 } as const;
  const weight: GraphWeight = {
    encoding: { shape: [inputs, outputs], values, nonzero: inputs },
    data,
  };
  const stored = storeWeight(weight, { entropies: ['none'], layouts: ['gaps'], gapBits: 2 });
  expect(stored.fillers).toBe(48);
  const back = Workspace.use((work) => readWeight(work.open(stored.bytes), { values: 1e6 }, work));
  expect(back.data).toEqual(data);
});
