// Weights of many millions of entries: none of them is handed out of a tidy, which would look at each.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { lower, parametrize } from '@thimble/core';
import { codebook, fakeQuant, hashed, powersOfTwo } from '@thimble/quantization';
import { useCpu } from '@thimble/testing';
import { afterEach, expect, it, vi } from 'vitest';

useCpu();
afterEach(() => vi.restoreAllMocks());

it.each([
  ['codebook', codebook({ clusters: 4 })],
  ['hashed', hashed({ buckets: 10 })],
  ['powersOfTwo', powersOfTwo({ bits: 4 })],
  ['fakeQuant', fakeQuant({ bits: 8 })],
])('%s reads its weight outside a tidy', (_, transform) => {
  const spy = vi.spyOn(tf.engine(), 'tidy');
  const layer = tfl.layers.dense({ units: 8, inputShape: [4] });
  parametrize(layer, { kernel: [transform] });
  const model = tfl.sequential({ layers: [layer] });
  lower(model);
  const results = spy.mock.results.map(({ value }) => value);
  expect(results.length).toBeGreaterThan(0);
  expect(results.filter((value) => ArrayBuffer.isView(value))).toEqual([]);
});
