import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { NoMatchError, OptionError } from '@thimble/base';
import { fit, parametrizedWeights } from '@thimble/core';
import { slimming } from '@thimble/pruning';
import { savedAndLoaded, useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';
import { penaltyOf } from './helpers.ts';

useCpu();

const { batchNormalization, dense } = tfl.layers;

/** Scales a (2) and b (3), and a normalisation c without scale, the last two in a nested model. */
function network(): tfl.Sequential {
  const inner = tfl.sequential({
    layers: [
      dense({ units: 3, inputShape: [2] }),
      batchNormalization({ name: 'b' }),
      batchNormalization({ name: 'c', scale: false }),
    ],
  });
  return tfl.sequential({
    layers: [dense({ units: 2, inputShape: [2] }), batchNormalization({ name: 'a' }), inner],
  });
}

const gammas = (model: tfl.LayersModel) =>
  Object.fromEntries(
    parametrizedWeights(model).map(({ layer, weight, variable }) => [
      `${layer.name}/${weight}`,
      Array.from(variable.dataSync()),
    ]),
  );

describe('slimming', () => {
  it('puts the penalty on every scale, and sets it to a half', async () => {
    const model = network();
    expect(slimming(model, { strength: 0.1 }).map((layer) => layer.name)).toEqual(['a', 'b']);
    expect(gammas(model)).toEqual({ 'a/gamma': [0.5, 0.5], 'b/gamma': [0.5, 0.5, 0.5] });
    expect(penaltyOf(model)).toBeCloseTo(0.1 * 2.5, 6);
    expect(penaltyOf(await savedAndLoaded(model))).toBeCloseTo(0.1 * 2.5, 6);
  });

  it('has the strength of the paper by default, and can leave the scales as they are', () => {
    const model = network();
    slimming(model, { initialGamma: undefined });
    expect(gammas(model)).toEqual({ 'a/gamma': [1, 1], 'b/gamma': [1, 1, 1] });
    expect(penaltyOf(model)).toBeCloseTo(1e-4 * 5, 9);
  });

  it('takes the layers that are named', () => {
    const model = network();
    slimming(model, { initialGamma: 0.25, targets: ['b'] });
    expect(gammas(model)).toEqual({ 'b/gamma': [0.25, 0.25, 0.25] });
    slimming(model, { targets: /^a$/ });
    expect(gammas(model)).toEqual({ 'a/gamma': [0.5, 0.5], 'b/gamma': [0.25, 0.25, 0.25] });
  });

  it('draws a scale that nothing needs to zero, and leaves one that is needed', async () => {
    const model = tfl.sequential({
      layers: [
        batchNormalization({ inputShape: [2] }),
        dense({
          units: 1,
          useBias: false,
          weights: [tf.tensor2d([[1], [0]])],
          trainable: false,
        }),
      ],
    });
    slimming(model, { strength: 0.05 });
    const xs = Float32Array.from({ length: 64 }, (_, i) => ((i >> (i % 2)) % 4) - 1.5);
    const ys = Float32Array.from({ length: 32 }, (_, i) => xs[2 * i]!);
    await fit(
      model,
      { xs, ys },
      {
        loss: 'meanSquaredError',
        optimizer: 'sgd',
        learningRate: 0.1,
        epochs: 150,
        progress: false,
      },
    );
    const [needed, idle] = gammas(model)[`${model.layers[0]!.name}/gamma`]!;
    expect(needed).toBeGreaterThan(0.9);
    expect(Math.abs(idle!)).toBeLessThan(0.1 * 0.05 * 1.01); // one step of the subgradient
  });

  it('says when there is nothing to slim, and leaves the model as it was', () => {
    const model = network();
    expect(() => slimming(model, { targets: ['b', 'd'] })).toThrow(NoMatchError);
    expect(() => slimming(model, { targets: ['b', 'd'] })).toThrow(
      'slimming: the target "d" matches no layer. Batch normalisations with a scale: a, b.',
    );
    expect(() => slimming(model, { targets: 'c' })).toThrow('the target "c" matches no layer');
    expect(() => slimming(model, { targets: [] })).toThrow('targets is an empty list');
    expect(() => slimming(model, { strength: -1 })).toThrow(OptionError);
    expect(() => slimming(model, { initialGamma: Number.NaN })).toThrow('initialGamma');
    expect(() => slimming(model, { target: 'b' } as never)).toThrow('unknown option "target"');
    expect(gammas(model)).toEqual({});
    const plain = tfl.sequential({ name: 'plain', layers: [dense({ units: 1, inputShape: [1] })] });
    expect(() => slimming(plain)).toThrow('model "plain" has no batch normalisation layer');
    slimming(model, { targets: ['b'] });
    expect(() => slimming(model)).toThrow('gamma of layer "b" has an l1Penalty already');
  });
});
