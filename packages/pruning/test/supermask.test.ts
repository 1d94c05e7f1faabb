import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { OptionError, Random } from '@thimble/base';
import {
  currentContext,
  finalize,
  fit,
  type ParametrizedWeight,
  parametrize,
  parametrizedWeights,
  releaseMoment,
  setMoment,
} from '@thimble/core';
import { type SupermaskOptions, type SupermaskState, supermask } from '@thimble/pruning';
import { describeTransformContract, outputs, savedAndLoaded, useCpu } from '@thimble/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { chainedDense } from './helpers.ts';

useCpu();
afterEach(() => {
  setMoment({ step: 0, seed: 0 });
  releaseMoment();
});

// The gradient is checked below: the stored weight is not trained.
describeTransformContract('supermask', { make: () => supermask({ initial: 0.5, scale: true }) });

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const numbers = (tensor: tf.Tensor) => Array.from(tensor.dataSync());
const count = (values: ArrayLike<number>) =>
  numbers(tf.tensor(values as number[])).filter((v) => v).length;

function stateOf(weight: ParametrizedWeight): SupermaskState {
  return weight.links[0]!.state as SupermaskState;
}

function setScores(weight: ParametrizedWeight, values: number[]): void {
  const { scores } = stateOf(weight);
  tf.tidy(() => scores.assign(tf.tensor(values, scores.shape)));
}

/** The weight in training. */
function drawn(weight: ParametrizedWeight): tf.Tensor {
  const [{ transform, state }] = weight.links as [ParametrizedWeight['links'][number]];
  return transform.apply(weight.variable, state, currentContext(true));
}

/** A kernel of one row of threes. */
const threes = (n: number, options?: SupermaskOptions) =>
  chainedDense([new Array<number>(n).fill(3)], [supermask(options)]);

describe('supermask', () => {
  it.each([-1, 0, 2])('with the score %d uses sigmoid of it of the weights', (initial) => {
    const { weight } = threes(20_000, { initial });
    setMoment({ step: 1, seed: 4 });
    const first = numbers(drawn(weight));
    expect(new Set(first)).toEqual(new Set([0, 3]));
    expect(count(first) / first.length).toBeCloseTo(sigmoid(initial), 2);
    expect(numbers(drawn(weight))).toEqual(first);
    setMoment({ step: 2, seed: 4 });
    expect(numbers(drawn(weight))).not.toEqual(first);
    // at test time too
    expect(count(weight.bake().dataSync()) / first.length).toBeCloseTo(sigmoid(initial), 2);
  });

  it('uses half of the weights where nothing is said', () => {
    expect(stateOf(threes(2).weight).scores).toBeAllClose([[0, 0]], 0);
  });

  it('rescales by all weights over those used', () => {
    const { weight } = threes(8, { scale: true, atTest: 'threshold' });
    setScores(weight, [1, -1, -1, 1, -1, -1, -1, -1]);
    expect(weight.bake()).toBeAllClose([[12, 0, 0, 12, 0, 0, 0, 0]], 1e-6);
    setScores(weight, new Array<number>(8).fill(-1));
    expect(weight.bake()).toBeAllClose([new Array(8).fill(0)], 0);
    setMoment({ step: 1, seed: 4 });
    const values = numbers(drawn(weight));
    const used = values.filter((value) => value !== 0);
    expect(used.length).toBeGreaterThan(0);
    for (const value of used) expect(value).toBeCloseTo((3 * 8) / used.length, 5);
  });

  it.each([false, true])('passes the gradient to the scores by its formula, scale: %s', (scale) => {
    const w = [1, -2, 3, 0.5, 2, -1];
    const g = [0.5, 1, -1, 2, 1, 3];
    const s = [0, 1, -1, 2, -0.5, 0.3];
    const { weight } = chainedDense([w], [supermask({ scale })]);
    setScores(weight, s);
    setMoment({ step: 1, seed: 4 });
    const m = numbers(drawn(weight)).map((value) => (value === 0 ? 0 : 1));
    const ones = count(m);
    expect(ones).toBeGreaterThan(0);
    expect(ones).toBeLessThan(6);
    const loss = () => tf.sum(tf.mul(drawn(weight), [g])) as tf.Scalar;
    const { scores } = stateOf(weight);
    const gradient = tf.variableGrads(loss, [scores]).grads[scores.name]!;
    // w' = w m n / sum(m): the quotient rule
    const all = g.reduce((sum, gi, i) => sum + gi * w[i]! * m[i]!, 0);
    const expected = s.map((si, i) => {
      const dm = scale ? (6 / ones) * (g[i]! * w[i]! - all / ones) : g[i]! * w[i]!;
      return dm * sigmoid(si) * (1 - sigmoid(si));
    });
    expect(gradient).toBeAllClose([expected], 1e-5);
  });

  it('has one mask at test time, another for another seed, and the likelier one by threshold', async () => {
    const { model, weight } = threes(64);
    const x = tf.ones([1, 1]);
    const first = outputs(model, x);
    expect(outputs(model, x)).toEqual(first);
    expect(outputs(await finalize(model), x)).toEqual(first);
    expect(Array.from(weight.encoding().mask!)).toEqual(first.map((value) => value / 3));
    expect(outputs(threes(64, { seed: 1 }).model, x)).not.toEqual(first);
    const likelier = threes(3, { atTest: 'threshold' });
    setScores(likelier.weight, [-0.01, 0, 0.01]);
    expect(outputs(likelier.model, x)).toEqual([0, 3, 3]);
    expect(likelier.weight.encoding()).toMatchObject({ mask: Uint8Array.of(0, 1, 1), nonzero: 2 });
  });

  it('is saved with its options', async () => {
    const options = { initial: 0.5, scale: true, atTest: 'threshold', seed: 3 } as const;
    const loaded = await savedAndLoaded(threes(4, options).model);
    expect(parametrizedWeights(loaded)[0]!.links[0]!.transform.getConfig()).toEqual(options);
    expect(loaded.trainableWeights).toHaveLength(1);
  });

  it('finds the weights that a teacher uses, and leaves them as they are', async () => {
    const random = new Random('supermask');
    const kernel = Array.from({ length: 12 }, () => [Math.fround(random.normal())]);
    const used = kernel.map((_, i) => (i % 3 === 0 ? 1 : 0));
    const { model, weight } = chainedDense(kernel, [supermask({ atTest: 'threshold' })]);
    expect(model.trainableWeights).toHaveLength(1);
    const xs = Float32Array.from({ length: 12 * 256 }, () => random.normal());
    const ys = Float32Array.from({ length: 256 }, (_, i) =>
      kernel.reduce((sum, [w], j) => sum + w! * used[j]! * xs[12 * i + j]!, 0),
    );
    await fit(
      model,
      { xs, ys },
      {
        loss: 'meanSquaredError',
        optimizer: tf.train.momentum(0.3, 0.9),
        epochs: 40,
        progress: false,
      },
    );
    expect(Array.from(weight.encoding().mask!)).toEqual(used);
    expect(weight.variable).toBeAllClose(kernel, 0);
  });

  it('freezes the weight for good', () => {
    const layer = tfl.layers.dense({ units: 2, inputShape: [3] });
    parametrize(layer, { kernel: [supermask()] });
    tfl.sequential({ layers: [layer] });
    layer.trainable = false;
    layer.trainable = true;
    const names = layer.trainableWeights.map(({ originalName }) => originalName.split('/').at(-1));
    expect(names).toEqual(['bias', 'kernel_scores']);
  });

  it('names options that are wrong', () => {
    const call = (options: object) => () => supermask(options);
    expect(call({ initial: Number.NaN })).toThrow(OptionError);
    expect(call({ initial: Number.NaN })).toThrow('supermask: initial must be a number, not NaN');
    expect(call({ atTest: 'mean' })).toThrow('atTest must be sample or threshold, not "mean"');
    expect(call({ rescale: true })).toThrow('unknown option "rescale"');
  });
});
