// Early exits and gates together with pruning and quantisation.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { savedAndLoaded, threeClasses, useCpu } from '@thimble/testing';
import {
  earlyExits,
  encode,
  fakeQuant,
  fit,
  fitExits,
  gateCost,
  layers,
  load,
  maskedWeights,
  msdNet,
  parametrize,
  parametrizedWeights,
  predictEarly,
  prune,
  summarize,
  withSeed,
} from 'thimble';
import { expect, it } from 'vitest';

useCpu();

const { dense } = tfl.layers;
const data = () => threeClasses(6, 5);

/** Half of every kernel away, the rest in 8 bits. */
async function compressed(model: tfl.LayersModel): Promise<tfl.LayersModel> {
  await prune(model, { granularity: 'element', sparsity: 0.5 });
  for (const { layer } of parametrizedWeights(model)) {
    parametrize(layer, { kernel: [fakeQuant({ bits: 8, symmetric: true, narrowRange: true })] });
  }
  return model;
}

const outputsOf = (model: tfl.LayersModel) =>
  tf.tidy(() => [model.predict(data().xs)].flat().map((y) => Array.from(y.dataSync())));

const zerosOf = (model: tfl.LayersModel) =>
  maskedWeights(model).map(({ mask }) => Array.from(mask.dataSync()));

it('early exits train, save and leave early with masked kernels in 8 bits', async () => {
  const model = withSeed(1, () => {
    const trunk = tfl.sequential({
      layers: [
        dense({ name: 'a', units: 8, activation: 'tanh', inputShape: [6] }),
        dense({ name: 'b', units: 8, activation: 'tanh' }),
        dense({ name: 'c', units: 3, activation: 'softmax' }),
      ],
    });
    return earlyExits(trunk, { after: ['a'], head: { hidden: 4 } });
  });
  const full = summarize(model).total.bits;
  await compressed(model);
  expect(summarize(model).total.bits).toBeLessThan(full / 2);
  const zeros = zerosOf(model);
  expect(zeros).toHaveLength(5);
  await fitExits(model, data(), { epochs: 2, batchSize: 8, progress: false });
  expect(zerosOf(model)).toEqual(zeros);
  const loaded = await savedAndLoaded(model);
  expect(outputsOf(loaded)).toEqual(outputsOf(model));
  const all = await predictEarly(loaded, data().xs, { threshold: 0 });
  expect(Array.from(all.scores.dataSync())).toEqual(outputsOf(model)[1]);
  const none = await predictEarly(loaded, data().xs, { threshold: 9 });
  expect(Array.from(none.scores.dataSync())).toEqual(outputsOf(model)[0]);
});

it('gated blocks and exit heads are pruned and quantised inside', async () => {
  const model = withSeed(1, () =>
    tfl.sequential({
      layers: [
        layers.gatedBlock({
          name: 'block',
          layers: [dense({ name: 'inside', units: 6, activation: 'tanh' })],
          hidden: 4,
          bias: 0,
          inputShape: [6],
        }),
        layers.earlyExitHead({ name: 'head', classes: 3, hidden: 4 }),
      ],
    }),
  );
  await compressed(model);
  const zeros = zerosOf(model);
  // Inside, the gate's two layers, the head's two layers.
  expect(zeros).toHaveLength(5);
  const loss = 'categoricalCrossentropy';
  const callbacks = [gateCost({ strength: 0.1 })];
  await fit(model, data(), { epochs: 2, batchSize: 8, loss, callbacks, progress: false });
  expect(zerosOf(model)).toEqual(zeros);
  expect(outputsOf(await savedAndLoaded(model))).toEqual(outputsOf(model));
});

it.each([
  ['early exits', () => earlyExits(imageTrunk(), { after: ['pool'], head: { hidden: 4 } })],
  [
    'msdNet',
    () =>
      msdNet({
        inputShape: [8, 8, 1],
        classes: 3,
        exits: 2,
        base: 1,
        scales: 2,
        filters: 2,
        growth: 2,
      }),
  ],
])('%s: a .thimble file gives back every exit, and leaves early as before', async (_, make) => {
  const model = withSeed(4, make);
  const x = tf.randomUniform([9, 8, 8, 1], 0, 1, 'float32', 2);
  const again = await load(await encode(model));
  const outputs = (m: tfl.LayersModel) => (m.predict(x) as tf.Tensor[]).map(valuesOf);
  const wanted = outputs(model);
  expect(outputs(again)).toEqual(wanted);
  expect(again.outputNames).toEqual(model.outputNames);
  // The middle one of the first exit's entropies: some leave, some go on.
  const entropies = Array.from({ length: 9 }, (_, i) =>
    wanted[0]!.slice(3 * i, 3 * i + 3).reduce((sum, p) => sum - p * Math.log(p), 0),
  ).sort((a, b) => a - b);
  const threshold = entropies[4]!;
  const [before, after] = [
    await predictEarly(model, x, { threshold }),
    await predictEarly(again, x, { threshold }),
  ];
  expect(Array.from(after.exits)).toEqual(Array.from(before.exits));
  expect(valuesOf(after.scores)).toEqual(valuesOf(before.scores));
  expect(new Set(before.exits).size).toBe(2);
});

const valuesOf = (tensor: tf.Tensor) => Array.from(tensor.dataSync());

function imageTrunk(): tfl.LayersModel {
  return tfl.sequential({
    layers: [
      tfl.layers.conv2d({ filters: 3, kernelSize: 3, activation: 'relu', inputShape: [8, 8, 1] }),
      tfl.layers.maxPooling2d({ name: 'pool', poolSize: 2 }),
      tfl.layers.flatten(),
      dense({ units: 3, activation: 'softmax' }),
    ],
  });
}
