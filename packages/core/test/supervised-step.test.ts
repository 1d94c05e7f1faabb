import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { Random, UnsupportedError } from '@thimble/base';
import { fit, lossAndGradients, type StepContext, supervisedStep } from '@thimble/core';
import { beforeAll, describe, expect, it } from 'vitest';
import { line, useCpu } from './training-models.ts';

beforeAll(useCpu);

function contextOf(model: tfl.LayersModel, xs: number[], ys: number[]): StepContext {
  return {
    model,
    variables: model.trainableWeights.map((weight) => weight.read() as tf.Variable),
    step: 0,
    epoch: 0,
    batch: {
      xs: [tf.tensor2d(xs, [xs.length, 1])],
      ys: [tf.tensor2d(ys, [ys.length, 1])],
      indices: Uint32Array.from(xs, (_, i) => i),
      size: xs.length,
    },
    random: (key) => new Random(key),

    resetOptimizer: () => {},
  };
}

describe('supervisedStep', () => {
  it('computes loss, gradients and metrics', () => {
    // w = 2: errors of 2x - y are 1 and 4; loss (1 + 16) / 2, gradient 2 (1*1 + 4*2) / 2.
    const step = supervisedStep({ loss: 'meanSquaredError', metrics: ['mae'] });
    const { loss, gradients, logs } = step(contextOf(line(2), [1, 2], [1, 0]), []);
    expect(loss.dataSync()[0]).toBe(8.5);
    expect(gradients.map((g) => g.arraySync())).toEqual([[[9]]]);
    expect(logs.mae!.dataSync()[0]).toBe(2.5);
  });

  it('hands the loss and outputs through the hooks, before penalties', () => {
    const model = line(2, { kernelRegularizer: tfl.regularizers.l2({ l2: 1 }) });
    const seen: number[] = [];
    const hook = {
      loss(loss: tf.Scalar, [output]: tf.Tensor[]): tf.Scalar {
        seen.push(loss.dataSync()[0]!, output!.dataSync()[0]!);
        return tf.mul(loss, 10);
      },
    };
    const step = supervisedStep({ loss: 'meanSquaredError' });
    const { loss, gradients } = step(contextOf(model, [1], [0]), [hook, {}]);
    expect(seen).toEqual([4, 2]);
    // 10 (2)^2 + 2^2, and its derivative 10 * 2 * 2 + 2 * 2.
    expect(loss.dataSync()[0]).toBe(44);
    expect(gradients[0]!.dataSync()[0]).toBe(44);
  });

  it('gives zeros for weights that the loss does not depend on', () => {
    const [used, unused] = [tf.variable(tf.scalar(3)), tf.variable(tf.ones([2]))];
    const { gradients } = lossAndGradients(() => tf.square(used) as tf.Scalar, [used, unused]);
    expect(gradients.map((g) => Array.from(g.dataSync()))).toEqual([[6], [0, 0]]);
  });

  it('leaves nothing behind when a hook throws inside the gradient', () => {
    const context = contextOf(line(), [1], [1]);
    const step = supervisedStep({ loss: 'meanSquaredError' });
    const hook = {
      loss(): never {
        throw new Error('broken');
      },
    };
    const { numTensors, numDataBuffers } = tf.memory();
    expect(() => tf.tidy(() => step(context, [hook]) as never)).toThrow('broken');
    expect(tf.memory()).toMatchObject({ numTensors, numDataBuffers });
    // And the next gradient works.
    expect(
      tf
        .grad((x) => tf.square(x))(tf.scalar(3))
        .dataSync()[0],
    ).toBe(6);
  });

  it('refuses a model with nothing to train', async () => {
    const model = line();
    model.layers[0]!.trainable = false;
    const data = { xs: tf.ones([2, 1]), ys: tf.ones([2, 1]) };
    await expect(fit(model, data, { loss: 'hinge', progress: false })).rejects.toThrow(
      UnsupportedError,
    );
  });
});

describe('penalties', () => {
  const penalized = () =>
    tfl.layers.dense({
      units: 1,
      useBias: false,
      kernelInitializer: 'ones',
      kernelRegularizer: tfl.regularizers.l2({ l2: 1 }),
    });

  function lossOf(model: tfl.LayersModel): number {
    // The data term is 0, so that what is left is the penalty.
    const step = supervisedStep({ loss: (_, yPred) => tf.mul(tf.sum(yPred), 0) });
    return step(contextOf(model, [1], [1]), []).loss.dataSync()[0]!;
  }

  it('of a layer that is applied twice count once; tfjs counts them twice', () => {
    const input = tfl.input({ shape: [1] });
    const shared = penalized();
    const output = shared.apply(shared.apply(input)) as tfl.SymbolicTensor;
    expect(lossOf(tfl.model({ inputs: input, outputs: output }))).toBe(1);
  });

  it('of nested models count once', () => {
    const inner = tfl.sequential({
      layers: [tfl.layers.inputLayer({ inputShape: [1] }), penalized()],
    });
    const input = tfl.input({ shape: [1] });
    const twice = inner.apply(inner.apply(input)) as tfl.SymbolicTensor;
    const output = penalized().apply(twice) as tfl.SymbolicTensor;
    expect(lossOf(tfl.model({ inputs: input, outputs: output }))).toBe(2);
  });

  it('of recurrent cells and of layers inside wrappers count; tfjs forgets the cells', () => {
    const recurrent = tfl.layers.simpleRNN({
      units: 1,
      kernelInitializer: 'ones',
      recurrentInitializer: 'zeros',
      kernelRegularizer: tfl.regularizers.l2({ l2: 1 }),
      returnSequences: true,
      inputShape: [2, 1],
    });
    const model = tfl.sequential({
      layers: [
        tfl.layers.repeatVector({ n: 2, inputShape: [1] }),
        recurrent,
        tfl.layers.timeDistributed({ layer: penalized() }),
        tfl.layers.flatten(),
      ],
    });
    model.predict(tf.ones([1, 1]));
    expect(lossOf(model)).toBe(2);
  });
});
