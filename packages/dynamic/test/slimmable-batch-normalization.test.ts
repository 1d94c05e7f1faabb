import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { NoMatchError, OptionError, UnsupportedError } from '@thimble/base';
import { parametrize, recalibrateBatchNorm } from '@thimble/core';
import {
  calibrateWidths,
  extractWidth,
  setWidth,
  slimmableBatchNormalization,
  slimmableDense,
  type Widths,
} from '@thimble/dynamic';
import { mask } from '@thimble/pruning';
import {
  checkGradients,
  describeLayerContract,
  expectNoLeaks,
  outputs,
  savedAndLoaded,
  snapshot,
  useCpu,
} from '@thimble/testing';
import { describe, expect, it } from 'vitest';

useCpu();

const widths = [0.5, 1];
const random = { gammaInitializer: 'randomNormal', betaInitializer: 'randomNormal' } as const;
const flat = { skip: 'the scale of width 0.5 takes no part; narrowed and whole below' };
describeLayerContract('slimmableBatchNormalization, a list', {
  make: () => slimmableBatchNormalization({ widths, ...random }),
  inputShape: [4],
  gradients: flat,
});
describeLayerContract('slimmableBatchNormalization, a range', {
  make: () => slimmableBatchNormalization({ widths: { min: 0.5 }, ...random }),
  inputShape: [4],
});

/** Channels 1, 2, 3 and 4 times the input, normalised. */
function model(of: Widths = widths): tfl.Sequential {
  return tfl.sequential({
    layers: [
      slimmableDense({
        units: 4,
        useBias: false,
        widths: of,
        inputShape: [1],
        weights: [tf.tensor2d([[1, 2, 3, 4]])],
      }),
      slimmableBatchNormalization({ widths: of, momentum: 0, epsilon: 0, name: 'norm', ...random }),
      slimmableDense({ units: 1, useBias: false, widths: of, weights: [tf.ones([4, 1])] }),
    ],
  });
}

const x = (...values: number[]) => tf.tensor2d(values, [values.length, 1]);
/** A pass in training mode: with momentum 0 the statistics become those of the batch. */
const pass = (net: tfl.LayersModel, ...values: number[]) =>
  tf.tidy(() => void net.apply(x(...values), { training: true }));
const norm = (net: tfl.LayersModel) => snapshot(net);

describe('a list of widths', () => {
  it('has weights and statistics for each width', () => {
    const net = model();
    const shapes = Object.fromEntries(
      net.layers[1]!.weights.map(({ originalName, shape }) => [originalName, shape[0]]),
    );
    expect(shapes).toEqual({
      'norm/gamma': 4,
      'norm/beta': 4,
      'norm/gamma_0.5': 2,
      'norm/beta_0.5': 2,
      'norm/moving_mean': 4,
      'norm/moving_variance': 4,
      'norm/moving_mean_0.5': 2,
      'norm/moving_variance_0.5': 2,
    });
  });

  it('changes the statistics of the present width alone', () => {
    const net = model();
    pass(net, 0, 2); // mean 1, variance 1
    setWidth(net, 0.5);
    pass(net, 3, 9); // mean 6, variance 9
    expect(norm(net)['norm/moving_mean']).toBeAllClose([1, 2, 3, 4]);
    expect(norm(net)['norm/moving_variance']).toBeAllClose([1, 4, 9, 16]);
    expect(norm(net)['norm/moving_mean_0.5']).toBeAllClose([6, 12]);
    expect(norm(net)['norm/moving_variance_0.5']).toBeAllClose([9, 36]);
  });

  it('normalises by its own statistics, scale and shift', () => {
    const net = model();
    setWidth(net, 0.5);
    pass(net, 3, 9);
    const { 'norm/gamma_0.5': gamma, 'norm/beta_0.5': beta } = norm(net);
    // (12 - 6) / 3 = 2 in every channel
    const expected = 2 * (gamma![0]! + gamma![1]!) + beta![0]! + beta![1]!;
    expect(outputs(net, x(12))).toBeAllClose([expected]);
  });

  it('has the right gradients', () => {
    const net = model();
    setWidth(net, 0.5);
    const loss = () => tf.mean(tf.square(net.apply(x(1, 4, 5), { training: true }) as tf.Tensor));
    const reached = net.trainableWeights.filter(
      ({ originalName }) => !/mma$|eta$/.test(originalName),
    );
    expect(reached.length).toBe(4);
    const named = reached.map((weight) => [weight.originalName, weight.read() as tf.Variable]);
    checkGradients(loss as () => tf.Scalar, Object.fromEntries(named));
  });

  it('cannot switch scales that transforms are on', () => {
    const net = model();
    parametrize(net.layers[1]!, { gamma: [mask()] });
    expect(() => setWidth(net, 0.5)).toThrow(UnsupportedError);
    const range = model({ min: 0.5 });
    parametrize(range.layers[1]!, { gamma: [mask({ sparsity: 0.5 })] });
    setWidth(range, 0.5);
    pass(range, 1, 2);
  });

  it('is calibrated at each width', async () => {
    const net = model();
    setWidth(net, 0.5);
    const data = { xs: x(1, 3, 5, 7), ys: x(0, 0, 0, 0) };
    await calibrateWidths(net, data, { progress: false });
    expect(norm(net)['norm/moving_mean']).toBeAllClose([4, 8, 12, 16]);
    expect(norm(net)['norm/moving_mean_0.5']).toBeAllClose([4, 8]);
    expect(norm(net)['norm/moving_variance_0.5']).toBeAllClose([5, 20]);
    // It is at width 0.5 still.
    pass(net, 0, 2);
    expect(norm(net)['norm/moving_mean_0.5']).toBeAllClose([1, 2]);
  });
});

describe('a range of widths', () => {
  const range = { min: 0.25 };
  const data = () => ({ xs: x(1, 3, 5, 7), ys: x(0, 0, 0, 0) });
  const quiet = { progress: false } as const;

  it('predicts at calibrated widths, and says what is to be done at others', async () => {
    const net = model(range);
    setWidth(net, 0.7);
    expect(() => net.predict(x(1))).toThrow(UnsupportedError);
    expect(() => net.predict(x(1))).toThrow('calibrateWidths(model, data, { widths: [0.7] })');
    await calibrateWidths(net, data(), { widths: [0.7, 0.25], ...quiet });
    const { 'norm/gamma': gamma, 'norm/beta': beta } = norm(net);
    const sum = (values: number[], n: number) => values.slice(0, n).reduce((a, b) => a + b);
    const expected = (n: number) => sum(gamma!, n) + sum(beta!, n);
    // (4 + sqrt 5 - 4) / sqrt 5 = 1 in every channel
    expect(outputs(net, x(4 + Math.sqrt(5)))).toBeAllClose([expected(3)]);
    setWidth(net, 0.25);
    expect(outputs(net, x(4 + Math.sqrt(5)))).toBeAllClose([expected(1)]);
    setWidth(net, 0.3);
    expect(() => net.predict(x(1))).toThrow('[0.3]');
  });

  it('saves the statistics of every calibrated width', async () => {
    const net = model(range);
    await calibrateWidths(net, data(), { widths: [0.7], ...quiet });
    setWidth(net, 0.7);
    pass(net, 0, 2);
    const loaded = await savedAndLoaded(net);
    expect(outputs(loaded, x(1, 5))).toEqual(outputs(net, x(1, 5)));
    expect(outputs(await extractWidth(loaded, 0.7), x(1, 5))).toBeAllClose(outputs(net, x(1, 5)));
    for (const each of [net, loaded]) setWidth(each, 1);
    expect(outputs(loaded, x(1, 5))).toEqual(outputs(net, x(1, 5)));
    setWidth(loaded, 0.5);
    expect(() => loaded.predict(x(1))).toThrow(UnsupportedError);
  });

  it('trains a width that has no statistics by its batch, and keeps none', () => {
    const net = model(range);
    const before = norm(net);
    setWidth(net, 0.5);
    pass(net, 0, 2);
    expect(norm(net)).toEqual(before);
  });

  it('has the right gradients when narrowed', () => {
    const net = model(range);
    setWidth(net, 0.5);
    const loss = () => tf.mean(tf.square(net.apply(x(1, 4, 5), { training: true }) as tf.Tensor));
    const named = net.trainableWeights.map((weight) => [
      weight.originalName,
      weight.read() as tf.Variable,
    ]);
    checkGradients(loss as () => tf.Scalar, Object.fromEntries(named));
  });

  it('leaks nothing', async () => {
    const net = model(range);
    await expectNoLeaks(async () => {
      const examples = data();
      await calibrateWidths(net, examples, { widths: [0.5, 1], ...quiet });
      setWidth(net, 0.5);
      tf.dispose(net.predict(examples.xs));
      tf.dispose(examples);
    });
  });

  it('extracts a width without statistics for recalibration', async () => {
    const net = model(range);
    pass(net, 0, 2);
    const plain = await extractWidth(net, 0.5);
    expect(snapshot(plain)['norm/moving_mean']).toBeAllClose([1, 2]);
    await recalibrateBatchNorm(plain, data(), quiet);
    expect(snapshot(plain)['norm/moving_mean']).toBeAllClose([4, 8]);
  });
});

describe('calibrateWidths', () => {
  const data = () => ({ xs: x(1, 3), ys: x(0, 0) });
  it('names what is missing', async () => {
    await expect(calibrateWidths(model({ min: 0.5 }), data())).rejects.toThrow(OptionError);
    await expect(calibrateWidths(model(), data(), { widths: [0.7] })).rejects.toThrow('0.5, 1');
    const without = tfl.sequential({
      layers: [slimmableDense({ units: 1, widths, inputShape: [1] })],
    });
    await expect(calibrateWidths(without, data())).rejects.toThrow(NoMatchError);
    const wrong = { width: [1] } as never;
    await expect(calibrateWidths(model(), data(), wrong)).rejects.toThrow('width');
  });
});
