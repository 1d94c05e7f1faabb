// Steps and offsets of activations on the backend whose optimizers change variables where they are.
import '@thimble/backend';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  type ActivationQuantizer,
  activationPlaces,
  lsq,
  lsqPlus,
  pact,
  quantizeActivations,
} from '@thimble/quantization';
import { beforeAll, expect, it } from 'vitest';

beforeAll(async () => {
  tf.env().set('IS_TEST', true);
  await tf.setBackend('thimble');
});

const identity = (quantizer: ActivationQuantizer) => {
  const dense = tfl.layers.dense({ units: 1, useBias: false, inputShape: [1] });
  const model = tfl.sequential({ layers: [quantizeActivations(dense, { input: quantizer })] });
  dense.setWeights([tf.ones([1, 1]), ...dense.getWeights().slice(1)]);
  return model;
};

it.each([
  ['lsq', () => lsq({ bits: 2, signed: true })],
  ['lsqPlus', () => lsqPlus({ bits: 2 })],
  ['pact', () => pact({ bits: 2, initial: 0.5 })],
])('%s rounds with what the last step has made of it, and tells so', async (_, make) => {
  const model = identity(make());
  const [place] = activationPlaces(model);
  const { quantizer, state } = place!;
  const x = tf.tensor2d([-1, -0.4, 0.7, 2], [4, 1]);
  const trained = Object.values(state as Record<string, { variable: tf.Variable }>)
    .map(({ variable }) => variable)
    .filter(({ trainable }) => trainable);
  model.compile({ optimizer: tf.train.sgd(0.5), loss: 'meanSquaredError' });
  await model.trainOnBatch(x, tf.tensor2d([-3, -3, 1, 5], [4, 1])); // begins with these data
  const before = [quantizer.activationCode(state), trained.map((each) => each.dataSync()[0]!)];
  await model.trainOnBatch(x, tf.tensor2d([-3, -3, 1, 5], [4, 1]));
  const [step, offset = 0] = trained.map((each) => each.dataSync()[0]!) as [number, number?];
  expect([step, offset]).not.toEqual(before[1]);

  const high = quantizer.getClassName() === 'ThimbleLsq' ? 1 : 3;
  const scale = quantizer.getClassName() === 'ThimblePact' ? step / high : Math.abs(step);
  const low = quantizer.getClassName() === 'ThimbleLsq' ? -2 : 0;
  const zero = Math.min(3, Math.max(0, Math.round(-offset / scale)));
  const code = quantizer.activationCode(state)!;
  expect(code.scale).toBeCloseTo(scale, 6);
  expect(code.zeroPoint).toBe(zero - low);
  const kernel = model.getWeights()[0]!.dataSync()[0]!;
  const expected = Array.from(x.dataSync(), (value) => {
    const k = Math.min(high, Math.max(low, Math.round(value / scale) + zero));
    return kernel * scale * (k - zero);
  });
  const given = Array.from((model.predict(x) as tf.Tensor).dataSync());
  given.forEach((value, i) => {
    expect(value).toBeCloseTo(expected[i]!, 5);
  });
});
