// Early exits on packed kernels: beside those of the model, for every way of leaving.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { useCpu } from '@thimble/testing';
import { bLeNet, earlyExits, lower, msdNet, OptionError, predictEarly, runtime } from 'thimble';
import { describe, expect, it } from 'vitest';

useCpu();

const SIZE = 12;

/** Three exits, of logits or probabilities; the heads are made after the trunk. */
function exits(activation: 'linear' | 'softmax'): tfl.LayersModel {
  const { dense } = tfl.layers;
  const trunk = tfl.sequential({
    layers: [
      dense({ name: 'one', units: 16, activation: 'relu', inputShape: [8] }),
      dense({ name: 'two', units: 16, activation: 'relu' }),
      dense({ name: 'three', units: 5, activation }),
    ],
  });
  return earlyExits(trunk, { after: ['one', 'two'] });
}

/** Weights large enough for exits that differ. */
function shaken(model: tfl.LayersModel): tfl.LayersModel {
  model.setWeights(
    model.getWeights().map((weight, i) => {
      return tf.add(weight, tf.randomNormal(weight.shape, 0, 0.2, 'float32', i));
    }),
  );
  return model;
}

const MADE: Record<string, () => tfl.LayersModel> = {
  logits: () => shaken(exits('linear')),
  probabilities: () => shaken(exits('softmax')),
  bLeNet: () => bLeNet({ seed: 1 }).branchy,
  msdNet: () => msdNet({ inputShape: [16, 16, 1], classes: 4, seed: 1 }),
};

describe.each(Object.entries(MADE))('%s', (_, make) => {
  const model = make();
  const [, ...shape] = model.inputs[0]!.shape as [null, ...number[]];
  const x = tf.randomUniform([SIZE, ...shape], 0, 1, 'float32', 3);
  const values = x.dataSync() as Float32Array;
  const graph = lower(model);

  /** A threshold in the middle of what the first exit gives. */
  async function middle(policy: 'entropy' | 'confidence'): Promise<number> {
    const net = await runtime.pack(graph);
    const measures: number[] = [];
    for (let n = 0; n < SIZE; n++) {
      const example = values.subarray((n * values.length) / SIZE, ((n + 1) * values.length) / SIZE);
      let [low, high] = [0, 3];
      for (let i = 0; i < 30; i++) {
        const threshold = (low + high) / 2;
        const left = net.predictEarly(example, { policy, threshold }).exits[0] === 0;
        if (left === (policy === 'entropy')) high = threshold;
        else low = threshold;
      }
      measures.push((low + high) / 2);
    }
    net.dispose();
    measures.sort((a, b) => a - b);
    return (measures[SIZE / 2 - 1]! + measures[SIZE / 2]!) / 2;
  }

  it.each(['entropy', 'confidence'] as const)('leaves as the model does, by %s', async (policy) => {
    const threshold = await middle(policy);
    const net = await runtime.pack(graph);
    const expected = await predictEarly(model, x, { policy, threshold });
    const found = net.predictEarly(values, { policy, threshold });
    expect(found.exits).toEqual(expected.exits);
    expect(found.exits.filter((exit) => exit === 0).length).toBe(SIZE / 2);
    const scores = expected.scores.dataSync();
    found.scores.forEach((score, i) => {
      expect(Math.abs(score - scores[i]!)).toBeLessThan(1e-4);
    });
    net.dispose();
  });

  it('leaves as the model does, by patience', async () => {
    const net = await runtime.pack(graph);
    const options = { policy: 'patience', threshold: 1 } as const;
    const expected = await predictEarly(model, x, options);
    expect(net.predictEarly(values, options).exits).toEqual(expected.exits);
    net.dispose();
  });
});

it('computes nothing behind the exit at which an example leaves', async () => {
  const model = shaken(exits('softmax'));
  const graph = lower(model);
  for (const [name, weight] of Object.entries(graph.weights)) {
    if (!/^(two|three)\//.test(name)) continue;
    graph.weights[name] = { ...weight, data: new Float32Array(weight.data!.length).fill(NaN) };
  }
  const net = await runtime.pack(graph);
  const x = Float32Array.from({ length: 8 }, (_, i) => i);
  const early = net.predictEarly(x, { policy: 'confidence', threshold: 0 });
  expect(early.exits).toEqual(Int32Array.of(0));
  expect(early.scores.every(Number.isFinite)).toBe(true);
  const late = net.predictEarly(x, { policy: 'confidence', threshold: 1.1 });
  expect(late.exits).toEqual(Int32Array.of(2));
  expect(late.scores.every(Number.isNaN)).toBe(true);
  net.dispose();
});

it('says what does not fit', async () => {
  const net = await runtime.pack(lower(exits('softmax')));
  const x = new Float32Array(8);
  const early = (options: object) => () => net.predictEarly(x, options as never);
  expect(early({ threshold: [0.1] })).toThrow(/2 numbers, one for each exit but the last/);
  expect(early({ policy: 'luck', threshold: 1 })).toThrow(OptionError);
  expect(early({ threshold: 0.1, batch: 1 })).toThrow(/unknown option "batch"/);
  expect(() => net.predictEarly(new Float32Array(9), { threshold: 0.1 })).toThrow(
    /predictEarly: input "\w+" has 9 values/,
  );
  net.dispose();
  expect(early({ threshold: 0.1 })).toThrow(/was disposed/);
  const image = tfl.input({ shape: [4] });
  const outputs = [3, 2].map((units) => tfl.layers.dense({ units }).apply(image));
  const model = tfl.model({ inputs: image, outputs: outputs as tfl.SymbolicTensor[] });
  const uneven = await runtime.pack(lower(model));
  expect(() => uneven.predictEarly(new Float32Array(4), { threshold: 1 })).toThrow(
    /scores of the same classes, but they are \[3\], \[2\]/,
  );
  uneven.dispose();
});
