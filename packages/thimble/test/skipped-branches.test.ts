// Branches behind closed gates on packed kernels: they are not computed at all.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { useCpu } from '@thimble/testing';
import { layers, lower, runtime } from 'thimble';
import { describe, expect, it } from 'vitest';

useCpu();

type Layer = tfl.layers.Layer;
const stock = tfl.layers;
const shape = [4, 4, 8];
const size = 4 * 4 * 8;
const conv = { filters: 8, kernelSize: 3, padding: 'same' } as const;

/** A gated layer whose gates open where the mean of the input is above 0. */
function gated(layer: Layer): tfl.LayersModel {
  const input = tfl.input({ shape });
  const model = tfl.model({ inputs: input, outputs: layer.apply(input) as tfl.SymbolicTensor });
  const weights = model.getWeights().map((weight, i) => {
    const name = model.weights[i]!.originalName;
    if (/gate\/kernel/.test(name)) return tf.onesLike(weight);
    if (/gate\/bias/.test(name)) return tf.zerosLike(weight);
    return tf.randomNormal(weight.shape, 0, 0.3, 'float32', i);
  });
  model.setWeights(weights);
  return model;
}

/** The network with NaN for the weights of the branches: whatever is computed with them is NaN. */
function spoiled(model: tfl.LayersModel): ReturnType<typeof lower> {
  const graph = lower(model);
  let count = 0;
  for (const [name, weight] of Object.entries(graph.weights)) {
    if (/gate\/(kernel|bias)/.test(name)) continue;
    graph.weights[name] = { ...weight, data: new Float32Array(weight.data!.length).fill(NaN) };
    count++;
  }
  expect(count).toBeGreaterThan(0);
  return graph;
}

const block = (inner: Layer[]) => layers.gatedBlock({ layers: inner, hidden: 0, bias: 0 });
const MADE: Record<string, () => Layer> = {
  gatedBlock: () => block([stock.conv2d({ ...conv, activation: 'relu' }), stock.conv2d(conv)]),
  'gatedBlock in a gatedBlock': () => block([stock.conv2d(conv), block([stock.conv2d(conv)])]),
  'gatedConv2d of one group': () => layers.gatedConv2d({ ...conv, groups: 1, hidden: 0, bias: 0 }),
  'gatedConv2d of four groups': () =>
    layers.gatedConv2d({ ...conv, groups: 4, hidden: 0, bias: 0 }),
};
const sign = (n: number) => (n % 3 === 0 ? 1 : -1);
const examples = Float32Array.from({ length: 7 * size }, (_, i) => {
  return sign(Math.floor(i / size)) * (1 + (i % 5));
});

describe.each(Object.entries(MADE))('%s', (name, make) => {
  it.each([1, 3])('computes no branch behind a closed gate, with %d threads', async (threads) => {
    const net = await runtime.pack(spoiled(gated(make())), { threads });
    const found = net.predict(examples);
    for (let n = 0; n < 7; n++) {
      const own = found.subarray(n * size, (n + 1) * size);
      if (sign(n) > 0) expect(own.every(Number.isNaN)).toBe(true);
      else {
        const closed = examples.slice(n * size, (n + 1) * size);
        expect(own).toEqual(name.startsWith('gatedBlock') ? closed : new Float32Array(size));
      }
    }
    net.dispose();
  });

  it('gives what the layers give', async () => {
    const model = gated(make());
    const net = await runtime.pack(lower(model));
    const expected = tf.tidy(() => {
      return (model.predict(tf.tensor(examples, [7, ...shape])) as tf.Tensor).dataSync();
    });
    const found = net.predict(examples);
    found.forEach((value, i) => {
      expect(Math.abs(value - expected[i]!)).toBeLessThan(1e-3);
    });
    net.dispose();
  });
});

it('multiplies by the gate where the branch is the input itself', async () => {
  const model = gated(block([stock.dropout({ rate: 0.5 })]));
  const net = await runtime.pack(lower(model));
  const doubled = examples.map((value, i) => (sign(Math.floor(i / size)) > 0 ? 2 : 1) * value);
  expect(net.predict(examples)).toEqual(doubled);
  net.dispose();
});
