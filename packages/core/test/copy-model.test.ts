import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { withSeed } from '@thimble/base';
import { copyModel, parametrize, parametrizedWeights } from '@thimble/core';
import { mask, setMask } from '@thimble/pruning';
import { expectNoLeaks, expectSameOutputs, smallModel, snapshot, useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';

useCpu();

const build = () =>
  smallModel(
    () => parametrize(tfl.layers.dense({ units: 3 }), { kernel: [mask({ sparsity: 0.5 })] }),
    [4],
  );

describe('copyModel', () => {
  it('has the same weights, masks included, and shares none of them', () => {
    const model = build();
    setMask(parametrizedWeights(model)[0]!, [1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    const copy = copyModel(model);
    const x = tf.randomNormal([2, 4], 0, 1, 'float32', 1);
    expectSameOutputs(model, copy, x);
    const before = snapshot(model);
    for (const weight of copy.weights)
      (weight.read() as tf.Variable).assign(tf.zeros(weight.shape as number[]));
    expect(snapshot(model)).toEqual(before);
  });

  it('draws fresh weights from a seed, the same each time', () => {
    const model = withSeed(1, build);
    const [a, b, c] = [1, 1, 2].map((seed) => snapshot(copyModel(model, { seed })));
    expect(a).toEqual(b);
    expect(a).not.toEqual(c);
    expect(Object.values(a!)[0]).not.toEqual(Object.values(snapshot(model))[0]);
  });

  it('leaves no tensor behind', async () => {
    const model = build();
    await expectNoLeaks(async () => {
      copyModel(model).dispose();
      copyModel(model, { seed: 3 }).dispose();
    });
  });
});
