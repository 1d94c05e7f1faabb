import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { encodedBits } from '@thimble/base';
import { fit, parametrize, parametrizedWeights, releaseMoment, setMoment } from '@thimble/core';
import {
  type BinaryConnectOptions,
  binarized,
  binaryConnect,
  binaryConv2d,
  binaryDense,
} from '@thimble/quantization';
import { describeTransformContract, snapshot, useCpu } from '@thimble/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

useCpu();

describeTransformContract('binaryConnect', {
  make: () => binaryConnect(),
  gradient: (_stored, upstream) => upstream,
});

describeTransformContract('stochastic binaryConnect', {
  make: () => binaryConnect({ mode: 'stochastic', scaleLearningRate: true }),
});

/** y = x W with W seen through the transform; W is [in, out]. */
function product(kernel: number[][], options: BinaryConnectOptions = {}) {
  const layer = binaryDense({
    units: kernel[0]!.length,
    useBias: false,
    weights: [tf.tensor2d(kernel)],
    inputShape: [kernel.length],
    ...options,
  });
  const model = tfl.sequential({ layers: [layer] });
  return { model, layer, weight: parametrizedWeights(model)[0]! };
}

/** What the layer computes with in a training pass. */
function seenInTraining(layer: tfl.layers.Layer, inputs: number): number[] {
  return tf.tidy(() => {
    const y = layer.apply(tf.eye(inputs), { training: true }) as tf.Tensor;
    return Array.from(y.dataSync());
  });
}

describe('binaryConnect', () => {
  // google/qkeras, tests/qactivation_test.py: binary quantizer, zero maps to +1.
  it('takes the sign, +1 for 0, as qkeras does', () => {
    const x = [-3, -2, -1, -0.2, 0, 0.3, 1, 4, 10];
    const { layer, weight } = product([x]);
    const signs = [-1, -1, -1, -1, 1, 1, 1, 1, 1];
    expect(weight.bake()).toBeAllClose([signs], 0);
    expect(seenInTraining(layer, 1)).toEqual(signs);
  });

  it('takes one bit per entry when deterministic; the real weight counts when stochastic', () => {
    const deterministic = product([[0.5, -0.25]]).weight;
    expect(encodedBits(deterministic.encoding())).toBe(2);
    const stochastic = product([[0.5, -2]], { mode: 'stochastic' }).weight;
    expect(stochastic.bake()).toBeAllClose([[0.5, -1]], 0);
    expect(encodedBits(stochastic.encoding())).toBe(64);
  });

  it('clips after the step of the optimizer', async () => {
    // y = w' = -1, loss (y - 9)^2, gradient -20; 0.25 of it moves -0.5 to 4.5, which is clipped to 1.
    const { model, weight } = product([[-0.5]]);
    await fit(
      model,
      { xs: new Float32Array([1]), ys: new Float32Array([9]) },
      { loss: 'meanSquaredError', optimizer: tf.train.sgd(0.25), progress: false },
    );
    expect(Array.from(weight.variable.dataSync())).toEqual([1]);
  });

  it("clips at the beginning of the next step in tfjs's own fit, but not when frozen or predicting", async () => {
    const { model, layer, weight } = product([[5]]);
    const y = model.predict(tf.ones([1, 1])) as tf.Tensor;
    expect(y).toBeAllClose([[1]], 0);
    expect(Array.from(weight.variable.dataSync())).toEqual([5]);
    // w = 5 is clipped to 1; y = 1, loss (y - 0)^2, gradient 2; a step of 1/4 leaves 0.5.
    model.compile({ optimizer: tf.train.sgd(0.25), loss: 'meanSquaredError' });
    await model.fit(tf.ones([1, 1]), tf.zeros([1, 1]), { epochs: 1, verbose: 0 });
    expect(Array.from(weight.variable.dataSync())).toEqual([0.5]);
    weight.variable.assign(tf.tensor2d([[5]]));
    layer.trainable = false;
    const head = tfl.layers.dense({ units: 1 });
    model.add(head);
    model.compile({ optimizer: tf.train.sgd(0.25), loss: 'meanSquaredError' });
    await model.fit(tf.ones([1, 1]), tf.zeros([1, 1]), { epochs: 1, verbose: 0 });
    expect(Array.from(weight.variable.dataSync())).toEqual([5]);
  });

  it('scales the update after the optimizer by the fans of the weight', async () => {
    // Two inputs, one output: s = sqrt(3 / 1.5). y = -1 + 1, loss y^2 + ... with target 1: gradient -2
    // for both; SGD adds 2/16 = 0.125 to each, scaled to 0.125 sqrt(2).
    const { model, weight } = product([[-0.5], [0.25]], { scaleLearningRate: true });
    await fit(
      model,
      { xs: new Float32Array([1, 1]), ys: new Float32Array([1]) },
      { loss: 'meanSquaredError', optimizer: tf.train.sgd(1 / 16), progress: false },
    );
    const moved = 0.125 * Math.SQRT2;
    expect(weight.variable).toBeAllClose([[-0.5 + moved], [0.25 + moved]], 1e-6);
  });

  it('has the fans of convolutions with their places, as the authors do', async () => {
    // 3x3 from 2 channels to 4 filters: (2 + 4) * 9 / 1.5 = 36, so SGD's steps grow six times.
    const run = async (scaleLearningRate: boolean) => {
      const layer = binaryConv2d({
        filters: 4,
        kernelSize: 3,
        scaleLearningRate,
        kernelInitializer: 'zeros',
        inputShape: [3, 3, 2],
      });
      const model = tfl.sequential({ layers: [layer, tfl.layers.flatten()] });
      await fit(
        model,
        { xs: tf.randomNormal([1, 3, 3, 2], 0, 1, 'float32', 3), ys: tf.zeros([1, 4]) },
        { loss: 'meanSquaredError', optimizer: tf.train.sgd(1e-4), progress: false },
      );
      return Array.from(parametrizedWeights(model)[0]!.variable.dataSync());
    };
    const [plain, scaled] = [await run(false), await run(true)];
    expect(scaled).toBeAllClose(
      plain.map((value) => value * 6),
      1e-6,
    );
  });

  it('keeps pruned entries of an earlier link at 0, in training too', () => {
    const zeroing = {
      getClassName: () => 'ThimbleTestZeroing',
      getConfig: () => ({}),
      build: () => null,
      apply: (weight: tf.Tensor) => tf.mul(weight, [0, 1, 1]),
      bake: (weight: tf.Tensor) => tf.mul(weight, [0, 1, 1]),
      encoding: () => ({ mask: Uint8Array.of(0, 1, 1) }),
    };
    for (const mode of ['deterministic', 'stochastic'] as const) {
      const layer = tfl.layers.dense({
        units: 3,
        useBias: false,
        weights: [tf.tensor2d([[0.5, 1, -1]])],
        inputShape: [1],
      });
      parametrize(layer, { kernel: [zeroing, binaryConnect({ mode })] });
      const model = tfl.sequential({ layers: [layer] });
      expect(parametrizedWeights(model)[0]!.bake()).toBeAllClose([[0, 1, -1]], 0);
      expect(seenInTraining(layer, 1)).toEqual([0, 1, -1]);
    }
  });

  it('draws anew at every step, the same for one seed, and +1 as often as it says', () => {
    const size = 20_000;
    const probabilities = [0, 0.25, 0.5, 0.9, 1];
    const kernel = probabilities.map((p) => Array.from({ length: size }, () => 2 * p - 1));
    const { layer } = product(kernel, { mode: 'stochastic' });
    const draw = (step: number, seed: number) => {
      setMoment({ step, seed });
      return seenInTraining(layer, probabilities.length);
    };
    const first = draw(0, 1);
    expect(draw(0, 1)).toEqual(first);
    expect(draw(1, 1)).not.toEqual(first);
    expect(draw(0, 2)).not.toEqual(first);
    releaseMoment();
    expect(first.every((value) => Math.abs(value) === 1)).toBe(true);
    probabilities.forEach((p, row) => {
      const ups = first.slice(row * size, (row + 1) * size).filter((value) => value === 1).length;
      // Five standard deviations of the binomial distribution; none for 0 and 1.
      expect(Math.abs(ups / size - p)).toBeLessThanOrEqual(5 * Math.sqrt((p * (1 - p)) / size));
    });
    // Neighbours and successive steps are not correlated.
    const half = first.slice(2 * size, 3 * size);
    const next = draw(1, 1).slice(2 * size, 3 * size);
    releaseMoment();
    const bound = 5 / Math.sqrt(size);
    const correlation = (a: number[], b: number[]) =>
      a.reduce((sum, value, i) => sum + value * b[i]!, 0) / a.length;
    expect(Math.abs(correlation(half.slice(1), half.slice(0, -1)))).toBeLessThan(bound);
    expect(Math.abs(correlation(half, next))).toBeLessThan(bound);
  });

  it('passes the gradient with respect to the drawn weight on to the stored one', () => {
    const { layer, weight } = product([[0.2, -0.3, 5]], { mode: 'stochastic' });
    setMoment({ step: 3, seed: 1 });
    const loss = () =>
      tf.sum(tf.mul(layer.apply(tf.ones([1, 1]), { training: true }) as tf.Tensor, [2, 3, 5]));
    const { grads } = tf.variableGrads(loss as () => tf.Scalar, [weight.variable]);
    releaseMoment();
    expect(Object.values(grads)[0]!).toBeAllClose([[2, 3, 5]], 0);
  });

  it('refuses what it does not know', () => {
    expect(() => binaryConnect({ mode: 'random' } as never)).toThrow(
      'binaryConnect: mode must be deterministic or stochastic, not "random"',
    );
    expect(() => binaryConnect({ modes: 'stochastic' } as never)).toThrow('"modes"');
  });

  it('holds for all weights: entries are signs, and a second look gives the same', () =>
    fc.assert(
      fc.property(
        fc.array(fc.float({ noNaN: true }), { minLength: 1, maxLength: 20 }),
        (values) => {
          const { weight } = product([values]);
          const baked = Array.from(weight.bake().dataSync());
          expect(baked).toEqual(values.map((value) => (value >= 0 ? 1 : -1)));
        },
      ),
      { seed: 42, numRuns: 40 },
    ));
});

describe('binarized', () => {
  it('makes every kernel binary, biases not, built or not', () => {
    const layer = binarized(tfl.layers.lstm({ units: 2, inputShape: [3, 2] }));
    const model = tfl.sequential({ layers: [layer] });
    expect(parametrizedWeights(model).map(({ weight }) => weight)).toEqual([
      'kernel',
      'recurrentKernel',
    ]);
    const built = tfl.layers.separableConv2d({ filters: 2, kernelSize: 2, inputShape: [3, 3, 2] });
    const other = tfl.sequential({ layers: [built] });
    binarized(built, { mode: 'stochastic' });
    expect(parametrizedWeights(other)).toHaveLength(2);
  });

  it('refuses models, layers without kernels, and a second time', () => {
    const model = tfl.sequential({ layers: [tfl.layers.dense({ units: 1, inputShape: [1] })] });
    expect(() => binarized(model)).toThrow('is a model');
    const twice = tfl.layers.dense({ units: 2, name: 'twice' });
    binarized(twice);
    expect(() => binarized(twice)).toThrow('binarized: layer "twice" is binary already.');
    const chained = tfl.layers.dense({ units: 2, name: 'chained', inputShape: [3] });
    tfl.sequential({ layers: [parametrize(chained, { kernel: [binaryConnect()] })] });
    expect(() => binarized(chained)).toThrow('layer "chained" is binary already');
    expect(() => binarized(tfl.layers.flatten())).toThrow('no kernel');
  });

  it('evaluating never changes a stored weight', () => {
    const { model } = product([[3, -0.2]], { mode: 'stochastic' });
    const before = snapshot(model);
    model.compile({ optimizer: 'sgd', loss: 'meanSquaredError' });
    tf.dispose(model.evaluate(tf.ones([2, 1]), tf.ones([2, 2]), { verbose: 0 }));
    tf.dispose(model.predict(tf.ones([2, 1])));
    parametrizedWeights(model)[0]!.encoding();
    expect(snapshot(model)).toEqual(before);
  });
});
