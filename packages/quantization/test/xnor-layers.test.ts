import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { Random } from '@thimble/base';
import {
  finalize,
  finalizeReport,
  fit,
  parametrizedWeights,
  releaseMoment,
  setMoment,
  summarize,
} from '@thimble/core';
import { xnorConv2d, xnorDense } from '@thimble/quantization';
import {
  describeLayerContract,
  expectSameOutputs,
  savedAndLoaded,
  smallModel,
  snapshot,
  train,
  useCpu,
} from '@thimble/testing';
import { describe, expect, it } from 'vitest';

useCpu();

const skip = { skip: 'signs have none; by hand below' };

describeLayerContract('xnorDense', {
  make: () => xnorDense({ units: 3, activation: 'tanh' }),
  inputShape: [4],
  gradients: skip,
});
describeLayerContract('xnorConv2d', {
  make: () =>
    xnorConv2d({ filters: 2, kernelSize: 2, padding: 'same', scaling: 'weightsAndInputs' }),
  inputShape: [3, 4, 2],
  gradients: skip,
});
describeLayerContract('xnorConv2d, channels first, no scale', {
  make: () =>
    xnorConv2d({ filters: 2, kernelSize: 2, dataFormat: 'channelsFirst', scaling: 'none' }),
  inputShape: [2, 3, 4],
  gradients: skip,
});

const sign = (value: number) => (value >= 0 ? 1 : -1);
const values = (size: number, seed: number) => {
  const random = new Random(seed);
  return Array.from({ length: size }, () => random.normal());
};
const mean = (list: number[]) => list.reduce((sum, value) => sum + value, 0) / list.length;

describe('xnorDense', () => {
  const kernel = [0.5, -1.5, -0.25, 0.5, -0.75, -1]; // [3, 2]: scales 0.5 and 1
  const x = [0.5, -2, 0, -0.25, 3, -0.5]; // [2, 3]
  const make = (scaling: 'weights' | 'weightsAndInputs' | 'none') => {
    const layer = xnorDense({
      units: 2,
      useBias: false,
      batchNormalization: false,
      scaling,
      weights: [tf.tensor2d(kernel, [3, 2])],
      inputShape: [3],
    });
    return { layer, model: tfl.sequential({ layers: [layer] }) };
  };
  // signs of x: + - +, - + -; of the kernel: + -, - +, - -
  const products = [1, -3, -1, 3];

  it('multiplies signs with signs, and with the scales that were asked for', () => {
    const input = tf.tensor2d(x, [2, 3]);
    expect(make('none').model.predict(input) as tf.Tensor).toBeAllClose(
      [products.slice(0, 2), products.slice(2)],
      0,
    );
    expect(make('weights').model.predict(input) as tf.Tensor).toBeAllClose(
      [
        [0.5, -3],
        [-0.5, 3],
      ],
      1e-6,
    );
    const k = [2.5 / 3, 3.75 / 3];
    expect(make('weightsAndInputs').model.predict(input) as tf.Tensor).toBeAllClose(
      [
        [0.5 * k[0]!, -3 * k[0]!],
        [-0.5 * k[1]!, 3 * k[1]!],
      ],
      1e-6,
    );
  });

  it('passes gradients through the signs of inputs inside [-1, 1], and to the kernel by its transform', () => {
    const { layer, model } = make('weights');
    const [weight] = parametrizedWeights(model);
    const input = tf.variable(tf.tensor2d(x, [2, 3]));
    const loss = () => tf.sum(layer.apply(input, { training: true }) as tf.Tensor) as tf.Scalar;
    setMoment({ step: 0, seed: 0, learningRate: 1 }); // as in `fit`: the stored weight is left alone
    const { grads } = tf.variableGrads(loss, [input, weight!.variable]);
    releaseMoment();
    // rows of W' = a sign(W): 0.5 - 1, -0.5 + 1, -0.5 - 1
    expect(grads[input.name]!).toBeAllClose(
      [
        [-0.5, 0, -1.5],
        [-0.5, 0, -1.5],
      ],
      1e-6,
    );
  });

  it('normalises first, with the statistics of the batch in training', () => {
    const layer = xnorDense({
      units: 1,
      useBias: false,
      inputShape: [1],
      scaling: 'none',
      kernelInitializer: 'ones',
    });
    tfl.sequential({ layers: [layer] });
    const run = (training: boolean) =>
      (layer.apply(tf.tensor2d([[1], [2], [9]]), { training }) as tf.Tensor).dataSync();
    // mean 4: below, below, above; at test time the moving mean is 0 still
    expect(Array.from(run(true))).toEqual([-1, -1, 1]);
    expect(Array.from(run(false))).toEqual([1, 1, 1]);
    expect(layer.weights.map(({ originalName }) => originalName.split('/').at(-1))).toEqual([
      'kernel',
      'gamma',
      'beta',
      'moving_mean',
      'moving_variance',
    ]);
  });
});

describe('xnorConv2d', () => {
  const [height, width, channels, filters] = [4, 3, 2, 3];
  const x = values(height * width * channels, 1);
  const kernel = values(2 * 2 * channels * filters, 2);

  /** In double precision, place by place. */
  function reference(withInputs: boolean): number[] {
    const at = (i: number, j: number, c: number) => x[(i * width + j) * channels + c]!;
    const w = (a: number, b: number, c: number, f: number) =>
      kernel[((a * 2 + b) * channels + c) * filters + f]!;
    const places = [0, 1].flatMap((a) => [0, 1].map((b) => [a, b] as const));
    const result: number[] = [];
    for (let i = 0; i < height - 1; i++) {
      for (let j = 0; j < width - 1; j++) {
        const k = mean(
          places.flatMap(([a, b]) => [0, 1].map((c) => Math.abs(at(i + a, j + b, c)))),
        );
        for (let f = 0; f < filters; f++) {
          const scale = mean(
            places.flatMap(([a, b]) => [0, 1].map((c) => Math.abs(w(a, b, c, f)))),
          );
          let sum = 0;
          for (const [a, b] of places) {
            for (const c of [0, 1]) sum += sign(at(i + a, j + b, c)) * sign(w(a, b, c, f));
          }
          result.push(sum * scale * (withInputs ? k : 1));
        }
      }
    }
    return result;
  }

  it.each(['weights', 'weightsAndInputs'] as const)(
    'is the convolution of the signs: %s',
    (scaling) => {
      const layer = xnorConv2d({
        filters,
        kernelSize: 2,
        useBias: false,
        batchNormalization: false,
        scaling,
        weights: [tf.tensor4d(kernel, [2, 2, channels, filters])],
        inputShape: [height, width, channels],
      });
      const model = tfl.sequential({ layers: [layer, tfl.layers.flatten()] });
      const y = model.predict(tf.tensor4d(x, [1, height, width, channels])) as tf.Tensor;
      expect(y).toBeAllClose([reference(scaling === 'weightsAndInputs')], 1e-5);
    },
  );
});

describe('xnor layers in a model', () => {
  const build = () =>
    smallModel(() => xnorConv2d({ filters: 4, kernelSize: 3, name: 'binary' }), [6, 6, 2]);

  it('count one bit per weight, 32 per scale, and their multiply-adds; also when finalized', async () => {
    const model = build();
    const row = (table: ReturnType<typeof summarize>) =>
      table.layers.find(({ name }) => name === 'binary')!;
    const bits = 3 * 3 * 2 * 4 + 4 * 32 + 4 * 32 + 4 * 2 * 32; // signs, scales, biases, normalisation
    expect(row(summarize(model))).toMatchObject({ op: 'xnorConv2d', bits, macs: 16 * 72 });
    const plain = await finalize(model);
    expect(row(summarize(plain))).toMatchObject({ bits, macs: 16 * 72 });
    expect(finalizeReport(plain)).toEqual([{ name: 'binary', className: 'ThimbleXnorConv2D' }]);
  });

  it('stay when finalized, with the same outputs, and are saved and loaded', async () => {
    const model = build();
    const x = tf.randomNormal([4, 6, 6, 2], 0, 1, 'float32', 5);
    await train(model, x);
    const plain = await finalize(model);
    expectSameOutputs(model, plain, x);
    expectSameOutputs(model, await savedAndLoaded(plain), x);
    expectSameOutputs(model, await savedAndLoaded(model), x);
  });

  it('train in fit, and evaluating changes no weight', async () => {
    const model = build();
    const before = snapshot(model);
    const xs = tf.randomNormal([8, 6, 6, 2], 0, 1, 'float32', 5);
    await fit(model, { xs, ys: tf.ones([8, 1]) }, { epochs: 2, progress: false });
    const after = snapshot(model);
    for (const name of Object.keys(before)) expect(after[name], name).not.toEqual(before[name]);
    tf.dispose(model.evaluate(xs, tf.ones([8, 1]), { verbose: 0 }));
    expect(snapshot(model)).toEqual(after);
  });

  it('refuse scalings that they do not know', () => {
    expect(() => xnorDense({ units: 1, scaling: 'both' } as never)).toThrow(
      'scaling must be one of',
    );
  });
});
