import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { NoMatchError, OptionError, UnsupportedError } from '@thimble/base';
import {
  channelGroups,
  finalize,
  finalizeReport,
  parametrize,
  parametrizedWeights,
  withChannelsZeroed,
  withoutChannels,
} from '@thimble/core';
import { expectNoLeaks, outputs, snapshot, useCpu, valuesOf } from '@thimble/testing';
import { describe, expect, it, vi } from 'vitest';
import {
  disposeWeights,
  expectNoLeak,
  expectRemoved,
  on,
  randomize,
  some,
  type Value,
} from './channel-models.ts';
import { scaled } from './transforms.ts';

useCpu();

const { layers } = tfl;
const image = (channels: number, size = 6, name = 'image') =>
  tfl.input({ shape: [size, size, channels], name });
const conv = (name: string, filters: number, more: object = {}) =>
  layers.conv2d({ filters, kernelSize: 3, padding: 'same', activation: 'sigmoid', name, ...more });
const dense = (name: string, units: number, more: object = {}) =>
  layers.dense({ units, activation: 'tanh', name, ...more });
const pooled = (x: Value) => on(layers.globalAveragePooling2d({} as never), x);
const model = (inputs: Value | Value[], outputs: Value | Value[]) =>
  randomize(tfl.model({ inputs, outputs }), 7);
const random = (...shape: number[]) => tf.randomNormal(shape, 0, 1, 'float32', 3);
/** The shape of every weight. */
const shapes = (of: tfl.LayersModel) =>
  Object.fromEntries(of.weights.map(({ originalName, shape }) => [originalName, shape]));

describe('removing channels', () => {
  it('takes slices of the right weights', async () => {
    const x = tfl.input({ shape: [1, 2, 1], name: 'x' });
    const a = layers.conv2d({ filters: 3, kernelSize: 1, name: 'a' });
    const b = dense('b', 1, { useBias: false, activation: 'linear' });
    const net = model(x, on(b, on(layers.flatten(), on(a, x))));
    tf.tidy(() => {
      a.setWeights([tf.tensor([1, 2, 3], [1, 1, 1, 3]), tf.tensor([4, 5, 6])]);
      b.setWeights([tf.tensor([10, 20, 30, 40, 50, 60], [6, 1])]);
    });
    const smaller = await withoutChannels(net, { a: [1] });
    expect(Object.values(snapshot(smaller))).toEqual([
      [1, 3],
      [4, 6],
      [10, 30, 40, 60],
    ]);
    const zeroed = await withChannelsZeroed(net, new Map([['a', new Set([1])]]));
    expect(Object.values(snapshot(zeroed))).toEqual([
      [1, 0, 3],
      [4, 0, 6],
      [10, 0, 30, 40, 0, 60],
    ]);
    expect(smaller.getLayer('a').getConfig().filters).toBe(2);
  });

  it('leaves the shapes of PaddleSlim in a net of residual sums', async () => {
    // shared/golden pruning-035, PaddlePaddle/PaddleSlim:tests/test_prune.py, outputs of conv4 by half;
    // [out, in] there.
    const x = image(3);
    const six = Array.from({ length: 6 }, (_, i) => conv(`conv${i + 1}`, 8));
    const [conv1, conv2, conv3, conv4, conv5, conv6] = six as [tfl.layers.Layer, ...typeof six];
    const first = on(conv1, x);
    const sum1 = on(layers.add(), first, on(conv2!, first));
    const sum2 = on(layers.add(), on(conv4!, on(conv3!, sum1)), sum1);
    const net = model(x, on(conv6!, on(conv5!, sum2)));
    const smaller = await expectRemoved(net, random(2, 6, 6, 3), {
      'conv1+conv2+conv4': [0, 3, 4, 6],
    });
    const kernels = smaller.weights.map(({ shape }) => shape).filter(({ length }) => length === 4);
    expect(kernels.map((shape) => [shape[3], shape[2]])).toEqual([
      [4, 3],
      [4, 4],
      [8, 4],
      [4, 8],
      [8, 4],
      [8, 8],
    ]);
  });

  it('works through batch normalisation, depthwise and separable convolutions and PReLU', async () => {
    const x = image(2);
    const a = on(layers.batchNormalization(), on(conv('a', 4), x));
    const b = on(
      layers.depthwiseConv2d({ kernelSize: 3, depthMultiplier: 2, activation: 'relu' }),
      on(layers.prelu({ sharedAxes: [1, 2] }), a),
    );
    const c = on(
      layers.separableConv2d({ filters: 5, kernelSize: 3, depthMultiplier: 2, name: 'c' }),
      on(layers.batchNormalization({ scale: false }), b),
    );
    const net = model(x, on(dense('head', 2), on(layers.flatten(), on(layers.prelu(), c))));
    const smaller = await expectRemoved(net, random(3, 6, 6, 2), { a: [0, 3], c: [1, 2] });
    // By hand: 3x3x2x2 + 2, 4 x 2, PReLU 2, depthwise 3x3x2x2 + 4, 3 x 4, separable 3x3x4x2 + 8x3 + 3,
    // PReLU 2x2x3, dense 12x2 + 2.
    expect(smaller.countParams()).toBe(38 + 8 + 2 + 40 + 12 + 99 + 12 + 26);
    await expectNoLeak(net);
  });

  it('works on concatenations, also where they are added to', async () => {
    const x = image(2);
    const a = on(conv('a', 3), x);
    const wide = on(layers.concatenate(), a, on(conv('b', 4), x));
    const sum = on(layers.multiply(), wide, on(conv('c', 7), x));
    const net = model(x, [on(dense('first', 2), pooled(sum)), on(dense('second', 3), pooled(a))]);
    const groups = channelGroups(net).filter(({ fixed }) => !fixed);
    expect(groups.map(({ name, size }) => [name, size])).toEqual([
      ['a+c', 3],
      ['b+c', 4],
    ]);
    const smaller = await expectRemoved(net, random(2, 6, 6, 2), { 'a+c': [0], 'b+c': [1, 3] });
    expect(shapes(smaller)).toMatchObject({ 'c/kernel': [3, 3, 2, 4], 'first/kernel': [4, 2] });
  });

  it('joins values of other ranks and widths as TensorFlow.js does', async () => {
    const x = image(2);
    const a = on(conv('a', 4), x);
    const gate = on(dense('gate', 4, { activation: 'sigmoid' }), pooled(a));
    const spot = on(conv('spot', 1), x);
    const net = model(x, on(dense('head', 2), pooled(on(layers.multiply(), a, gate, spot))));
    expect(channelGroups(net).map(({ name }) => name)).toContain('a+gate');
    await expectRemoved(net, random(2, 6, 6, 2));
  });

  it('works on shared layers, and on two outputs', async () => {
    const x = image(2);
    const shared = conv('shared', 4);
    const flat = layers.flatten();
    const relu = layers.leakyReLU();
    const once = on(relu, on(shared, on(conv('a', 3), x)));
    const twice = on(relu, on(shared, on(conv('b', 3), x)));
    const net = model(x, [
      on(dense('first', 2), on(flat, once)),
      on(dense('second', 2), on(flat, on(layers.maximum(), once, twice))),
    ]);
    const smaller = await expectRemoved(net, random(2, 6, 6, 2), { 'a+b': [1], shared: [0, 2] });
    expect(shapes(smaller)).toMatchObject({ 'shared/kernel': [3, 3, 2, 2] });
    await expectNoLeak(net);
  });

  it('works on nested models, also shared, sequential and functional', async () => {
    const inside = image(3, 6, 'inside');
    const functional = tfl.model({
      inputs: inside,
      outputs: on(layers.add(), on(conv('deep', 3), on(conv('deeper', 5), inside)), inside),
      name: 'functional',
    });
    const sequential = tfl.sequential({
      name: 'sequential',
      layers: [conv('early', 4, { inputShape: [6, 6, 3] }), layers.maxPooling2d({ poolSize: 2 })],
    } as never);
    const explicit = tfl.sequential({
      name: 'explicit',
      layers: [layers.inputLayer({ inputShape: [3, 3, 4] }), conv('late', 4)],
    } as never);
    const first = tfl.sequential({ name: 'first', layers: [explicit, layers.flatten()] } as never);
    const x = image(1);
    const through = [on(conv('a', 3), x), on(conv('b', 3), x)].map((value) =>
      on(functional, value),
    );
    const nested = on(first, on(sequential, on(layers.average(), ...through)));
    const net = model(x, on(dense('head', 2), nested));
    expect(channelGroups(net).map(({ name, size, fixed }) => [name, size, fixed])).toEqual([
      ['image', 1, 'an input of the model'],
      ['a+functional/deep+b', 3, undefined],
      ['functional/deeper', 5, undefined],
      ['sequential/early', 4, undefined],
      ['first/late', 4, undefined],
      ['head', 2, 'an output of the model'],
    ]);
    await expectRemoved(net, random(2, 6, 6, 1));
  });

  it('works on layers that are in several models, and on reshapes that are shared', async () => {
    const shared = conv('shared', 4, { inputShape: [6, 6, 4] });
    const inside = image(4, 6, 'inside');
    const inner = tfl.model({ inputs: inside, outputs: on(shared, inside), name: 'inner' });
    const x = image(2);
    const rows = layers.reshape({ targetShape: [36, 4] });
    const a = on(conv('a', 4), x);
    const both = [on(inner, on(shared, a)), on(conv('b', 4), x)].map((value) => on(rows, value));
    const net = model(x, on(dense('head', 2), on(layers.flatten(), on(layers.add(), ...both))));
    const input = random(2, 6, 6, 2);
    // Not saved: TensorFlow.js cannot load a model in which a layer is in two containers.
    const removed = { 'a+shared+inner/shared+b': [3, 0] };
    const zeroed = await withChannelsZeroed(net, removed);
    const smaller = await withoutChannels(net, removed);
    expect(outputs(smaller, input)).toBeAllClose(outputs(zeroed, input));
    expect(outputs(smaller, input)).not.toBeAllClose(outputs(net, input), 1e-3);
  });

  it('works on Sequential models', async () => {
    const net = tfl.sequential({
      layers: [
        conv('a', 4, { inputShape: [6, 6, 1] }),
        layers.batchNormalization(),
        layers.maxPooling2d({ poolSize: 2 }),
        layers.dropout({ rate: 0.5 }),
        conv('b', 6),
        layers.upSampling2d({ size: [2, 2] }),
        layers.zeroPadding2d({ padding: 1 }),
        layers.cropping2D({ cropping: [1, 0] as never }),
        layers.flatten(),
        dense('c', 8),
        dense('d', 3),
      ],
    });
    const smaller = await expectRemoved(randomize(net, 1), random(2, 6, 6, 1));
    expect(smaller).toBeInstanceOf(tfl.Sequential);
  });

  it('works on transposed convolutions, and on vectors that become images', async () => {
    const x = tfl.input({ shape: [3], name: 'code' });
    const grown = on(layers.reshape({ targetShape: [3, 3, 4] }), on(dense('a', 36), x));
    const up = layers.conv2dTranspose({ filters: 5, kernelSize: 3, strides: 2, name: 'up' });
    const again = on(layers.reshape({ targetShape: [-1, 5] }), on(up, grown));
    const net = model(x, on(layers.conv1d({ filters: 1, kernelSize: 2 }), again));
    const smaller = await expectRemoved(net, random(2, 3), { a: [1], up: [0, 4] });
    expect(shapes(smaller)).toMatchObject({ 'a/kernel': [3, 27], 'up/kernel': [3, 3, 3, 3] });
    expect(smaller.layers.map(({ outputShape }) => outputShape)).toContainEqual([null, null, 3]);
  });

  it('works on embeddings, TimeDistributed and recurrent layers', async () => {
    const words = tfl.input({ shape: [5], name: 'words' });
    const vectors = on(layers.embedding({ inputDim: 9, outputDim: 6, name: 'words2' }), words);
    const convolved = on(layers.conv1d({ filters: 4, kernelSize: 2, name: 'conv' }), vectors);
    const steps = on(
      layers.timeDistributed({ layer: dense('inner', 5), name: 'steps' }),
      convolved,
    );
    const both = layers.bidirectional({
      layer: layers.gru({ units: 3, returnSequences: true }) as tfl.RNN,
      mergeMode: 'concat',
      name: 'both',
    });
    const read = on(layers.lstm({ units: 4, name: 'read' }), on(both, steps));
    const simple = on(layers.simpleRNN({ units: 3, name: 'simple' }), vectors);
    const net = model(words, on(dense('head', 2), on(layers.concatenate(), read, simple)));
    const numbers = tf.tensor([0, 1, 2, 3, 4, 8, 7, 6, 5, 0], [2, 5]);
    const smaller = await expectRemoved(net, numbers);
    expect(shapes(smaller)).toMatchObject({
      'words2/embeddings': [9, 4],
      'read/kernel': [4, 8],
      'read/recurrent_kernel': [2, 8],
      'simple/kernel': [4, 2],
    });
    await expectNoLeak(net);
  });

  it('works on a Bidirectional that the model begins with', async () => {
    const both = layers.bidirectional({
      layer: layers.lstm({ units: 4 }) as tfl.RNN,
      mergeMode: 'concat',
      name: 'both',
      inputShape: [5, 3],
    });
    const net = randomize(tfl.sequential({ layers: [both, dense('head', 2)] }), 7);
    const smaller = await expectRemoved(net, random(2, 5, 3));
    expect(smaller.inputs[0]!.shape).toEqual([null, 5, 3]);
  });

  it('works on states that go from one recurrent layer to another, and on ConvLSTM', async () => {
    const x = tfl.input({ shape: [4, 3], name: 'x' });
    const encoder = layers.lstm({ units: 4, returnState: true, name: 'encoder' });
    const [, h, c] = encoder.apply(x) as Value[];
    const decoder = layers.lstm({ units: 4, name: 'decoder' });
    const net = model(x, on(dense('head', 2), decoder.apply([x, h!, c!]) as Value));
    expect(channelGroups(net).map(({ name }) => name)).toContain('encoder+decoder');
    await expectRemoved(net, random(2, 4, 3));
    vi.mocked(console.warn).mockClear(); // TensorFlow.js warns when it saves such a model, in vain

    const film = tfl.input({ shape: [3, 4, 4, 2], name: 'film' });
    const frames = layers.convLstm2d({
      filters: 4,
      kernelSize: 3,
      padding: 'same',
      name: 'frames',
    });
    const last = model(film, on(dense('head', 2), pooled(on(frames, film))));
    await expectRemoved(last, random(2, 3, 4, 4, 2));
  });

  it('works on three dimensions', async () => {
    const x = tfl.input({ shape: [3, 3, 3, 1], name: 'x' });
    const a = on(layers.conv3d({ filters: 3, kernelSize: 2, name: 'a' }), x);
    const b = on(layers.conv3dTranspose({ filters: 3, kernelSize: 2, name: 'b' }), a);
    const net = model(x, on(dense('head', 1), on(layers.flatten(), b)));
    await expectRemoved(net, random(1, 3, 3, 3, 1));
  });

  it('bakes transforms as finalize does', async () => {
    const x = image(2);
    const a = parametrize(conv('a', 4), { kernel: [scaled(2)], bias: [scaled(-1)] });
    const b = parametrize(dense('b', 2), { kernel: [scaled(3)] });
    const net = model(x, on(b, pooled(on(a, x))));
    const input = random(2, 6, 6, 2);
    const smaller = await expectRemoved(net, input);
    expect(parametrizedWeights(smaller)).toEqual([]);
    const plain = await finalize(net);
    const removed = some(net);
    expect(outputs(await withoutChannels(plain, removed), input)).toEqual(outputs(smaller, input));
    await expectNoLeak(net);
  });

  it('keeps layers of others, and reports them', async () => {
    const x = tfl.input({ shape: [3], name: 'x' });
    const own = on(new ThimbleTestKept({ name: 'own' }), on(dense('a', 4), x));
    const net = model(x, on(dense('c', 2), on(dense('b', 4), own)));
    const smaller = await withoutChannels(net, { b: [0] });
    expect(finalizeReport(smaller)).toEqual([{ name: 'own', className: 'ThimbleTestKept' }]);
  });

  it('copies the model when nothing is removed', async () => {
    const x = image(1);
    const net = model(x, on(dense('head', 2), pooled(on(conv('a', 2), x))));
    const input = random(1, 6, 6, 1);
    expect(outputs(await withoutChannels(net, { a: [] }), input)).toEqual(outputs(net, input));
  });

  it('trains on', async () => {
    const x = image(1);
    const net = model(x, on(dense('head', 1), pooled(on(conv('a', 4), x))));
    const smaller = await withoutChannels(net, { a: [0, 1] });
    smaller.compile({ optimizer: 'sgd', loss: 'meanSquaredError' });
    const before = valuesOf(smaller.getWeights()[0]!);
    await smaller.trainOnBatch(random(2, 6, 6, 1), tf.ones([2, 1]));
    expect(valuesOf(smaller.getWeights()[0]!)).not.toEqual(before);
  });
});

describe('what cannot be removed', () => {
  const net = () => {
    const x = image(1);
    return model(x, on(dense('head', 2), pooled(on(conv('a', 2), x))));
  };

  it('is refused by name, and leaves the model as it was', async () => {
    const given = net();
    const before = snapshot(given);
    const cases: [Record<string, number[]>, new (message: string) => Error, string][] = [
      [{ b: [0] }, NoMatchError, 'no group of channels "b". Its groups: image, a, head.'],
      [{ a: [0, 1] }, OptionError, 'all 2 channels of "a" would go. Keep at least one'],
      [{ a: [2] }, OptionError, 'group "a" has channels 0 to 1, and none with number 2'],
      [{ a: [-1] }, OptionError, 'none with number -1'],
      [{ a: [0.5] }, OptionError, 'none with number 0.5'],
      [{ head: [0] }, UnsupportedError, 'the channels of "head" must stay: an output of the model'],
      [{ image: [0] }, UnsupportedError, '"image" must stay: an input of the model'],
    ];
    for (const [removed, kind, message] of cases) {
      for (const [name, remove] of Object.entries({ withoutChannels, withChannelsZeroed })) {
        const failing = remove(given, removed);
        await expect(failing).rejects.toThrow(kind);
        await expect(failing).rejects.toThrow(`${name}: `);
        await expect(failing).rejects.toThrow(message);
      }
    }
    expect(snapshot(given)).toEqual(before);
    await expectNoLeaks(async () => {
      await withoutChannels(given, { a: [0, 1] }).catch(() => {});
    });
  });

  it('is told of a model that is not built', async () => {
    await expect(withoutChannels(tfl.sequential(), {})).rejects.toThrow(UnsupportedError);
  });

  it('leaves the smaller model and the one given alive without each other', async () => {
    const given = net();
    const input = random(1, 6, 6, 1);
    const smaller = await withoutChannels(given, { a: [0] });
    const kept = outputs(smaller, input);
    disposeWeights(given);
    expect(outputs(smaller, input)).toEqual(kept);
  });
});

class ThimbleTestKept extends tfl.layers.Layer {
  static className = 'ThimbleTestKept';
  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.reverse([inputs].flat()[0]!, -1);
  }
}
tf.serialization.registerClass(ThimbleTestKept);
