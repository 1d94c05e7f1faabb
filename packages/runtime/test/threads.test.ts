import * as tfl from '@tensorflow/tfjs-layers';
import { OptionError, ShapeError, UnsupportedError } from '@thimble/base';
import { useCpu } from '@thimble/testing';
import { expect, test } from 'vitest';
import { pack } from '../src/index.ts';
import { fill, inputsFor, lower } from './networks.ts';

useCpu();
const { layers } = tfl;

function network(): tfl.LayersModel {
  const model = tfl.sequential({
    layers: [
      layers.conv2d({ filters: 6, kernelSize: 3, activation: 'relu', inputShape: [8, 8, 2] }),
      layers.flatten(),
      layers.dense({ units: 5, activation: 'softmax' }),
    ],
  });
  fill(model, 1, 0.5);
  return model;
}

test('threads give what one does, for batches of any size', async () => {
  const model = network();
  const graph = lower(model);
  const one = await pack(graph);
  const three = await pack(graph, { threads: 3 });
  expect(one.explain().threads).toBe(1);
  expect(three.explain().threads).toBe(3);
  for (const batch of [1, 2, 3, 7, 48, 49, 100]) {
    const [x] = inputsFor(model, batch, batch);
    const alone = one.predict(x!);
    expect(three.predict(x!)).toEqual(alone);
    const into = new Float32Array(alone.length);
    expect(three.predict(x!, { into })).toBe(into);
    expect(into).toEqual(alone);
  }
  three.dispose();
  one.dispose();
  model.dispose();
});

test('several networks at once, each with its own memory; a disposed one says so', async () => {
  const [a, b] = [network(), network()];
  fill(b, 2);
  const [x] = inputsFor(a, 1, 3);
  const first = await pack(lower(a));
  const alone = first.predict(x!);
  const second = await pack(lower(b));
  expect(second.predict(x!)).not.toEqual(alone);
  expect(first.predict(x!)).toEqual(alone);
  second.dispose();
  second.dispose();
  expect(() => second.predict(x!)).toThrow(UnsupportedError);
  const third = await pack(lower(b));
  expect(first.predict(x!)).toEqual(alone);
  expect(() => third.predict(new Float32Array(5))).toThrow(ShapeError);
  expect(() => third.predict(x!, { batch: 2 })).toThrow('a batch of 2 takes 256');
  expect(() => third.predict({ nothing: x! })).toThrow('no input is named "nothing"');
  await expect(pack(lower(a), { threads: 0 })).rejects.toThrow(OptionError);
  first.dispose();
  third.dispose();
});

test('a thousand networks one after the other need the memory of few', async () => {
  const graph = lower(network());
  const x = new Float32Array(128).fill(0.5);
  const Memory = WebAssembly.Memory;
  let count = 0;
  WebAssembly.Memory = class extends Memory {
    constructor(...args: ConstructorParameters<typeof Memory>) {
      super(...args);
      count++;
    }
  };
  try {
    for (let i = 0; i < 1000; i++) {
      const net = await pack(graph);
      net.predict(x);
      net.dispose();
    }
  } finally {
    WebAssembly.Memory = Memory;
  }
  expect(count).toBeLessThan(3);
});
