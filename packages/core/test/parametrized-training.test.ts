import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  currentContext,
  parametrize,
  parametrizedWeights,
  releaseMoment,
  setMoment,
} from '@thimble/core';
import { compile, savedAndLoaded, train, useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';
import { noisy, shifted } from './transforms.ts';

useCpu();

const { dense, lstm, bidirectional, timeDistributed, input, add } = tfl.layers;

describe('a penalty', () => {
  const layers: [string, number, () => tfl.layers.Layer][] = [
    ['dense', 1, () => dense({ units: 1, inputShape: [3, 2] })],
    ['lstm', 1, () => lstm({ units: 2, inputShape: [3, 2] })],
    [
      'timeDistributed',
      1,
      () => timeDistributed({ layer: dense({ units: 2 }), inputShape: [3, 2] }),
    ],
    [
      'bidirectional',
      2,
      () =>
        bidirectional({
          layer: lstm({ units: 2 }) as tfl.RNN,
          mergeMode: 'concat',
          inputShape: [3, 2],
        }),
    ],
  ];

  it.each(layers)('on %s reaches model.fit, also after loading', async (_name, offsets, make) => {
    const model = tfl.sequential({ layers: [parametrize(make(), { kernel: [shifted()] })] });
    for (const each of [model, await savedAndLoaded(model)]) {
      // The outputs are their own targets, so the loss is the penalty: 0.5^2 for every offset.
      each.compile({ optimizer: 'sgd', loss: 'meanSquaredError' });
      const x = tf.ones([2, 3, 2]);
      const loss = await each.trainOnBatch(x, each.predict(x) as tf.Tensor);
      expect(loss).toBeCloseTo(0.25 * offsets, 6);
    }
  });

  it('on a pattern that was copied stays with the copies', async () => {
    const pattern = parametrize(lstm({ units: 2, inputShape: [3, 2] }), { kernel: [shifted()] });
    bidirectional({ layer: pattern as tfl.RNN, mergeMode: 'concat', inputShape: [3, 2] }).apply(
      input({ shape: [3, 2] }),
    );
    const model = tfl.sequential({ layers: [pattern] });
    model.compile({ optimizer: 'sgd', loss: 'meanSquaredError' });
    const x = tf.ones([2, 3, 2]);
    expect(await model.trainOnBatch(x, model.predict(x) as tf.Tensor)).toBeCloseTo(0.25, 6);
  });
});

describe('random draws under model.fit', () => {
  function sharedModel(seen: number[][]): tfl.LayersModel {
    const layer = parametrize(dense({ units: 1, name: 'shared' }), { kernel: [noisy(seen)] });
    const [a, b] = [input({ shape: [2] }), input({ shape: [2] })];
    const sum = add().apply([a, b].map((x) => layer.apply(x) as tfl.SymbolicTensor));
    const model = tfl.model({ inputs: [a, b], outputs: sum as tfl.SymbolicTensor });
    compile(model);
    return model;
  }
  const x = () => [tf.ones([4, 2]), tf.ones([4, 2])];
  const fitTwoSteps = async (model: tfl.LayersModel) => {
    await model.fit(x(), tf.ones([4, 1]), { batchSize: 2, shuffle: false, verbose: 0 });
  };

  it('are one per step, the same at both uses of a shared layer, and none when predicting', async () => {
    const seen: number[][] = [];
    const model = sharedModel(seen);
    await fitTwoSteps(model);
    expect(seen).toHaveLength(4);
    expect(seen[1]).toEqual(seen[0]);
    expect(seen[3]).toEqual(seen[2]);
    expect(seen[2]).not.toEqual(seen[0]);
    model.predict(x());
    expect(seen).toHaveLength(4);
  });

  it('repeat after the same moment, and differ with the seed', async () => {
    const draws = async (seed: number) => {
      const seen: number[][] = [];
      setMoment({ step: 0, seed });
      releaseMoment();
      await fitTwoSteps(sharedModel(seen));
      return seen;
    };
    const [first, second, other] = [await draws(1), await draws(1), await draws(2)];
    expect(second).toEqual(first);
    expect(other).not.toEqual(first);
  });

  it('differ between two layers of one step, whatever the layers are called', () => {
    setMoment({ step: 3, seed: 1 });
    const draw = (key: string) => Array.from(currentContext(false).random(key, [3]).dataSync());
    const [a, b] = [draw('dense_1'), draw('dense_2')];
    expect(b).not.toEqual(a);
    expect(draw('dense_1')).toEqual(a);
    setMoment({ step: 3, seed: 1 });
    expect([draw('dense_7'), draw('dense_8')]).toEqual([a, b]);
    releaseMoment();
  });

  it('stay below 1 where float32 would round them up to it', () => {
    setMoment({ step: 0, seed: 10595 }); // draws 1 - 2^-25 or more
    const drawn = currentContext(false).random('key', [1075]).dataSync();
    releaseMoment();
    expect(drawn[1074]).toBe(1 - 2 ** -24);
  });

  it('are the same for every gradient while a loop holds the moment', () => {
    const draw = () => {
      const values: number[][] = [];
      const loss = () => {
        values.push(Array.from(currentContext(true).random('key', [3]).dataSync()));
        return tf.scalar(0);
      };
      tf.grad((t: tf.Tensor) => tf.add(tf.sum(t), loss()))(tf.ones([1]));
      return values[0]!;
    };
    setMoment({ step: 7, seed: 1 });
    const [a, b] = [draw(), draw()];
    setMoment({ step: 8, seed: 1 });
    const c = draw();
    setMoment({ step: 7, seed: 1 });
    const again = draw();
    releaseMoment();
    expect(b).toEqual(a);
    expect(again).toEqual(a);
    expect(c).not.toEqual(a);
    expect(draw()).not.toEqual(a);
  });
});

it('trains the weights that a transform brings', async () => {
  const model = tfl.sequential({
    layers: [parametrize(dense({ units: 1, inputShape: [2] }), { kernel: [shifted()] })],
  });
  compile(model);
  await train(model, tf.ones([4, 2]));
  const offset = parametrizedWeights(model)[0]!.links[0]!.state as tf.Variable;
  expect(offset.dataSync()[0]).not.toBe(0.5);
});
