import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { OptionError, ShapeError, UnsupportedError } from '@thimble/base';
import { finalize, foldBatchNorm, parametrize, summarize } from '@thimble/core';
import {
  extractWidth,
  setWidth,
  slimmableBatchNormalization,
  slimmableConv2d,
  slimmableDense,
  slimmableDepthwiseConv2d,
} from '@thimble/dynamic';
import { mask, prunable } from '@thimble/pruning';
import { fakeQuant } from '@thimble/quantization';
import {
  checkGradients,
  describeLayerContract,
  expectNoLeaks,
  outputs,
  savedAndLoaded,
  useCpu,
} from '@thimble/testing';
import { describe, expect, it } from 'vitest';
import { convolutional, inputs, residual, WIDTHS } from './slimmable-models.ts';

useCpu();

const widths = [0.5, 1];
describeLayerContract('slimmableDense', {
  make: () => slimmableDense({ units: 4, activation: 'tanh', widths }),
  inputShape: [5],
});
describeLayerContract('slimmableConv2d', {
  make: () => slimmableConv2d({ filters: 3, kernelSize: 2, strides: 2, widths }),
  inputShape: [4, 4, 2],
});
describeLayerContract('slimmableDepthwiseConv2d', {
  make: () => slimmableDepthwiseConv2d({ kernelSize: 2, depthMultiplier: 2, widths }),
  inputShape: [3, 3, 2],
});

/** Gives a model a set of weights that all differ. */
function fill(model: tfl.LayersModel): void {
  for (const weight of model.weights) {
    const spread = weight.originalName.includes('variance') ? [0.5, 1.5] : [-1, 1];
    const seed = weight.originalName.length;
    const [low, high] = spread as [number, number];
    weight.write(tf.randomUniform(weight.shape as number[], low, high, 'float32', seed));
  }
}

describe('a slimmable network', () => {
  it('computes with the first units and inputs', () => {
    const model = tfl.sequential({
      layers: [
        slimmableDense({ units: 4, widths, inputShape: [2] }),
        slimmableDense({ units: 2, widths }),
      ],
    });
    const first = [1, 2, 3, 4, 5, 6, 7, 8]; // [2, 4]
    model.layers[0]!.setWeights([tf.tensor2d(first, [2, 4]), tf.tensor1d([1, -1, 50, 60])]);
    const second = [1, 0, 2, 1, 70, 80, 90, 100]; // [4, 2]
    model.layers[1]!.setWeights([tf.tensor2d(second, [4, 2]), tf.tensor1d([3, -3])]);
    setWidth(model, 0.5);
    // hidden = [1*10 + 5*1 + 1, 2*10 + 6*1 - 1] = [16, 25]; y = [16 + 2*25 + 3, 25 - 3]
    expect(outputs(model, tf.tensor2d([[10, 1]]))).toEqual([69, 22]);
  });

  it('takes the first channels of every position of a flattened map', () => {
    const model = tfl.sequential({
      layers: [
        slimmableConv2d({
          filters: 4,
          kernelSize: 1,
          useBias: false,
          widths: WIDTHS,
          inputShape: [1, 3, 1],
          weights: [tf.tensor4d([1, 10, 100, 1000], [1, 1, 1, 4])],
        }),
        tfl.layers.flatten(),
        slimmableDense({
          units: 1,
          useBias: false,
          widths: WIDTHS,
          weights: [tf.tensor2d([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], [12, 1])],
        }),
      ],
    });
    const x = tf.tensor4d([1, 2, 3], [1, 1, 3, 1]);
    // Position p has inputs x, 10x, 100x, 1000x and rows 4p + 1 to 4p + 4.
    const expected = (channels: number) =>
      [1, 2, 3].reduce((sum, value, p) => {
        for (let c = 0; c < channels; c++) sum += value * 10 ** c * (4 * p + c + 1);
        return sum;
      }, 0);
    for (const [i, width] of WIDTHS.entries()) {
      setWidth(model, width);
      expect(outputs(model, x)).toEqual([expected(i + 1)]);
    }
  });

  const networks = { convolutional, residual };
  for (const [name, make] of Object.entries(networks)) {
    it.each(WIDTHS)(`equals its plain model: ${name}, width %f`, async (width) => {
      const model = make();
      fill(model);
      const x = inputs(model);
      const plain = await extractWidth(model, width);
      expect(plain.layers.some((layer) => layer.getClassName().startsWith('Thimble'))).toBe(false);
      setWidth(model, width);
      expect(outputs(model, x)).toBeAllClose(outputs(plain, x), 1e-5);
      expect(outputs(await finalize(model), x)).toEqual(outputs(plain, x));
      expect(outputs(await foldBatchNorm(model), x)).toBeAllClose(outputs(plain, x), 1e-4);
      expect(summarize(model).total.macs).toBe(summarize(plain).total.macs);
      const kernels = plain.layers.filter(({ name: own }) => /^(conv|stem|branch)/.test(own));
      for (const { filters } of kernels as unknown as { filters: number }[]) {
        expect([8 * width, 12 * width]).toContain(filters);
      }
    });
  }

  it('counts what the present width computes', () => {
    const model = residual();
    const macs = (channels: number) =>
      36 * 9 * channels + 36 * 9 * channels * channels + 4 * channels;
    for (const width of WIDTHS) {
      setWidth(model, width);
      expect(summarize(model).total.macs).toBe(macs(8 * width));
    }
  });

  it.each([0.25, 1])('has the right gradients at width %f', (width) => {
    const model = tfl.sequential({
      layers: [
        slimmableConv2d({
          filters: 4,
          kernelSize: 2,
          activation: 'tanh',
          widths: WIDTHS,
          inputShape: [3, 3, 2],
        }),
        slimmableDepthwiseConv2d({ kernelSize: 1, widths: WIDTHS }),
        tfl.layers.flatten(),
        slimmableDense({ units: 4, activation: 'tanh', widths: WIDTHS }),
        slimmableDense({ units: 2, widths: WIDTHS }),
      ],
    });
    setWidth(model, width);
    const x = inputs(model);
    const loss = () =>
      tf.mean(tf.square(tf.sub(model.apply(x, { training: true }) as tf.Tensor, 1))) as tf.Scalar;
    checkGradients(
      loss,
      Object.fromEntries(
        model.trainableWeights.map((weight) => [weight.originalName, weight.read() as tf.Variable]),
      ),
    );
  });

  it('comes back from a saved model with its width, and all others', async () => {
    const model = convolutional();
    fill(model);
    setWidth(model, 0.5);
    const loaded = await savedAndLoaded(model);
    const x = inputs(model);
    expect(outputs(loaded, x)).toEqual(outputs(model, x));
    for (const each of [model, loaded]) setWidth(each, 0.75);
    expect(outputs(loaded, x)).toEqual(outputs(model, x));
  });

  it('sees its kernels through masks and fake quantisation', async () => {
    const model = convolutional();
    fill(model);
    const [conv, , , , depthwise] = model.layers;
    parametrize(conv!, { kernel: [mask({ sparsity: 0.5 }), fakeQuant({ bits: 8 })] });
    prunable(depthwise!, { sparsity: 0.5 });
    parametrize(model.layers.at(-2)!, { kernel: [fakeQuant({ bits: 4 })] });
    const x = inputs(model);
    for (const width of WIDTHS) {
      setWidth(model, width);
      const plain = await extractWidth(model, width);
      const [kernel] = plain.layers[0]!.getWeights();
      const zeros = kernel!.dataSync().filter((value) => value === 0).length;
      expect(zeros).toBeGreaterThan(0);
      expect(outputs(model, x)).toBeAllClose(outputs(plain, x), 1e-5);
      expect(outputs(await savedAndLoaded(model), x)).toEqual(outputs(model, x));
    }
  });

  it('notices new weights, and leaves no tensor behind', async () => {
    const model = convolutional();
    const x = inputs(model);
    setWidth(model, 0.5);
    const before = outputs(model, x);
    fill(model);
    const after = outputs(model, x);
    expect(after).not.toEqual(before);
    expect(after).toEqual(outputs(await extractWidth(model, 0.5), x));
    await expectNoLeaks(async () => {
      for (const width of [0.25, 1, 0.5]) {
        setWidth(model, width);
        tf.dispose(model.predict(x));
        (await extractWidth(model, width)).dispose();
      }
    });
    tf.dispose(model.predict(x));
    const { numTensors } = tf.memory();
    const weights = model.weights.length;
    model.dispose();
    // At width 0.5 the parts of the kernels and biases of five layers are kept.
    expect(numTensors - tf.memory().numTensors).toBe(weights + 10);
  });

  it('refuses inputs of another width than its own', () => {
    const model = residual();
    setWidth(model, 0.5);
    const layer = model.getLayer('branch');
    expect(() => layer.apply(tf.ones([1, 6, 6, 8]))).toThrow(ShapeError);
    expect(() => layer.apply(tf.ones([1, 6, 6, 8]))).toThrow('"branch" is set to 4 input channels');
  });
});

describe('arguments', () => {
  it.each([[[]], [[0.5]], [[0, 1]], [[0.5, 1.5]], ['half'], [{ min: 0 }], [{}], [undefined]])(
    'refuses widths %j',
    (wrong) => {
      const args = { units: 4, widths: wrong as never };
      expect(() => slimmableDense(args)).toThrow(OptionError);
    },
  );

  it('refuses channels first, and another axis', () => {
    const conv = { filters: 2, kernelSize: 1, widths, dataFormat: 'channelsFirst' } as const;
    expect(() => slimmableConv2d(conv)).toThrow(UnsupportedError);
    expect(() => slimmableDepthwiseConv2d(conv)).toThrow(UnsupportedError);
    expect(() => slimmableBatchNormalization({ widths, axis: 1 })).toThrow(UnsupportedError);
  });
});
