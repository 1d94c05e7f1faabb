import * as tfl from '@tensorflow/tfjs-layers';
import { UnsupportedError } from '@thimble/base';
import { channelGroups } from '@thimble/core';
import { useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';
import { free, groupNamed, mobilenetV2, on, type Value } from './channel-models.ts';

useCpu();

const { layers } = tfl;
const image = (channels: number, size = 4) =>
  tfl.input({ shape: [size, size, channels], name: 'image' });
const conv = (name: string, filters: number, more: object = {}) =>
  layers.conv2d({ filters, kernelSize: 1, name, ...more });
const dense = (name: string, units: number, more: object = {}) =>
  layers.dense({ units, name, ...more });
const model = (inputs: Value | Value[], outputs: Value | Value[]) => tfl.model({ inputs, outputs });
/** The channels of a layer's weight by group, as text. */
const along = (of: tfl.LayersModel, layer: string, weight: string, axis: number) =>
  Object.fromEntries(
    channelGroups(of).flatMap(({ name, members }) =>
      members
        .filter(
          (member) => member.layer === layer && member.weight === weight && member.axis === axis,
        )
        .map(({ channels }) => [name, channels.join(' ')]),
    ),
  );

describe('groups of channels', () => {
  it('joins the producers of residual sums', () => {
    // shared/golden pruning-035, PaddlePaddle/PaddleSlim:tests/test_prune.py: the outputs of conv4 are
    // bound to those of conv1 and conv2.
    const x = image(3);
    const conv1 = on(conv('conv1', 8), x);
    const sum1 = on(layers.add({ name: 'sum1' }), conv1, on(conv('conv2', 8), conv1));
    const conv4 = on(conv('conv4', 8), on(conv('conv3', 8), sum1));
    const sum2 = on(layers.add({ name: 'sum2' }), conv4, sum1);
    const net = model(x, on(conv('conv6', 8), on(conv('conv5', 8), sum2)));
    const groups = channelGroups(net);
    expect(groups.map(({ name, size, fixed }) => [name, size, fixed])).toEqual([
      ['image', 3, 'an input of the model'],
      ['conv1+conv2+conv4', 8, undefined],
      ['conv3', 8, undefined],
      ['conv5', 8, undefined],
      ['conv6', 8, 'an output of the model'],
    ]);
    const group = groups[1]!;
    expect(group.producers).toEqual(['conv1', 'conv2', 'conv4']);
    expect(group.consumers).toEqual(['conv2', 'conv3', 'conv5']);
    expect(
      group.members.map(({ layer, weight, axis, role }) => [layer, weight, axis, role]),
    ).toEqual([
      ['conv1', 'kernel', 3, 'out'],
      ['conv1', 'bias', 0, 'out'],
      ['conv2', 'kernel', 3, 'out'],
      ['conv2', 'bias', 0, 'out'],
      ['conv2', 'kernel', 2, 'in'],
      ['conv3', 'kernel', 2, 'in'],
      ['conv4', 'kernel', 3, 'out'],
      ['conv4', 'bias', 0, 'out'],
      ['conv5', 'kernel', 2, 'in'],
    ]);
    for (const { channels } of group.members)
      expect([...channels]).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(group.watched.map(({ layer }) => layer)).toEqual(['conv1', 'sum1', 'sum2']);
    expect(groups[0]!.watched).toEqual([]);
  });

  it('finds those of MobileNet-V2', () => {
    // shared/golden pruning-037, microsoft/nni@v2.9:test/algo/compression/v1/test_compression_utils.py
    const several = channelGroups(mobilenetV2())
      .map(({ producers }) => [...producers].sort())
      .filter(({ length }) => length > 1);
    expect(several).toEqual([
      ['features.2.conv.2', 'features.3.conv.2'],
      ['features.4.conv.2', 'features.5.conv.2', 'features.6.conv.2'],
      ['features.10.conv.2', 'features.7.conv.2', 'features.8.conv.2', 'features.9.conv.2'],
      ['features.11.conv.2', 'features.12.conv.2', 'features.13.conv.2'],
      ['features.14.conv.2', 'features.15.conv.2', 'features.16.conv.2'],
    ]);
  });

  it('lays the parts of a concatenation side by side, and splits what is added to it', () => {
    const x = image(2);
    const both = on(layers.concatenate(), on(conv('a', 2), x), on(conv('b', 3), x));
    const sum = on(layers.add({ name: 'sum' }), both, on(conv('c', 5), x));
    const net = model(x, on(dense('head', 2), on(layers.flatten(), sum)));
    expect(free(net).map(({ name, size }) => [name, size])).toEqual([
      ['a+c', 2],
      ['b+c', 3],
    ]);
    expect(along(net, 'c', 'kernel', 3)).toEqual({ 'a+c': '0 1 -1 -1 -1', 'b+c': '-1 -1 0 1 2' });
    expect(
      groupNamed(net, 'b+c').watched.map(({ layer, channels }) => [layer, ...channels]),
    ).toEqual([['sum', -1, -1, 0, 1, 2]]);
  });

  it('takes values that are joined along another axis index by index', () => {
    const x = image(2);
    const tall = on(layers.concatenate({ axis: 1 }), on(conv('a', 3), x), on(conv('b', 3), x));
    expect(free(model(x, on(conv('c', 2), tall))).map(({ name }) => name)).toEqual(['a+b']);
    const wide = on(layers.concatenate({ axis: -2 }), on(conv('d', 3), x), on(conv('e', 3), x));
    expect(free(model(x, on(conv('f', 2), wide))).map(({ name }) => name)).toEqual(['d+e']);
  });

  it('repeats channels over the positions of a flattened image', () => {
    const x = image(1, 2);
    const pooled = on(layers.dropout({ rate: 0.5 }), on(conv('a', 3, { activation: 'relu' }), x));
    const flat = on(layers.flatten(), pooled);
    const net = model(x, on(dense('head', 2), flat));
    expect(along(net, 'head', 'kernel', 0)).toEqual({ a: '0 1 2 0 1 2 0 1 2 0 1 2' });
    // Watched before dropout and flattening.
    expect(groupNamed(net, 'a').watched).toEqual([
      { layer: 'a', application: 0, output: 0, channels: Int32Array.of(0, 1, 2) },
    ]);
  });

  it('lays the parts of a vector that becomes an image over one another', () => {
    const x = tfl.input({ shape: [3], name: 'code' });
    const grown = on(layers.reshape({ targetShape: [2, 2, 3] }), on(dense('a', 12), x));
    const net = model(x, on(conv('b', 1), grown));
    expect(along(net, 'a', 'kernel', 1)).toEqual({ a: '0 1 2 0 1 2 0 1 2 0 1 2' });
    expect(along(net, 'b', 'kernel', 2)).toEqual({ a: '0 1 2' });
    expect(groupNamed(net, 'a')).toMatchObject({ size: 3, consumers: ['b'] });
  });

  it('goes through depthwise kernels, whose outputs lie side by side', () => {
    const x = image(1);
    const deep = layers.depthwiseConv2d({ kernelSize: 1, depthMultiplier: 2, name: 'deep' });
    const norm = layers.batchNormalization({ name: 'norm' });
    const slope = layers.prelu({ sharedAxes: [1, 2], name: 'slope' });
    const net = model(x, on(conv('b', 1), on(slope, on(norm, on(deep, on(conv('a', 2), x))))));
    const { members, watched, producers, consumers } = groupNamed(net, 'a');
    expect([producers, consumers]).toEqual([['a'], ['b']]);
    expect(
      members.map(({ layer, weight, axis, role, channels }) => [
        `${layer}/${weight}`,
        axis,
        role,
        channels.join(' '),
      ]),
    ).toEqual([
      ['a/kernel', 3, 'out', '0 1'],
      ['a/bias', 0, 'out', '0 1'],
      ['deep/depthwiseKernel', 2, 'through', '0 1'],
      ['deep/bias', 0, 'through', '0 0 1 1'],
      ['norm/gamma', 0, 'through', '0 0 1 1'],
      ['norm/beta', 0, 'through', '0 0 1 1'],
      ['norm/movingMean', 0, 'through', '0 0 1 1'],
      ['norm/movingVariance', 0, 'through', '0 0 1 1'],
      ['slope/alpha', 2, 'through', '0 0 1 1'],
      ['b/kernel', 2, 'in', '0 0 1 1'],
    ]);
    expect(watched.map(({ layer, channels }) => [layer, channels.join(' ')])).toEqual([
      ['slope', '0 0 1 1'],
    ]);
  });

  it('takes a separable convolution as reader and maker', () => {
    const x = image(1);
    const sep = layers.separableConv2d({
      filters: 3,
      kernelSize: 1,
      depthMultiplier: 2,
      name: 'sep',
    });
    const net = model(x, on(conv('b', 1), on(sep, on(conv('a', 2), x))));
    expect(along(net, 'sep', 'depthwiseKernel', 2)).toEqual({ a: '0 1' });
    expect(along(net, 'sep', 'pointwiseKernel', 2)).toEqual({ a: '0 0 1 1' });
    expect(along(net, 'sep', 'pointwiseKernel', 3)).toEqual({ sep: '0 1 2' });
    expect(groupNamed(net, 'a').consumers).toEqual(['sep']);
  });

  it('reads transposed kernels the other way round', () => {
    const x = image(1);
    const up = layers.conv2dTranspose({ filters: 3, kernelSize: 2, name: 'up' });
    const net = model(x, on(conv('b', 1), on(up, on(conv('a', 2), x))));
    expect(along(net, 'up', 'kernel', 2)).toEqual({ up: '0 1 2' });
    expect(along(net, 'up', 'kernel', 3)).toEqual({ a: '0 1' });
  });

  it('gives a unit of a recurrent layer its column in every gate', () => {
    const x = tfl.input({ shape: [4, 2], name: 'steps' });
    const both = layers.bidirectional({
      layer: layers.lstm({ units: 2, returnSequences: true }) as tfl.RNN,
      mergeMode: 'concat',
      name: 'both',
    });
    const net = model(x, on(layers.gru({ units: 3, name: 'read' }), on(both, x)));
    expect(along(net, 'both/forward', 'kernel', 1)).toEqual({ both: '0 1 0 1 0 1 0 1' });
    expect(along(net, 'both/backward', 'recurrentKernel', 0)).toEqual({ both: '0 1' });
    expect(along(net, 'both/backward', 'bias', 0)).toEqual({ both: '0 1 0 1 0 1 0 1' });
    expect(along(net, 'read', 'kernel', 0)).toEqual({ both: '0 1 0 1' });
    expect(groupNamed(net, 'both')).toMatchObject({ size: 2, producers: ['both'] });
  });

  it('names what is inside nested models by path, and joins what they are applied to', () => {
    const inner = tfl.sequential({
      name: 'inner',
      layers: [conv('deep', 3, { inputShape: [4, 4, 2] }), layers.reLU()],
    } as never);
    const x = image(1);
    const ab = [on(inner, on(conv('a', 2), x)), on(inner, on(conv('b', 2), x))];
    const net = model(x, on(conv('c', 1), on(layers.add(), ...ab)));
    expect(free(net).map(({ name, size, consumers }) => [name, size, consumers])).toEqual([
      ['a+b', 2, ['inner/deep']],
      ['inner/deep', 3, ['c']],
    ]);
  });

  it('joins what layers without weights must take in one size', () => {
    const x = image(1, 2);
    const inner = tfl.sequential({
      name: 'inner',
      layers: [layers.reLU({ inputShape: [2, 2, 2] } as never)],
    } as never);
    const row = layers.reshape({ targetShape: [4, 3], name: 'row' });
    const [a, b] = [conv('a', 2), conv('b', 2)].map((layer) => on(inner, on(layer, x)));
    const [c, d] = [on(conv('c', 3), a!), on(conv('d', 3), b!)].map((value) => on(row, value));
    const net = model(x, [on(dense('e', 1), c!), on(dense('f', 1), d!)]);
    expect(free(net).map(({ name }) => name)).toEqual(['a+b', 'c+d']);
  });

  it('finds a layer in all the models that it is in', () => {
    const x = image(2);
    const shared = conv('shared', 2, { inputShape: [4, 4, 2] });
    const before = on(shared, on(conv('a', 2), x));
    const inside = tfl.input({ shape: [4, 4, 2], name: 'inside' });
    const inner = tfl.model({ inputs: inside, outputs: on(shared, inside), name: 'inner' });
    const net = model(x, on(conv('b', 1), on(inner, before)));
    // What it makes is what it reads.
    expect(free(net).map(({ name, consumers }) => [name, consumers])).toEqual([
      ['a+shared+inner/shared', ['shared', 'inner/shared', 'b']],
    ]);
  });

  it('tells apart the applications of a shared layer that it watches', () => {
    const x = image(1);
    const relu = layers.reLU({ name: 'relu' });
    const first = on(relu, on(conv('a', 2), x));
    const net = model(x, on(conv('c', 1), on(relu, on(conv('b', 3), first))));
    expect(free(net).flatMap(({ watched }) => watched)).toEqual([
      { layer: 'relu', application: 0, output: 0, channels: Int32Array.of(0, 1) },
      { layer: 'relu', application: 1, output: 0, channels: Int32Array.of(0, 1, 2) },
    ]);
  });

  it('refuses a model in which two layers have one path', () => {
    const x = image(1);
    const inner = tfl.sequential({
      name: 'inner',
      layers: [conv('deep', 1, { inputShape: [4, 4, 1] })],
    } as never);
    const net = model(x, on(conv('inner/deep', 2), on(inner, x)));
    expect(() => channelGroups(net)).toThrow('two layers of it have the path "inner/deep"');
  });

  it('refuses a model that is not built', () => {
    expect(() => channelGroups(tfl.sequential())).toThrow(UnsupportedError);
  });
});

describe('channels that must stay', () => {
  const reasons = (net: tfl.LayersModel) =>
    Object.fromEntries(channelGroups(net).map(({ name, fixed }) => [name, fixed]));

  it('are those of inputs and outputs', () => {
    const x = image(2);
    const a = on(conv('a', 3), x);
    const net = model(x, [on(conv('b', 2), a), on(layers.add(), x, on(conv('c', 2), a))]);
    expect(reasons(net)).toEqual({
      a: undefined,
      b: 'an output of the model',
      'image+c': 'an input of the model; an output of the model',
    });
  });

  it('are those that are looked at together', () => {
    const x = tfl.input({ shape: [5, 2], name: 'x' });
    const last = (value: Value) => model(x, on(dense('head', 1), value));
    const a = (more?: object) => on(dense('a', 4, more), x);
    expect(reasons(last(a({ activation: 'softmax' }))).a).toBe('softmax over the channels in "a"');
    expect(reasons(last(on(layers.softmax({ axis: -1, name: 's' }), a()))).a).toBe(
      'softmax over the channels in "s"',
    );
    expect(reasons(last(on(layers.softmax({ axis: 1 }), a()))).a).toBeUndefined();
    expect(reasons(last(on(layers.activation({ activation: 'softmax', name: 's' }), a()))).a).toBe(
      'softmax over the channels in "s"',
    );
    expect(reasons(last(on(layers.layerNormalization({ name: 'n' }), a()))).a).toBe(
      'layer normalization over the channels in "n"',
    );
    expect(reasons(last(on(layers.layerNormalization({ axis: 1 }), a()))).a).toBeUndefined();
    expect(reasons(last(on(layers.masking({ name: 'm' }), a()))).a).toBe(
      '"m" looks for steps in which all channels have one value',
    );
    const sum = on(layers.add(), a(), on(dense('b', 4, { activation: 'softmax' }), x));
    expect(reasons(last(sum))['a+b']).toBe('softmax over the channels in "b"');
    const narrow = on(dense('gate', 1), x);
    expect(reasons(last(on(layers.multiply({ name: 'm' } as never), a(), narrow)))).toMatchObject({
      a: undefined,
      gate: 'broadcast over the channels in "m"',
    });
    expect(reasons(last(on(layers.permute({ dims: [2, 1], name: 'p' }), a()))).a).toBe(
      '"p" moves the channels to another axis',
    );
    expect(reasons(last(on(layers.reshape({ targetShape: [4, 5], name: 'r' }), a()))).a).toBe(
      '"r" spreads the channels over several axes',
    );
  });

  it('are those of a layout with the channels first', () => {
    const x = tfl.input({ shape: [2, 4, 4], name: 'x' });
    const a = on(conv('a', 3, { dataFormat: 'channelsFirst' }), x);
    const pooled = on(
      layers.maxPooling2d({ poolSize: 2, dataFormat: 'channelsFirst', name: 'p' }),
      a,
    );
    const net = model(
      x,
      on(dense('head', 2), on(layers.flatten({ dataFormat: 'channelsFirst' }), pooled)),
    );
    expect(reasons(net)).toMatchObject({ a: '"a" has its channels first' });
    expect(groupNamed(net, 'a')).toMatchObject({ size: 3, producers: ['a'] });
    // A pool that takes the rows of an image for its channels.
    const y = image(2);
    const across = layers.averagePooling2d({ poolSize: 1, dataFormat: 'channelsFirst', name: 'p' });
    const mixed = model(y, on(conv('c', 1), on(across, on(conv('b', 3), y))));
    expect(reasons(mixed)).toMatchObject({ b: '"p" has its channels first' });
  });

  it('are those that reach or leave an operation that is not known', () => {
    const x = tfl.input({ shape: [3], name: 'x' });
    const a = on(dense('a', 4), x);
    const own = on(new ThimbleTestTurn({ name: 'own' }), a);
    const net = model(x, on(dense('c', 1), on(dense('b', 2), own)));
    const why = 'the op "testTurn" of "own" is not known to the channel graph';
    expect(reasons(net)).toMatchObject({ a: why, own: why, b: undefined });
    expect(groupNamed(net, 'own').consumers).toEqual(['b']);
  });

  it('are those along axes that are not clear', () => {
    const x = tfl.input({ shape: [4, 2], name: 'x' });
    const last = (value: Value) => reasons(model(x, on(dense('head', 1), value))).a;
    const inner = layers.batchNormalization({ axis: 1, name: 'inner' });
    const steps = layers.timeDistributed({ layer: inner, name: 'steps' });
    expect(last(on(steps, on(dense('a', 3), x)))).toBe(
      'the axis of "steps/inner" is not clear: count it from the end, as -1',
    );
    // Normalised over time: the channels are not its affair.
    const overTime = layers.batchNormalization({ axis: 1 });
    expect(last(on(overTime, on(dense('a', 4), x)))).toBeUndefined();
    const turned = on(layers.permute({ dims: [1, 2] }), on(dense('a', 3), x));
    expect(last(turned)).toBeUndefined();
    const open = tfl.input({ shape: [4, null], name: 'open' });
    const a = on(dense('a', 3), x);
    const sum = on(layers.add({ name: 'sum' }), on(dense('b', 3), a), open);
    expect(reasons(model([x, open], sum)).b).toContain(
      '"sum" takes an input whose last axis is of no known size',
    );
    const joined = on(layers.concatenate({ name: 'joined' }), on(dense('b', 3), a), open);
    expect(reasons(model([x, open], joined)).b).toContain(
      '"joined" takes an input whose last axis is of no known size',
    );
  });

  it('are those that an argument of a layer counts or looks up', () => {
    const x = tfl.input({ shape: [4, 2], name: 'x' });
    const last = (value: Value) => reasons(model(x, on(dense('head', 1), value))).a;
    const a = () => on(dense('a', 3), x);
    expect(last(on(layers.dropout({ rate: 0.5, noiseShape: [1, 1, 3], name: 'd' }), a()))).toBe(
      'the noise shape of "d"',
    );
    expect(last(on(layers.dropout({ rate: 0.5, noiseShape: [1, 4, 1] }), a()))).toBeUndefined();
    const looked = on(layers.embedding({ inputDim: 5, outputDim: 2, name: 'e' }), a());
    expect(last(looked)).toBe('looked up in "e"');
    const slope = layers.prelu({ sharedAxes: [1, 2], name: 'slope' });
    expect(last(on(slope, a()))).toBeUndefined();
    expect(along(model(x, on(slope, a())), 'slope', 'alpha', 1)).toEqual({});
  });

  it('are those of stacked cells and of states given from outside', () => {
    const x = tfl.input({ shape: [4, 2], name: 'x' });
    const cell = [layers.lstmCell({ units: 2 }), layers.lstmCell({ units: 2 })] as never;
    const stacked = on(layers.rnn({ cell, name: 'stacked' }), on(dense('a', 3), x));
    expect(reasons(model(x, on(dense('head', 1), stacked)))).toMatchObject({
      a: 'the op "rnn" of "stacked" is not known to the channel graph',
      stacked: 'the op "rnn" of "stacked" is not known to the channel graph',
    });
    const state = on(dense('state', 2), on(layers.flatten(), x));
    const read = layers.gru({ units: 2, name: 'read' }).apply([x, state]) as Value;
    expect(reasons(model(x, on(dense('head', 1), read)))).toMatchObject({
      'state+read': undefined,
    });
    const both = layers.bidirectional({
      layer: layers.gru({ units: 2 }) as tfl.RNN,
      mergeMode: 'sum',
      name: 'both',
    });
    const merged = both.apply([x, state, state]) as Value;
    expect(reasons(model(x, on(dense('head', 1), merged)))).toMatchObject({
      state: 'the states or constants given to "both"',
      both: 'the states or constants given to "both"',
    });
    const probable = layers.lstm({ units: 2, activation: 'softmax', name: 'probable' });
    expect(reasons(model(x, on(dense('head', 1), on(probable, x)))).probable).toBe(
      'softmax over the channels in "probable"',
    );
  });
});

class ThimbleTestTurn extends tfl.layers.Layer {
  static className = 'ThimbleTestTurn';
}
