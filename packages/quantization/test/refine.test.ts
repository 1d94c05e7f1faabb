// What is done about the loss of rounding: bias correction and AdaRound.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { NoMatchError, OptionError, UnsupportedError, withSeed } from '@thimble/base';
import { foldBatchNorm, parametrizedWeights, probe } from '@thimble/core';
import { adaRound, correctBias, quantize, quantizeReport } from '@thimble/quantization';
import { checkGradients, expectNoLeaks, outputs, snapshot, useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';
import { adaptiveRounding } from '../src/adaptive-rounding.ts';

useCpu();

const quiet = { progress: false } as const;

function network(): tfl.Sequential {
  return withSeed(3, () =>
    tfl.sequential({
      layers: [
        tfl.layers.conv2d({ filters: 3, kernelSize: 2, inputShape: [5, 5, 1] }),
        tfl.layers.batchNormalization(),
        tfl.layers.reLU(),
        tfl.layers.depthwiseConv2d({ kernelSize: 2, activation: 'relu' }),
        tfl.layers.separableConv2d({ filters: 4, kernelSize: 2, activation: 'relu' }),
        tfl.layers.flatten(),
        tfl.layers.dense({ units: 3 }),
      ],
    }),
  );
}
const images = (n: number, seed: number) =>
  ({ xs: tf.randomUniform([n, 5, 5, 1], 0, 1, 'float32', seed), ys: tf.zeros([n, 3]) }) as const;

/** Mean squared difference between the outputs of two models. */
function distance(a: tfl.LayersModel, b: tfl.LayersModel, x: tf.Tensor): number {
  const [ours, theirs] = [outputs(a, x), outputs(b, x)];
  return ours.reduce((sum, y, i) => sum + (y - theirs[i]!) ** 2, 0) / ours.length;
}

describe('correctBias', () => {
  it('by hand: a layer with inputs of mean 2 and 3', async () => {
    const kernel = [
      [1.4, -3],
      [0.4, 1.6],
    ]; // prettier-ignore
    const model = tfl.sequential({
      layers: [
        tfl.layers.dense({
          units: 2,
          name: 'dense',
          activation: 'relu',
          inputShape: [2],
          weights: [tf.tensor2d(kernel), tf.tensor1d([0.5, 1])],
        }),
      ],
    });
    // One step of 1 for all at 3 bits: kernel rounds to [[1, -3], [0, 2]].
    const q = await quantize(model, { bits: 3, granularity: 'tensor' });
    const calibration = {
      xs: tf.tensor2d([
        [1, 4],
        [3, 2],
      ]),
      ys: tf.zeros([2, 2]),
    }; // prettier-ignore
    const report = await correctBias(q, { original: model, calibration, ...quiet });
    // E[W x] = 2 * 1.4 + 3 * 0.4 = 4 and -6 + 4.8; E[W' x] = 2 and 0: 2 more, and 1.2 less.
    const [bias] = q.weights.filter(({ originalName }) => originalName.endsWith('bias'));
    expect([...bias!.read().dataSync()]).toBeAllClose([2.5, -0.2], 1e-5);
    expect(report).toEqual({
      corrected: [{ layer: 'dense', moved: expect.closeTo(1.6, 5) }],
      left: [],
    });
  });

  it('by hand: inputs that are rounded, with a mean of 1.44 before and of 1.2 after', async () => {
    const model = tfl.sequential({
      layers: [
        tfl.layers.dense({
          units: 2,
          inputShape: [1],
          weights: [tf.tensor2d([[1, -1]]), tf.tensor1d([0.5, 1])],
        }),
      ],
    });
    // Two bits over 0 to 3 have the step 1: 1.4 becomes 1. The kernel is not rounded.
    const calibration = { xs: tf.tensor2d([[0], [3], [1.4], [1.4], [1.4]]), ys: tf.zeros([5, 2]) };
    const options = { calibration, activations: { bits: 2 }, biasCorrection: true, ...quiet };
    const q = await quantize(model, options);
    const biases = () => [
      ...q.weights
        .find(({ originalName }) => originalName.endsWith('bias'))!
        .read()
        .dataSync(),
    ];
    expect(biases()).toBeAllClose([0.74, 0.76], 1e-5);
    expect(quantizeReport(q).biases!.corrected[0]!.moved).toBeCloseTo(0.24, 5);
    await correctBias(q, { original: model, calibration, ...quiet });
    expect(biases()).toBeAllClose([0.74, 0.76], 1e-5);
  });

  it('gives every layer the mean answers of the original', async () => {
    const original = await foldBatchNorm(network());
    const calibration = images(40, 1);
    const q = await quantize(original, { bits: 3 });
    const means = async (model: tfl.LayersModel) => {
      const layers = model.layers.filter((layer) => layer.getWeights().length > 0);
      const found: number[][] = [];
      // All but the last have ReLU: of that layer the outputs are the answers.
      await probe(
        model,
        calibration,
        { layers: layers.slice(-1), batchSize: 40, ...quiet },
        ({ outputs }) => {
          found.push([...tf.mean(outputs[0]![0]!, 0).dataSync()]);
        },
      );
      return found.flat();
    };
    const wanted = await means(original);
    expect(await means(q)).not.toBeAllClose(wanted, 1e-2);
    const { corrected } = await correctBias(q, { original, calibration, batchSize: 16, ...quiet });
    expect(corrected).toHaveLength(4);
    expect(await means(q)).toBeAllClose(wanted, 1e-4);
  });

  it('corrects layers with their channels first', async () => {
    const model = tfl.sequential({
      layers: [
        tfl.layers.conv2d({
          filters: 3,
          kernelSize: 2,
          inputShape: [1, 4, 4],
          dataFormat: 'channelsFirst',
        }),
      ],
    });
    const q = await quantize(model, { bits: 2 });
    const calibration = { xs: tf.ones([2, 1, 4, 4]), ys: tf.zeros([2, 3, 3, 3]) };
    await correctBias(q, { original: model, calibration, ...quiet });
    // All positions answer alike, so equal means are equal answers.
    expect(outputs(q, calibration.xs)).toBeAllClose(outputs(model, calibration.xs), 1e-5);
  });

  it('refuses other models, and models without biases', async () => {
    const model = network();
    const calibration = images(4, 1);
    const q = await quantize(model);
    const other = tfl.sequential({
      layers: [tfl.layers.dense({ units: 1, inputShape: [2], useBias: false })],
    });
    const two = { xs: tf.ones([2, 2]), ys: tf.ones([2, 1]) };
    await expect(correctBias(q, { original: other, calibration })).rejects.toThrow(
      UnsupportedError,
    );
    await expect(correctBias(other, { original: other, calibration: two })).rejects.toThrow(
      NoMatchError,
    );
    await expect(correctBias(q, { original: q, calibration, examples: 0 })).rejects.toThrow(
      OptionError,
    );
  });
});

describe('adaRound', () => {
  it('finds the best rounding of a small layer', async () => {
    // Three inputs that always are equal, with weights that add up to 1: all of them round down to 0, but
    // with one of them up the layer answers as the original does.
    const kernel = [[0.45], [0.4], [0.15], [7], [-7]]; // prettier-ignore
    const layer = tfl.layers.dense({
      units: 1,
      inputShape: [5],
      useBias: false,
      weights: [tf.tensor2d(kernel)],
    });
    const model = tfl.sequential({ layers: [layer] });
    const x = tf.tidy(() => {
      const same = tf.randomNormal([64, 1], 1, 1, 'float32', 5);
      return tf.concat([same, same, same, tf.zeros([64, 2])], 1);
    });
    const q = await quantize(model, {
      bits: 4,
      calibration: { xs: x, ys: tf.zeros([64, 1]) },
      rounding: { iterations: 150, learningRate: 0.05, stepSize: 64 },
      ...quiet,
    });
    const [codes] = parametrizedWeights(q).map((weight) => [...weight.bake().dataSync()]);
    expect(codes![0]! + codes![1]! + codes![2]!).toBe(1);
    expect(codes!.slice(3)).toEqual([7, -7]);
    const { nearest, adaptive } = quantizeReport(q).rounded![0]!;
    expect(adaptive).toBeLessThan(1e-10);
    // The answer is x, of which nothing was left: the mean of x^2.
    const squares = tf.mean(tf.square(tf.slice(x, [0, 0], [64, 1]))).dataSync()[0]!;
    expect(nearest).toBeCloseTo(squares, 4);
  });

  it('beats rounding to nearest, on data that it has not seen, and keeps to the grid', async () => {
    const original = withSeed(5, () =>
      tfl.sequential({
        layers: [
          tfl.layers.dense({ units: 10, activation: 'relu', inputShape: [16] }),
          tfl.layers.dense({ units: 3 }),
        ],
      }),
    );
    // Sixteen features made of three.
    const spread = tf.randomNormal([3, 16], 0, 1, 'float32', 9);
    const examples = (n: number, seed: number) =>
      tf.matMul(tf.randomNormal([n, 3], 0, 1, 'float32', seed), spread as tf.Tensor2D);
    const nearest = await quantize(original, { bits: 4 });
    const q = await quantize(original, {
      bits: 4,
      calibration: { xs: examples(128, 1), ys: tf.zeros([128, 3]) },
      rounding: { iterations: 200, learningRate: 0.05, stepSize: 64 },
      ...quiet,
    });
    const unseen = examples(100, 2);
    expect(distance(q, original, unseen)).toBeLessThan(0.6 * distance(nearest, original, unseen));
    const moved = parametrizedWeights(q).map((weight, i) => {
      const { values } = weight.encoding();
      if (values.type !== 'affine') throw new Error('not affine');
      const same = parametrizedWeights(nearest)[i]!;
      expect(same.encoding().values).toEqual(values); // the grid is the same
      const [a, b] = [weight.bake().dataSync(), same.bake().dataSync()];
      expect([...weight.variable.dataSync()]).toBeAllClose([...a], 1e-6); // what is stored lies on it
      const largest = Math.max(...values.scale);
      a.forEach((value, j) => {
        expect(Math.abs(value - b[j]!)).toBeLessThan(largest * 1.01); // one step away at most
      });
      return a.filter((value, j) => Math.abs(value - b[j]!) > 1e-6).length;
    });
    expect(moved.every((count) => count > 0)).toBe(true);
  });

  it('works per group, keeps zeros, and gives the same for the same seed', async () => {
    const make = async () => {
      const model = tfl.sequential({
        layers: [
          tfl.layers.dense({
            units: 2,
            inputShape: [5],
            useBias: false,
            weights: [tf.tensor2d([0, 0.3, 0.4, 0, -0.9, 0.2, 0.7, 0.1, 0.35, -0.6], [5, 2])],
          }),
        ],
      });
      const calibration = {
        xs: tf.randomUniform([64, 5], 0, 1, 'float32', 1),
        ys: tf.zeros([64, 2]),
      };
      const q = await quantize(model, {
        bits: 3,
        granularity: { group: 2 },
        calibration,
        rounding: { iterations: 100, learningRate: 0.05 },
        ...quiet,
      });
      expect(quantizeReport(q).rounded![0]!.adaptive).toBeLessThan(
        quantizeReport(q).rounded![0]!.nearest,
      );
      return [...parametrizedWeights(q)[0]!.bake().dataSync()];
    };
    const first = await make();
    expect(first[0]).toBe(0);
    expect(first[3]).toBe(0);
    expect(await make()).toEqual(first);
  });

  it('together with equalisation and bias correction', async () => {
    const model = network();
    const before = snapshot(model);
    const q = await quantize(model, {
      bits: 4,
      granularity: 'tensor',
      ranges: 'mse',
      equalize: true,
      biasCorrection: true,
      calibration: images(60, 1),
      rounding: { iterations: 8, stepSize: 60 },
      ...quiet,
    });
    const { equalized, rounded, biases } = quantizeReport(q);
    expect(equalized!.pairs.length).toBe(4);
    expect(rounded!.length).toBe(4);
    expect(biases!.corrected.length).toBe(4);
    const unseen = images(50, 2).xs;
    const nearest = await quantize(model, { bits: 4, granularity: 'tensor' });
    expect(distance(q, model, unseen)).toBeLessThan(distance(nearest, model, unseen));
    expect(snapshot(model)).toEqual(before);
  });

  it('leaves no tensor behind', async () => {
    const model = await foldBatchNorm(network());
    const calibration = images(8, 1);
    const options = {
      bits: 4,
      calibration,
      biasCorrection: true,
      activations: false,
      ...quiet,
    } as const;
    await expectNoLeaks(async () => {
      (await quantize(model, { ...options, rounding: { iterations: 2 } })).dispose();
    });
  });

  it('leaves the model as it was when it is stopped', async () => {
    const model = await foldBatchNorm(network());
    const q = await quantize(model, { bits: 4 });
    const before = snapshot(q);
    const controller = new AbortController();
    controller.abort(new Error('enough'));
    const options = { original: model, calibration: images(8, 1), signal: controller.signal };
    await expect(adaRound(q, options)).rejects.toThrow('enough');
    await expect(correctBias(q, options)).rejects.toThrow('enough');
    expect(snapshot(q)).toEqual(before);
  });

  it('refuses a model that is not quantised', async () => {
    const model = await foldBatchNorm(network());
    const options = { original: model, calibration: images(4, 1) };
    await expect(adaRound(model, options)).rejects.toThrow(NoMatchError);
    expect(() => quantizeReport(model)).toThrow(UnsupportedError);
  });
});

describe('adaptiveRounding', () => {
  const grid = {
    scale: tf.scalar(0.5),
    zeroPoint: tf.scalar(8),
    low: 1,
    high: 15,
  };
  const site = (weight: tf.Tensor, made: tf.Variable[] = []) =>
    ({
      shape: weight.shape,
      read: () => weight,
      addWeight: (_: string, __: number[], initial: tf.Tensor) => {
        const variable = tf.variable(initial);
        made.push(variable);
        return variable;
      },
    }) as never;
  const pull = { steps: 100, warmUp: 0.2, strength: 0.1 };
  const at = (step: number, training = true) => ({ training, step }) as never;

  it('begins at the weight itself, and rounds to nearest outside training', () => {
    const weight = tf.tensor1d([0.1, 0.4, -0.1, -0.4, 1.3, 0, 0.5]);
    const rounding = adaptiveRounding(grid, undefined, pull);
    const v = rounding.build(site(weight));
    expect([...rounding.apply(weight, v, at(0)).dataSync()]).toBeAllClose(
      [...weight.dataSync()],
      1e-6,
    );
    const nearest = [0, 0.5, 0, -0.5, 1.5, 0, 0.5];
    expect([...rounding.bake(weight, v).dataSync()]).toBeAllClose(nearest, 1e-6);
    expect([...rounding.apply(weight, v, at(0, false)).dataSync()]).toBeAllClose(nearest, 1e-6);
  });

  it('is pulled by the formula of the paper', () => {
    const weight = tf.tensor1d([0.1, 0.4]);
    const rounding = adaptiveRounding(grid, undefined, pull);
    const v = rounding.build(site(weight));
    const penalty = (step: number) => rounding.penalty!(weight, v, at(step)).dataSync()[0]!;
    expect(penalty(19)).toBe(0);
    // h is 0.2 and 0.8: |2 h - 1| = 0.6, twice. beta 20 at the end of the warm-up, 11 half way, 2 at last.
    expect(penalty(20)).toBeCloseTo(0.1 * 2 * (1 - 0.6 ** 20), 5);
    expect(penalty(60)).toBeCloseTo(0.1 * 2 * (1 - 0.6 ** 11), 5);
    expect(penalty(100)).toBeCloseTo(0.1 * 2 * (1 - 0.6 ** 2), 5);
  });

  it('has the right gradients', () => {
    const weight = tf.tensor1d([0.13, 0.41, -0.16, -0.37, 1.3]);
    const rounding = adaptiveRounding(grid, undefined, pull);
    const v = tf.variable(tf.tensor1d([-0.5, 0.2, 0.4, -0.3, 1]));
    const loss = () => {
      const w = rounding.apply(weight, v, at(60));
      const penalty = rounding.penalty!(weight, v, at(60));
      return tf.add(tf.sum(tf.square(w)), penalty) as tf.Scalar;
    };
    checkGradients(loss, { v });
  });
});
