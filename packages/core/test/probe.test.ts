import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { OptionError, withSeed } from '@thimble/base';
import { probe, withLayerOutputs } from '@thimble/core';
import { expectNoLeaks, useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';

useCpu();

/** y = w2 * relu(w1 * x), all of one number. */
function tiny(w1: number, w2: number): tfl.Sequential {
  const weights = (w: number) => [tf.tensor2d([[w]])];
  return tfl.sequential({
    layers: [
      tfl.layers.dense({
        units: 1,
        useBias: false,
        activation: 'relu',
        inputShape: [1],
        weights: weights(w1),
      }),
      tfl.layers.dropout({ rate: 0.5 }),
      tfl.layers.dense({ units: 1, useBias: false, weights: weights(w2) }),
    ],
  });
}

describe('probe', () => {
  it('shows outputs and gradients of the mean loss, in inference mode', async () => {
    // x = 2, y = 1: z = 3 * 2 = 6, answer 0.5 * 6 = 3, loss (3 - 1)^2 = 4.
    // dL/danswer = 2 * 2 = 4; dL/dz = 4 * 0.5 = 2; dL/dw2 = 4 * 6 = 24; dL/dw1 = 2 * 2 = 4.
    const model = tiny(3, 0.5);
    const [first, , last] = model.layers;
    const variables = [first!, last!].map((layer) => layer.weights[0]!.read() as tf.Variable);
    const data = { xs: tf.tensor2d([[2]]), ys: tf.tensor2d([[1]]) };
    const seen: number[][] = [];
    await probe(
      model,
      data,
      {
        layers: [first!, last!],
        variables,
        outputGradients: true,
        loss: 'meanSquaredError',
        progress: false,
      },
      ({ outputs, outputGradients, gradients }) => {
        for (const tensors of [outputs.flat(), outputGradients.flat(), gradients]) {
          seen.push(tensors.map((tensor) => tensor.dataSync()[0]!));
        }
      },
    );
    expect(seen).toEqual([
      [6, 3],
      [2, 4],
      [4, 24],
    ]);
  });

  it('looks at the first examples only, in order, and leaves no tensor', async () => {
    const model = withSeed(1, () => tiny(1, 1));
    const data = { xs: tf.tensor2d([[1], [2], [3], [4], [5]]), ys: tf.zeros([5, 1]) };
    const sizes: number[] = [];
    await expectNoLeaks(async () => {
      sizes.length = 0;
      const options = { layers: model.layers, limit: 3, batchSize: 2, progress: false } as const;
      await probe(model, data, options, ({ batch, outputs }) => {
        expect(outputs[0]![0]!.dataSync().length).toBe(batch.size);
        sizes.push(batch.size);
      });
    });
    expect(sizes).toEqual([2, 1]);
  });

  it('needs a loss for gradients', async () => {
    const model = tiny(1, 1);
    const data = { xs: tf.ones([1, 1]), ys: tf.ones([1, 1]) };
    const options = { layers: model.layers, outputGradients: true, progress: false } as const;
    await expect(probe(model, data, options, () => {})).rejects.toThrow(OptionError);
  });
});

describe('withLayerOutputs', () => {
  it('shows every call of a shared layer, and takes what it is given instead', () => {
    const shared = tfl.layers.dense({ units: 1, useBias: false, weights: [tf.tensor2d([[2]])] });
    const input = tfl.input({ shape: [1] });
    const twice = shared.apply(shared.apply(input)) as tfl.SymbolicTensor;
    const model = tfl.model({ inputs: input, outputs: twice });
    const seen: number[] = [];
    const result = tf.tidy(() =>
      withLayerOutputs(
        [shared],
        (_, output, call) => {
          seen.push(output.dataSync()[0]!);
          return call === 0 ? tf.add(output, 1) : undefined;
        },
        () => (model.predict(tf.ones([1, 1])) as tf.Tensor).dataSync()[0]!,
      ),
    );
    expect(seen).toEqual([2, 6]); // 2 * 1, then 2 * (2 + 1)
    expect(result).toBe(6);
  });

  it('puts the layers back when the body throws', () => {
    const layer = tfl.layers.dense({ units: 1, inputShape: [1] });
    tfl.sequential({ layers: [layer] });
    const failing = () => {
      throw new Error('no');
    };
    expect(() => withLayerOutputs([layer], () => undefined, failing)).toThrow('no');
    expect(Object.hasOwn(layer, 'call')).toBe(false);
  });
});
