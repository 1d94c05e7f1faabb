import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { OptionError, Random, UnsupportedError } from '@thimble/base';
import {
  type Context,
  currentContext,
  finalize,
  fit,
  type ParametrizedWeight,
  parametrize,
  parametrizedWeights,
  releaseMoment,
  setMoment,
  summarize,
} from '@thimble/core';
import { type L0Options, type L0State, l0Gates } from '@thimble/pruning';
import { checkGradients, describeTransformContract, useCpu } from '@thimble/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { chainedDense, penaltiesOf, penaltyOf } from './helpers.ts';

useCpu();
afterEach(() => {
  setMoment({ step: 0, seed: 0 });
  releaseMoment();
});

// The gradient is checked below: here the gates of training are not those of the plain model.
describeTransformContract('l0Gates', { make: () => l0Gates({ strength: 0.01, dropRate: 0.2 }) });

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const ones = (rows: number, columns: number) =>
  Array.from({ length: rows }, () => new Array<number>(columns).fill(1));

function stateOf(weight: ParametrizedWeight): L0State {
  return weight.links[0]!.state as L0State;
}

function setLogAlpha(weight: ParametrizedWeight, values: number[]): void {
  const { logAlpha } = stateOf(weight);
  tf.tidy(() => logAlpha.assign(tf.tensor(values, logAlpha.shape)));
}

/** The weight in training. */
function drawn(weight: ParametrizedWeight, context: Context): tf.Tensor {
  const [{ transform, state }] = weight.links as [ParametrizedWeight['links'][number]];
  return transform.apply(weight.variable, state, context);
}

describe('the hard concrete distribution', () => {
  it.each([
    [-1.5, {}],
    [0, {}],
    [2, {}],
    [0.5, { beta: 0.4, gamma: -0.3, zeta: 1.5 }],
  ])('with log alpha %d is the one of the paper', (logAlpha, options: Partial<L0Options>) => {
    const { beta = 2 / 3, gamma = -0.1, zeta = 1.1 } = options;
    const chain = [l0Gates({ strength: 0, per: 'element', ...options })];
    const { weight } = chainedDense(ones(100, 400), chain);
    setLogAlpha(weight, new Array<number>(40_000).fill(logAlpha));
    setMoment({ step: 3, seed: 1 });
    const gates = drawn(weight, currentContext(true)).dataSync();
    const share = (test: (gate: number) => boolean) => gates.filter(test).length / gates.length;
    // Section 2.2, the distribution of s stretched: P(s < t) = sigmoid(beta log((t - gamma) / (zeta - t)) - log alpha)
    const below = (t: number) => sigmoid(beta * Math.log((t - gamma) / (zeta - t)) - logAlpha);
    expect(share((gate) => gate === 0)).toBeCloseTo(below(0), 2);
    expect(share((gate) => gate === 1)).toBeCloseTo(1 - below(1), 2);
    for (const t of [0.1, 0.5, 0.9]) expect(share((gate) => gate < t)).toBeCloseTo(below(t), 2);
  });

  it('draws anew at every step, and the same at every evaluation within one', () => {
    const { weight } = chainedDense(ones(50, 1), [l0Gates({ strength: 0 })]);
    const draw = (step: number) => {
      setMoment({ step, seed: 1 });
      const draws = [1, 2].map(() => Array.from(drawn(weight, currentContext(true)).dataSync()));
      expect(draws[1]).toEqual(draws[0]);
      return draws[0];
    };
    const first = draw(1);
    expect(draw(2)).not.toEqual(first);
    expect(draw(1)).toEqual(first);
  });
});

describe('l0Gates', () => {
  it('closes a gate at test time where sigmoid(log alpha) <= 1/12', () => {
    const { weight } = chainedDense(ones(1, 5), [l0Gates({ strength: 0, per: 'out' })]);
    // sigmoid 1/12 is log alpha -log 11; gates: 0, 1.2/2 - 0.1, 1.2 * 0.75 - 0.1, 1
    setLogAlpha(weight, [-3, -Math.log(11) - 1e-3, 0, Math.log(3), 3]);
    expect(weight.bake()).toBeAllClose([[0, 0, 0.5, 0.8, 1]], 1e-6);
    expect(weight.encoding()).toMatchObject({ mask: Uint8Array.of(0, 0, 1, 1, 1), nonzero: 3 });
    setLogAlpha(weight, [-2, 0, 0, 0, 0]);
    expect(weight.encoding()).not.toHaveProperty('mask');
  });

  it('begins at the drop rate', () => {
    const { weight } = chainedDense(ones(2, 1), [l0Gates({ strength: 0, dropRate: 0.2 })]);
    expect(stateOf(weight).logAlpha).toBeAllClose([[Math.log(4)], [Math.log(4)]]);
    const half = chainedDense(ones(1, 1), [l0Gates({ strength: 0 })]).weight;
    expect(stateOf(half).logAlpha).toBeAllClose([[0]]);
  });

  it('charges for the expected number of open weights', () => {
    const { model, weight } = chainedDense(ones(2, 3), [l0Gates({ strength: 0.5 })]);
    setLogAlpha(weight, [-1, 2]);
    // P(z > 0) = 1 - P(s < 0), 3 weights per gate
    const open = (logAlpha: number) => 1 - sigmoid((2 / 3) * Math.log(0.1 / 1.1) - logAlpha);
    expect(penaltyOf(model)).toBeCloseTo(0.5 * 3 * (open(-1) + open(2)), 5);
    checkGradients(() => penaltiesOf(model), { logAlpha: stateOf(weight).logAlpha });
  });

  it('passes the gradient to weight and gates by finite differences', () => {
    const values = [
      [1, -2],
      [0.5, 3],
      [2, 1],
    ];
    const { weight } = chainedDense(values, [l0Gates({ strength: 0 })]);
    setLogAlpha(weight, [-0.5, 1, 0.2]);
    // No gate near its ends: logits of u of -0.4, 0.4 and 0.
    const u = [-0.4, 0.4, 0].map(sigmoid);
    const context: Context = {
      training: true,
      step: 0,
      learningRate: Number.NaN,
      random: (_key, shape) => tf.tensor(u, shape),
    };
    const expected = [-0.5 - 0.4, 1 + 0.4, 0.2].map((x) => 1.2 * sigmoid(1.5 * x) - 0.1);
    expect(drawn(weight, context)).toBeAllClose(
      values.map((row, i) => row.map((value) => value * expected[i]!)),
    );
    const loss = () => tf.sum(tf.square(drawn(weight, context))) as tf.Scalar;
    checkGradients(loss, { kernel: weight.variable, logAlpha: stateOf(weight).logAlpha });
  });

  it('has a gate per input of a dense layer and per filter of a convolution', () => {
    const build = (layer: tfl.layers.Layer, name: string, options: Partial<L0Options> = {}) => {
      parametrize(layer, { [name]: [l0Gates({ strength: 0, ...options })] });
      tfl.sequential({ layers: [layer] });
      return stateOf(parametrizedWeights(layer)[0]!).logAlpha.shape;
    };
    const { dense, conv2d, conv2dTranspose } = tfl.layers;
    expect(build(dense({ units: 3, inputShape: [2] }), 'kernel')).toEqual([2, 1]);
    expect(build(dense({ units: 3, inputShape: [2] }), 'bias')).toEqual([3]);
    const image = { filters: 3, kernelSize: 2, inputShape: [4, 4, 2] };
    expect(build(conv2d(image), 'kernel')).toEqual([1, 1, 1, 3]);
    expect(build(conv2d(image), 'kernel', { per: 'in' })).toEqual([1, 1, 2, 1]);
    expect(build(conv2d(image), 'kernel', { per: 'element' })).toEqual([2, 2, 2, 3]);
    expect(build(conv2dTranspose(image), 'kernel')).toEqual([1, 1, 3, 1]);
  });

  it('closes all columns of a recurrent unit together', () => {
    const layer = tfl.layers.lstm({ units: 2, inputShape: [3, 1], kernelInitializer: 'ones' });
    parametrize(layer, { kernel: [l0Gates({ strength: 0, per: 'out' })] });
    tfl.sequential({ layers: [layer] });
    const weight = parametrizedWeights(layer)[0]!;
    setLogAlpha(weight, [3, -3]);
    expect(weight.bake()).toBeAllClose([[1, 0, 1, 0, 1, 0, 1, 0]]);
    expect(weight.encoding().mask).toEqual(Uint8Array.of(1, 0, 1, 0, 1, 0, 1, 0));
  });

  it('keeps log alpha within [log 0.01, log 100] in fit', async () => {
    const { model, weight } = chainedDense(ones(2, 1), [l0Gates({ strength: 100 })]);
    const data = { xs: new Float32Array(2), ys: new Float32Array(1) };
    const options = { loss: 'meanSquaredError', optimizer: 'sgd', progress: false } as const;
    await fit(model, data, { ...options, learningRate: 100 });
    expect(stateOf(weight).logAlpha).toBeAllClose([[Math.log(0.01)], [Math.log(0.01)]]);
    setLogAlpha(weight, [9, -9]);
    await fit(model, data, { ...options, learningRate: 0 });
    expect(stateOf(weight).logAlpha).toBeAllClose([[Math.log(100)], [Math.log(0.01)]]);
  });

  it('names options that are wrong', () => {
    const call = (options: object) => () => l0Gates({ strength: 1, ...options });
    expect(call({ strength: -1 })).toThrow(OptionError);
    expect(call({ dropRate: 0 })).toThrow('l0Gates: dropRate must be a number from 0.01 to 0.99');
    expect(call({ per: 'filter' })).toThrow('per must be in, out or element, not "filter"');
    for (const wrong of [{ beta: 0 }, { gamma: 0 }, { zeta: 1 }, { zeta: Number.NaN }]) {
      expect(call(wrong)).toThrow('beta must be above 0, gamma below 0 and zeta above 1');
    }
    expect(call({ lambda: 1 })).toThrow('unknown option "lambda"');
    const layer = tfl.layers.dense({ units: 1, inputShape: [1], name: 'plain' });
    tfl.sequential({ layers: [layer] });
    const attach = () => parametrize(layer, { bias: [l0Gates({ strength: 1, per: 'in' })] });
    expect(attach).toThrow(UnsupportedError);
    expect(attach).toThrow('l0Gates per in: "bias" of layer "plain" has no input channels');
  });
});

it('in training, l0Gates close the inputs that nothing needs, and those alone', async () => {
  const random = new Random('l0');
  const chain = [l0Gates({ strength: 0.03, dropRate: 0.2 })];
  const start = Array.from({ length: 6 }, () => [random.normal(0, 0.5), random.normal(0, 0.5)]);
  const { model, weight } = chainedDense(start, chain);
  const xs = Float32Array.from({ length: 6 * 256 }, () => random.normal());
  const ys = Float32Array.from({ length: 2 * 256 }, (_, i) => {
    const [a, b, c] = xs.subarray(6 * (i >> 1)) as unknown as [number, number, number];
    return i % 2 ? a - b + c : a + b;
  });
  await fit(
    model,
    { xs, ys },
    {
      loss: 'meanSquaredError',
      optimizer: tf.train.adam(0.05),
      epochs: 40,
      progress: false,
    },
  );
  const rows = Array.from(weight.encoding().mask!).filter((_, i) => i % 2 === 0);
  expect(rows).toEqual([1, 1, 1, 0, 0, 0]);
  expect(summarize(model).total.nonzero).toBe(6);
  const [kernel] = (await finalize(model)).getWeights();
  expect(kernel!).toBeAllClose(
    [
      [1, 1],
      [1, -1],
      [0, 1],
      [0, 0],
      [0, 0],
      [0, 0],
    ],
    0.1,
  );
});
