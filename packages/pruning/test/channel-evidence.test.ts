import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { type ChannelCriterion, type ChannelEvidence, prune } from '@thimble/pruning';
import { useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';

useCpu();

/** What a criterion is shown of the group of channels that a layer makes. */
async function evidenceOf(
  model: tfl.LayersModel,
  layer: string,
  data: { xs: tf.Tensor; ys: tf.Tensor },
): Promise<ChannelEvidence> {
  let seen: ChannelEvidence | undefined;
  const criterion: ChannelCriterion = {
    name: 'looking',
    level: 'channel',
    needs: ['activations', 'taylor', 'contributions'],
    score: (evidence) => {
      seen = evidence;
      return new Float64Array(evidence.group.size);
    },
  };
  const options = { criterion, granularity: 'neuron', sparsity: 0, targets: layer } as const;
  await prune(model, { ...options, data, loss: 'meanSquaredError', batchSize: 1 });
  return seen!;
}

describe('the evidence of channels', () => {
  // h = relu(x W), W = [[1, -1], [2, 1]]; y = h V, V = [[3], [-2]].
  // x = (1, 1): h = (3, 0), y = 9. x = (1, 3): h = (7, 2), y = 17.
  const dense = () =>
    tfl.sequential({
      layers: [
        tfl.layers.dense({
          name: 'a',
          units: 2,
          activation: 'relu',
          useBias: false,
          inputShape: [2],
          weights: [
            tf.tensor2d([
              [1, -1],
              [2, 1],
            ]),
          ],
        }),
        tfl.layers.dense({
          name: 'b',
          units: 1,
          activation: 'sigmoid',
          weights: [tf.tensor2d([[3], [-2]]), tf.tensor1d([0.5])],
        }),
        tfl.layers.dense({
          name: 'c',
          units: 1,
          useBias: false,
          weights: [tf.tensor2d([[1]])],
        }),
      ],
    });
  const data = () => ({
    xs: tf.tensor2d([
      [1, 1],
      [1, 3],
    ]),
    ys: tf.tensor2d([[0], [1]]),
  });

  it('has means, zeros and classes, example by example', async () => {
    const { activations } = await evidenceOf(dense(), 'a', data());
    expect(activations!.examples).toBe(2);
    expect(Array.from(activations!.mean)).toEqual([3, 0, 7, 2]);
    expect(Array.from(activations!.zeros)).toEqual([0, 1, 0, 0]);
    expect(Array.from(activations!.labels)).toEqual([0, 1]);
  });

  it('has activation times gradient of the loss of each example by itself', async () => {
    const model = dense();
    const { activations } = await evidenceOf(model, 'a', data());
    // p = sigmoid(y + 0.5), loss (p - t)^2: dL/dh_j = 2 (p - t) p (1 - p) V_j.
    const expected = [
      { h: [3, 0], y: 9, t: 0 },
      { h: [7, 2], y: 17, t: 1 },
    ].flatMap(({ h, y, t }) => {
      const p = 1 / (1 + Math.exp(-(y + 0.5)));
      return h.map((value, j) => value * 2 * (p - t) * p * (1 - p) * [3, -2][j]!);
    });
    expect(Array.from(activations!.taylor!)).toBeAllClose(expected, 1e-6);
  });

  it('has what each channel adds to the answers of the next layer, without bias and activation', async () => {
    const { contributions } = await evidenceOf(dense(), 'a', data());
    const { samples, gram, correlations, energy } = contributions!;
    // Layer b has one answer: each of the ten places sampled in an example is that one.
    expect(samples).toBe(20);
    // x_0 = 3 h_0 = 9, 21; x_1 = -2 h_1 = 0, -4; y = 9, 17.
    expect(Array.from(gram)).toEqual([10 * (81 + 441), 10 * -84, 10 * -84, 10 * 16]);
    expect(Array.from(correlations)).toEqual([10 * (81 + 357), 10 * -68]);
    expect(energy).toBe(10 * (81 + 289));
  });

  it('of a convolution is over all positions, before pooling', async () => {
    const model = tfl.sequential({
      layers: [
        tfl.layers.conv2d({
          name: 'conv',
          filters: 1,
          kernelSize: 1,
          activation: 'relu',
          useBias: false,
          inputShape: [2, 2, 1],
          weights: [tf.tensor4d([2], [1, 1, 1, 1])],
        }),
        tfl.layers.maxPooling2d({ poolSize: 2 }),
        tfl.layers.flatten(),
        tfl.layers.dense({
          name: 'out',
          units: 1,
          weights: [tf.tensor2d([[1]]), tf.tensor1d([0])],
        }),
      ],
    });
    const examples = {
      xs: tf.tensor4d([1, -1, -2, 3], [1, 2, 2, 1]),
      ys: tf.tensor2d([[0]]),
    };
    const { activations, contributions } = await evidenceOf(model, 'conv', examples);
    // relu(2x) = 2, 0, 0, 6: mean 2, half of it zeros; the largest, 6, is all that the dense layer reads.
    expect(Array.from(activations!.mean)).toEqual([2]);
    expect(Array.from(activations!.zeros)).toEqual([0.5]);
    // dL/dy = 2 * 6 = 12 reaches the largest position alone: 6 * 12 over 4 positions.
    expect(Array.from(activations!.taylor!)).toEqual([18]);
    expect(contributions!.energy / contributions!.samples).toBe(36);
  });
});
