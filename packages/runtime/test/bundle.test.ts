import { readFileSync } from 'node:fs';
import * as tfl from '@tensorflow/tfjs-layers';
import { encode } from '@thimble/io';
import { useCpu } from '@thimble/testing';
import { expect, test } from 'vitest';
import { load } from '../src/index.ts';
import { fill } from './networks.ts';

useCpu();

const path = new URL('../dist/bundle.js', import.meta.url).pathname;

test('the runtime in one file needs no other package and computes the same', async () => {
  const imports = [...readFileSync(path, 'utf8').matchAll(/(?:^|;)import\b[^;"]*"([^"]+)"/g)];
  expect(imports.length).toBeGreaterThan(0);
  for (const [, name] of imports) expect(name).toMatch(/^node:/);
  const model = tfl.sequential({
    layers: [
      tfl.layers.conv2d({ filters: 4, kernelSize: 3, activation: 'relu', inputShape: [8, 8, 2] }),
      tfl.layers.flatten(),
      tfl.layers.dense({ units: 5, activation: 'softmax' }),
    ],
  });
  fill(model, 1, 0.5);
  const bytes = await encode(model);
  const bundle: { load: typeof load } = await import(path);
  const x = Float32Array.from({ length: 2 * 8 * 8 * 2 }, (_, i) => Math.sin(i));
  const scores: Float32Array[] = [];
  for (const from of [load, bundle.load]) {
    for (const threads of [1, 2]) {
      const net = await from(bytes, { threads });
      scores.push(net.predict(x));
      net.dispose();
    }
  }
  for (const other of scores) expect(other).toEqual(scores[0]);
  await expect(bundle.load(bytes.subarray(1))).rejects.toThrow('no .thimble file');
});
