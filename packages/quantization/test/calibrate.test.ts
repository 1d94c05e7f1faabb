// Activations quantised after training.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { DataError, NoMatchError, withSeed } from '@thimble/base';
import { probe } from '@thimble/core';
import {
  activationPlaces,
  calibrateActivations,
  fakeQuantize,
  observers,
  quantize,
  quantizeAware,
  quantizeReport,
} from '@thimble/quantization';
import { expectNoLeaks, outputs, savedAndLoaded, snapshot, useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';

useCpu();

const quiet = { progress: false } as const;

function network(): tfl.LayersModel {
  return withSeed(3, () => {
    const x = tfl.input({ shape: [4] });
    const on = (layer: tfl.layers.Layer, given: tfl.SymbolicTensor | tfl.SymbolicTensor[]) =>
      layer.apply(given) as tfl.SymbolicTensor;
    const a = on(tfl.layers.dense({ name: 'a', units: 3, activation: 'relu' }), x);
    const b = on(tfl.layers.dense({ name: 'b', units: 3 }), x);
    const sum = on(tfl.layers.add({ name: 'sum' }), [a, b]);
    return tfl.model({ inputs: x, outputs: on(tfl.layers.dense({ name: 'c', units: 2 }), sum) });
  });
}
const examples = (n: number) => ({
  xs: tf.randomUniform([n, 4], -1, 3, 'float32', 1),
  ys: tf.zeros([n, 2]),
});

describe('quantize with calibration', () => {
  // IntelLabs/distiller, test_post_train_quant.py: 8 bits, asymmetric, 3 x 3 convolution with padding 1;
  // the output is requantised over [-3.5, 14.5].
  it.each<['tensor' | 'channel', number[][]]>([
    [
      'tensor',
      [
        [-3.529411765, -2.117647059, 0.917647059, 2.4],
        [0.211764706, 0.494117647, 0.705882353, 0.776470588],
        [12.56470588, 12.98823529, 14.04705882, 14.47058824],
        [1.341176471, 1.623529412, 1.552941176, 1.623529412],
      ],
    ],
    [
      'channel',
      [
        [-3.529411765, -2.117647059, 0.917647059, 2.4],
        [0.211764706, 0.423529412, 0.705882353, 0.847058824],
        [12.56470588, 12.98823529, 14.04705882, 14.47058824],
        [1.482352941, 1.482352941, 1.623529412, 1.623529412],
      ],
    ],
  ])('computes what another toolkit does: per %s', async (granularity, expected) => {
    const x = tf.tensor4d([-7, 5, 2, -3, -15, 10, -1, 5], [2, 2, 2, 1]);
    const filters = [
      [-1, -0.5, 0, 0.5, 1, 1.5, 2, 2.5, 3],
      [-0.3, -0.25, -0.2, -0.15, -0.1, -0.05, 0, 0.05, 0.1],
    ];
    const kernel = tf.transpose(tf.tensor(filters, [2, 1, 3, 3]), [2, 3, 1, 0]);
    const model = tfl.sequential({
      layers: [
        tfl.layers.conv2d({
          filters: 2,
          kernelSize: 3,
          padding: 'same',
          useBias: false,
          inputShape: [2, 2, 1],
          weights: [kernel],
        }),
      ],
    });
    const calibration = { xs: x, ys: tf.zeros([2, 2, 2, 2]) };
    const q = await quantize(model, { scheme: 'affine', granularity, calibration, ...quiet });
    const y = fakeQuantize(q.predict(x) as tf.Tensor, -3.5, 14.5, { bits: 8 });
    const rows = tf.reshape(tf.transpose(y, [0, 3, 1, 2]), [4, 4]);
    const given = [...rows.dataSync()];
    // The weights 2 and -0.2 lie half way between two codes, which the last bit of the scale decides: that moves
    // two of the outputs by one step of theirs, 18 / 255. All others are equal.
    const off = given.map((y, i) => Math.abs(y - expected.flat()[i]!)).filter((by) => by > 1e-4);
    expect(off.length).toBeLessThanOrEqual(2);
    expect(off).toBeAllClose(
      off.map(() => 18 / 255),
      1e-4,
    );
  });

  it('finds the range of every input of every layer', async () => {
    const model = network();
    const calibration = examples(50);
    const q = await quantize(model, { bits: 16, calibration, batchSize: 20, ...quiet });
    expect(quantizeReport(q).activations).toBe(5);
    const seen = new Map<string, [number, number][]>();
    const layers = ['a', 'b', 'sum', 'c'].map((name) => model.getLayer(name));
    await probe(model, calibration, { layers, batchSize: 50, ...quiet }, ({ allInputs }) => {
      layers.forEach(({ name }, i) => {
        const ends = (x: tf.Tensor): [number, number] => [
          tf.min(x).dataSync()[0]!,
          tf.max(x).dataSync()[0]!,
        ];
        seen.set(name, allInputs[i]![0]!.map(ends));
      });
    });
    for (const { layer, index, quantizer, state } of activationPlaces(q)) {
      const { scale, bits } = quantizer.activationCode(state)!;
      const [min, max] = seen.get(layer.name)![index]!;
      // Widened to hold 0; weights of 16 bits hardly change what comes.
      expect(bits).toBe(8);
      expect(scale).toBeCloseTo((Math.max(max, 0) - Math.min(min, 0)) / 255, 4);
    }
  });

  it('rounds activations, also after loading, and not where that was not asked for', async () => {
    const model = network();
    const calibration = examples(50);
    const x = examples(20).xs;
    const wide = await quantize(model, { bits: 16, calibration, activations: 12, ...quiet });
    expect(outputs(wide, x)).toBeAllClose(outputs(model, x), 1e-2);
    const narrow = await quantize(model, { bits: 16, calibration, activations: 3, ...quiet });
    expect(outputs(narrow, x)).not.toBeAllClose(outputs(model, x), 1e-1);
    expect(outputs(await savedAndLoaded(narrow), x)).toEqual(outputs(narrow, x));
    const none = await quantize(model, { bits: 16, calibration, activations: false, ...quiet });
    expect(activationPlaces(none)).toEqual([]);
    expect(outputs(none, x)).toBeAllClose(outputs(model, x), 1e-3);
    const kept = await quantize(model, { calibration, perLayer: { a: false }, ...quiet });
    expect(activationPlaces(kept).map(({ layer }) => layer.name)).toEqual(['b', 'sum', 'sum', 'c']);
  });

  it('takes any observer', async () => {
    const calibration = examples(50);
    const codes = async (observer?: () => ReturnType<typeof observers.minMax>) => {
      const activations = observer ? { observer } : 8;
      const q = await quantize(network(), { calibration, activations, ...quiet });
      return activationPlaces(q).map(({ quantizer, state }) => quantizer.activationCode(state)!);
    };
    const [whole, cut] = [
      await codes(),
      await codes(() => observers.percentile({ percentile: 90 })),
    ];
    cut.forEach(({ scale }, i) => {
      expect(scale).toBeLessThan(whole[i]!.scale);
    });
  });

  it('refuses data in which nothing varies, and models that are quantised', async () => {
    const model = network();
    const before = snapshot(model);
    const still = { xs: tf.zeros([4, 4]), ys: tf.zeros([4, 2]) };
    const holes = { xs: tf.fill([4, 4], Number.NaN), ys: tf.zeros([4, 2]) };
    const { numTensors } = tf.memory();
    await expect(quantize(model, { calibration: still, ...quiet })).rejects.toThrow(
      /layer "a".*all values observed are 0/,
    );
    await expect(quantize(model, { calibration: holes, ...quiet })).rejects.toThrow(DataError);
    expect(tf.memory().numTensors).toBe(numTensors);
    expect(snapshot(model)).toEqual(before);
    const q = await quantize(model, { calibration: examples(8), ...quiet });
    await expect(quantize(q)).rejects.toThrow(/activations of layer "a" are quantised already/);
    expect(() => quantizeAware(q)).toThrow(/quantised already/);
  });

  it('leaves no tensor behind', async () => {
    const model = network();
    const calibration = examples(8);
    await expectNoLeaks(async () => {
      (await quantize(model, { calibration, ...quiet })).dispose();
    });
  });
});

describe('calibrateActivations', () => {
  it('changes all ranges or none', async () => {
    const model = network();
    quantizeAware(model);
    const before = snapshot(model);
    const calibration = { xs: tf.zeros([4, 4]), ys: tf.zeros([4, 2]) };
    await expect(calibrateActivations(model, { calibration, ...quiet })).rejects.toThrow(DataError);
    expect(snapshot(model)).toEqual(before);
    expect(await calibrateActivations(model, { calibration: examples(9), ...quiet })).toBe(5);
  });

  it('needs quantised activations', async () => {
    const options = { calibration: examples(4), ...quiet };
    await expect(calibrateActivations(network(), options)).rejects.toThrow(NoMatchError);
  });
});
