import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { NoMatchError, OptionError, Random, UnsupportedError, withSeed } from '@thimble/base';
import { equalize, equalizeReport } from '@thimble/quantization';
import { expectNoLeaks, outputs, snapshot, useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';

useCpu();

const { add, activation, averagePooling2d, batchNormalization, concatenate, conv2d } = tfl.layers;
const { dense, depthwiseConv2d, flatten, globalAveragePooling2d, maxPooling2d } = tfl.layers;
const { reLU, separableConv2d, zeroPadding2d, input } = tfl.layers;

/** Gives all weights values of very different sizes, and batch normalisation statistics of its own. */
function scramble<M extends tfl.LayersModel>(model: M, seed: number): M {
  const random = new Random(seed, 'scramble');
  for (const layer of model.layers) {
    const values = layer.getWeights().map((weight, i) => {
      const positive = layer.getClassName() === 'BatchNormalization' && i === 3;
      const last = weight.shape.at(-1)!;
      const sizes = Float32Array.from({ length: last }, () => 10 ** random.uniform(-1, 1));
      const data = Float32Array.from({ length: weight.size }, (_, j) => {
        const value = random.normal() * sizes[j % last]!;
        return positive ? Math.abs(value) + 0.1 : value;
      });
      return tf.tensor(data, weight.shape);
    });
    layer.setWeights(values);
    tf.dispose(values);
  }
  return model;
}

const sequential = (...layers: tfl.layers.Layer[]) => withSeed(1, () => tfl.sequential({ layers }));
const inputShape = [8, 8, 2];

const networks: Record<string, () => tfl.LayersModel> = {
  'convolutions, pooling, flattening and dense layers': () =>
    sequential(
      conv2d({ filters: 3, kernelSize: 3, activation: 'relu', inputShape }),
      maxPooling2d({ poolSize: 2 }),
      zeroPadding2d({ padding: 1 }),
      conv2d({ filters: 4, kernelSize: 2, useBias: false }),
      averagePooling2d({ poolSize: 2 }),
      reLU(),
      flatten(),
      dense({ units: 5, activation: 'relu' }),
      dense({ units: 3, activation: 'softmax' }),
    ),
  'depthwise layers with batch normalisation': () =>
    sequential(
      conv2d({ filters: 3, kernelSize: 3, inputShape }),
      batchNormalization(),
      activation({ activation: 'relu' }),
      depthwiseConv2d({ kernelSize: 3, depthMultiplier: 2, padding: 'same' }),
      batchNormalization(),
      reLU(),
      conv2d({ filters: 4, kernelSize: 1 }),
      batchNormalization(),
      reLU(),
      separableConv2d({ filters: 5, kernelSize: 3, activation: 'relu' }),
      globalAveragePooling2d({}),
      dense({ units: 3 }),
    ),
  'a sum, a concatenation and two readers': () => {
    const x = input({ shape: inputShape });
    const on = (layer: tfl.layers.Layer, value: tfl.SymbolicTensor | tfl.SymbolicTensor[]) =>
      layer.apply(value) as tfl.SymbolicTensor;
    const a = on(conv2d({ filters: 3, kernelSize: 3, activation: 'relu', padding: 'same' }), x);
    const b = on(conv2d({ filters: 3, kernelSize: 1 }), x);
    const sum = on(reLU(), on(add(), [a, b]));
    const c = on(conv2d({ filters: 2, kernelSize: 1, activation: 'relu' }), x);
    const both = on(concatenate(), [sum, c]);
    const first = on(depthwiseConv2d({ kernelSize: 2, activation: 'relu' }), both);
    const second = on(conv2d({ filters: 2, kernelSize: 2 }), both);
    const end = on(conv2d({ filters: 2, kernelSize: 1 }), first);
    return tfl.model({ inputs: x, outputs: on(add(), [end, second]) });
  },
};

describe('the model', () => {
  it.each(Object.entries(networks))('has the outputs of the one given: %s', async (_, make) => {
    const model = scramble(make(), 2);
    const x = tf.randomNormal([3, ...inputShape], 0, 1, 'float32', 1);
    const [before, weights] = [outputs(model, x), snapshot(model)];
    const equalized = await equalize(model);
    const largest = Math.max(...before.map(Math.abs));
    expect(outputs(equalized, x).map((y) => y / largest)).toBeAllClose(
      before.map((y) => y / largest),
      1e-5,
    );
    expect(snapshot(model)).toEqual(weights);
    const scales = equalizeReport(equalized).pairs.flatMap((pair) => [...pair.scales]);
    expect(scales.filter((scale) => Math.abs(scale - 1) > 0.1).length).toBeGreaterThan(5);
  });

  // quic/aimet, test_cross_layer_scaling.py; numpy RandomState(1) normals, kernels as [out, in, h, w].
  it('is that of another toolkit', async () => {
    const w1 = [
      1.62434536, -0.61175641, -0.52817175, -1.07296862, 0.86540763, -2.3015387, 1.74481176,
      -0.7612069, 0.3190391, -0.24937038, 1.46210794, -2.06014071, -0.3224172, -0.38405435,
      1.13376944, -1.09989127, -0.17242821, -0.87785842, 0.04221375, 0.58281521, -1.10061918,
      1.14472371, 0.90159072, 0.50249434,
    ];
    const w2 = [
      -0.12289023, -0.93576943, -0.26788808, 0.53035547, -0.69166075, -0.39675353, -0.6871727,
      -0.84520564, -0.67124613, -0.0126646, -1.11731035, 0.2344157, 1.65980218, 0.74204416,
      -0.19183555, -0.88762896, -0.74715829, 1.6924546, 0.05080775, -0.63699565, 0.19091548,
      2.10025514, 0.12015895, 0.61720311,
    ];
    const kernel = (values: number[], shape: number[]) =>
      tf.transpose(tf.tensor(values, shape), [2, 3, 1, 0]);
    const model = sequential(
      conv2d({
        filters: 2,
        kernelSize: 2,
        inputShape: [4, 4, 3],
        activation: 'relu',
        weights: [kernel(w1, [2, 3, 2, 2]), tf.tensor([0.90085595, -0.68372786])],
      }),
      conv2d({ filters: 3, kernelSize: 2, useBias: false, weights: [kernel(w2, [3, 2, 2, 2])] }),
    );
    const equalized = await equalize(model);
    const [pair] = equalizeReport(equalized).pairs;
    expect([...pair!.scales]).toBeAllClose([1.16613982, 0.73826845], 1e-6);
    const of = (i: number) =>
      [...tf.transpose(equalized.getWeights()[i]!, [3, 2, 0, 1]).dataSync()].slice(0, 5);
    expect(of(0)).toBeAllClose(
      [1.39292504, -0.52459954, -0.45292318, -0.92010289, 0.74211309],
      1e-6,
    );
    expect([...equalized.getWeights()[1]!.dataSync()]).toBeAllClose(
      [0.77251109, -0.92612363],
      1e-6,
    );
    expect(of(2)).toBeAllClose(
      [-0.14330719, -1.091238, -0.31239496, 0.61846863, -0.51063131],
      1e-6,
    );
  });

  it('has equal ranges in all layers that a channel passes', async () => {
    const model = scramble(
      sequential(
        conv2d({ filters: 3, kernelSize: 1, activation: 'relu', inputShape }),
        depthwiseConv2d({ kernelSize: 3, activation: 'relu' }),
        conv2d({ filters: 2, kernelSize: 1 }),
      ),
      3,
    );
    const [first, , middle, , last] = (await equalize(model)).getWeights();
    const range = (kernel: tf.Tensor, axis: number) => {
      const over = [0, 1, 2, 3].filter((i) => i !== axis);
      return [...tf.max(tf.abs(kernel), over).dataSync()];
    };
    expect(range(middle!, 2)).toBeAllClose(range(first!, 3), 1e-2);
    expect(range(last!, 2)).toBeAllClose(range(first!, 3), 1e-2);
  });

  it('keeps channels that have no weights on one side', async () => {
    const model = sequential(
      dense({
        units: 2,
        activation: 'relu',
        inputShape: [1],
        weights: [tf.tensor2d([[0, 4]]), tf.tensor1d([7, 8])],
      }),
      dense({ units: 1, weights: [tf.tensor2d([[3], [1]]), tf.tensor1d([0])] }),
    );
    const weights = (await equalize(model)).getWeights().map((weight) => [...weight.dataSync()]);
    // s of the second channel: sqrt(4 * 1) / 1 = 2.
    expect(weights).toEqual([[0, 2], [7, 4], [3, 2], [0]]); // prettier-ignore
  });

  it('keeps channels whose weights are nearly nothing, with their biases', async () => {
    const model = sequential(
      dense({ units: 2, activation: 'relu', inputShape: [1] }),
      dense({ units: 1 }),
    );
    model.setWeights([
      tf.tensor2d([[2, 1e-9]]),
      tf.tensor1d([0.5, 0.25]),
      tf.tensor2d([[0.5], [1]]),
      tf.tensor1d([0]),
    ]);
    const [kernel, bias, next] = (await equalize(model)).getWeights();
    // The live channel: both ranges become sqrt(2 * 0.5) = 1, by s = 2.
    expect(kernel!).toBeAllClose([[1, 1e-9]], 1e-6);
    expect(bias!).toBeAllClose([0.25, 0.25], 1e-6);
    expect(next!).toBeAllClose([[1], [1]], 1e-6);
  });

  it('leaves no tensor behind', async () => {
    const model = networks['depthwise layers with batch normalisation']!();
    await expectNoLeaks(async () => (await equalize(model)).dispose());
  });
});

describe('absorbing high biases', () => {
  /** Batch normalisation of inputs that are normalised already: gamma x + beta. */
  const norm = (gamma: number[], beta: number[]) =>
    batchNormalization({
      epsilon: 1e-12,
      weights: [gamma, beta, gamma.map(() => 0), gamma.map(() => 1)].map((w) => tf.tensor1d(w)),
    });
  const biases = (model: tfl.LayersModel) =>
    model.layers.flatMap((layer) => {
      const { bias } = layer as unknown as { bias?: { read(): tf.Tensor } };
      return bias ? [[...bias.read().dataSync()]] : [];
    });

  it('moves mean - 3 deviations on, and keeps the outputs of inputs above that', async () => {
    const model = sequential(
      dense({ units: 2, inputShape: [2], weights: [tf.eye(2), tf.zeros([2])] }),
      norm([0.1, 2], [5, 1]),
      reLU(),
      dense({
        units: 2,
        weights: [
          tf.tensor2d([
            [8, 3],
            [0.5, 1],
          ]),
          tf.tensor1d([-1, 2]),
        ],
      }),
    );
    const equalized = await equalize(model, { absorbBiases: true });
    const { scales, absorbed } = equalizeReport(equalized).pairs[0]!;
    // 5 - 3 * 0.1, and 1 - 3 * 2 is below 0; both divided by the scales.
    expect(absorbed!.map((c, i) => c * scales[i]!)).toBeAllClose([4.7, 0], 1e-5);
    expect(biases(equalized)).toBeAllClose(
      [
        [(5 - 4.7) / scales[0]!, 1 / scales[1]!],
        [-1 + 8 * 4.7, 2 + 3 * 4.7],
      ],
      1e-4,
    );
    const x = tf.tensor2d([
      [-3, -3],
      [-1, 0.4],
      [2, 3],
    ]);
    expect(outputs(equalized, x)).toBeAllClose(outputs(model, x), 1e-4);
  });

  it('does so through depthwise layers, pooling and flattening', async () => {
    const model = sequential(
      conv2d({
        filters: 2,
        kernelSize: 1,
        inputShape: [6, 6, 2],
        weights: [tf.reshape(tf.eye(2), [1, 1, 2, 2]), tf.zeros([2])],
      }),
      norm([0.1, 0.2], [4, 3]),
      reLU(),
      depthwiseConv2d({ kernelSize: 3, depthwiseInitializer: 'glorotNormal' }),
      maxPooling2d({ poolSize: 2 }),
      conv2d({ filters: 3, kernelSize: 2 }),
      flatten(),
      dense({ units: 2 }),
    );
    const equalized = await equalize(model, { absorbBiases: true });
    expect(equalizeReport(equalized).pairs.filter(({ absorbed }) => absorbed)).toHaveLength(1);
    expect(biases(equalized)[1]!.every((bias) => bias !== 0)).toBe(true);
    const x = tf.randomUniform([4, 6, 6, 2], -3, 3, 'float32', 2);
    expect(outputs(equalized, x)).toBeAllClose(outputs(model, x), 1e-4);
  });

  it('leaves sums and layers without batch normalisation', async () => {
    const model = networks['a sum, a concatenation and two readers']!();
    const equalized = await equalize(model, { absorbBiases: true });
    expect(equalizeReport(equalized).pairs.some(({ absorbed }) => absorbed)).toBe(false);
  });

  // golden/cases.json equalization-003, from quic/aimet test_high_bias_fold.py: its beta lies below 3 |gamma|, so
  // that nothing is absorbed.
  it('absorbs nothing where the mean is within three deviations of 0', async () => {
    const kernel = tf.tensor4d(
      [
        1.62434536, -0.61175641, -0.52817175, -1.07296862, 0.86540763, -2.3015387, 1.74481176,
        -0.7612069, 0.3190391, -0.24937038, 1.46210794, -2.06014071, -0.3224172, -0.38405435,
        1.13376944, -1.09989127,
      ],
      [2, 2, 2, 2],
    );
    const model = sequential(
      conv2d({ filters: 2, kernelSize: 1, inputShape: [4, 4, 2] }),
      norm([0.04221375, 0.58281521], [-1.10061918, 1.14472371]),
      reLU(),
      conv2d({
        filters: 2,
        kernelSize: 2,
        // There [out, in, height, width].
        weights: [tf.transpose(kernel, [2, 3, 1, 0]), tf.tensor1d([0.90159072, 0.50249434])],
      }),
    );
    const equalized = await equalize(model, { absorbBiases: true });
    expect(biases(equalized)[1]).toBeAllClose([0.90159072, 0.50249434], 1e-6);
    expect(equalizeReport(equalized).pairs[0]!.absorbed).toBeUndefined();
  });
});

describe('what does not scale stays', () => {
  const between = (...layers: tfl.layers.Layer[]) =>
    sequential(
      dense({ units: 3, name: 'first', inputShape: [2] }),
      ...layers,
      dense({ units: 3, name: 'second', activation: 'relu' }),
      dense({ units: 2, name: 'third' }),
    );
  it.each<[string, tfl.layers.Layer[], RegExp]>([
    ['tanh', [activation({ activation: 'tanh', name: 'a' })], /"tanh" of "a" does not scale/],
    ['ReLU6', [reLU({ maxValue: 6, name: 'a' })], /"a" ends at 6/],
    ['ELU', [tfl.layers.elu({ name: 'a' })], /"a" \(elu\) does not scale/],
    ['softmax', [tfl.layers.softmax({ name: 'a' })], /softmax over the channels/],
    ['normalisation', [reLU(), batchNormalization({ name: 'n' })], /of "n" .* cannot be scaled/],
  ])('%s', async (_, layers, reason) => {
    const model = between(...layers);
    const equalized = await equalize(model);
    const { pairs, left } = equalizeReport(equalized);
    expect(pairs.map(({ from, to }) => [from, to])).toEqual([[['second'], ['third']]]);
    expect(left.find(({ name }) => name === 'first')?.reason).toMatch(reason);
    const x = tf.ones([1, 2]);
    expect(outputs(equalized, x)).toBeAllClose(outputs(model, x), 1e-5);
  });

  it('a product', async () => {
    const x = input({ shape: [2] });
    const two = [1, 2].map(
      (i) => dense({ units: 3, name: `d${i}` }).apply(x) as tfl.SymbolicTensor,
    );
    const product = tfl.layers.multiply({ name: 'times' }).apply(two) as tfl.SymbolicTensor;
    const model = tfl.model({
      inputs: x,
      outputs: dense({ units: 1 }).apply(product) as tfl.SymbolicTensor,
    });
    await expect(equalize(model)).rejects.toThrow(NoMatchError);
    await expect(equalize(model)).rejects.toThrow(/d1\+d2: "times" \(multiply\) does not scale/);
  });

  it('a sum with a single channel', async () => {
    const x = input({ shape: [4] });
    const a = dense({ units: 3, name: 'a' }).apply(x);
    const one = dense({ units: 1, name: 'one' }).apply(x);
    const sum = add().apply([a, one] as tfl.SymbolicTensor[]);
    const model = tfl.model({
      inputs: x,
      outputs: dense({ units: 2 }).apply(sum) as tfl.SymbolicTensor,
    });
    await expect(equalize(scramble(model, 1))).rejects.toThrow(/a: a single channel, which would/);
  });

  it('and bad options are refused', async () => {
    const model = between();
    await expect(equalize(model, { rounds: 0 })).rejects.toThrow(OptionError);
    await expect(equalize(model, { round: 1 } as never)).rejects.toThrow(OptionError);
    expect(() => equalizeReport(model)).toThrow(UnsupportedError);
  });
});
