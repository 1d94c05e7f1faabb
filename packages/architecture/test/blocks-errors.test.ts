// What blocks compute by formula, and what they refuse.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  depthwiseSeparableConv2d,
  fire,
  groupConv2d,
  invertedResidual,
  lowRankConv2d,
  lowRankDense,
} from '@thimble/architecture';
import { OptionError, ShapeError, UnsupportedError } from '@thimble/base';
import { useCpu } from '@thimble/testing';
import { expect, it } from 'vitest';

useCpu();

const image = (channels: number) => tfl.input({ shape: [5, 5, channels] });

it('lets a group see its own channels, and interleaves the groups', () => {
  // 1 x 1 filters on 4 channels in 2 groups; weights [in of the group, filters of the group].
  const layer = groupConv2d({
    filters: 4,
    kernelSize: 1,
    groups: 2,
    shuffle: true,
    useBias: false,
  });
  const x = tf.tensor4d([1, 2, 3, 4], [1, 1, 1, 4]);
  layer.apply(x);
  layer.setWeights([
    tf.tensor4d([1, 10, 1, 20], [1, 1, 2, 2]),
    tf.tensor4d([1, 5, 2, 7], [1, 1, 2, 2]),
  ]);
  // Group 1: [1 + 2, 10 + 40] = [3, 50]; group 2: [3 + 8, 15 + 28] = [11, 43]; interleaved.
  expect([...(layer.apply(x) as tf.Tensor).dataSync()]).toEqual([3, 11, 50, 43]);
});

it('adds the input of an inverted residual only where it fits', () => {
  const zeroed = (args: Parameters<typeof invertedResidual>[0]) => {
    const layer = invertedResidual({ batchNormalization: false, ...args });
    const x = tf.randomUniform([1, 4, 4, 3], 1, 2, 'float32', 1);
    layer.apply(x);
    layer.setWeights(layer.getWeights().map((weight) => tf.zerosLike(weight)));
    return { x: [...x.dataSync()], y: [...(layer.apply(x) as tf.Tensor).dataSync()] };
  };
  const same = zeroed({ filters: 3 });
  expect(same.y).toEqual(same.x);
  for (const args of [{ filters: 3, strides: 2 }, { filters: 2 }]) {
    expect(zeroed(args).y.every((value) => value === 0)).toBe(true);
  }
});

it('clips at 6 where ReLU6 is asked for', () => {
  const layer = depthwiseSeparableConv2d({
    ...{ filters: 1, kernelSize: 1, activation: 'relu6', batchNormalization: false },
  });
  const x = tf.tensor4d([100, -1], [2, 1, 1, 1]);
  layer.apply(x);
  layer.setWeights(
    layer.getWeights().map((w) => (w.rank === 4 ? tf.onesLike(w) : tf.zerosLike(w))),
  );
  expect([...(layer.apply(x) as tf.Tensor).dataSync()]).toEqual([6, 0]);
});

it('refuses ranks above the limit once the input is known', () => {
  expect(() => lowRankDense({ units: 4, rank: 5 }).apply(tfl.input({ shape: [9] }))).toThrow(
    OptionError,
  );
  const over = [
    { scheme: 'spatial', rank: 7 }, // min(3 * 2, 3 * 4)
    { scheme: 'channel', rank: 5 }, // min(9 * 2, 4)
    { scheme: 'tucker2', rank: [3, 1] },
    { scheme: 'tucker2', rank: [1, 5] },
    { scheme: 'cp', rank: 19 }, // 9 * 2
  ] as const;
  for (const { scheme, rank } of over) {
    const make = (each: number | [number, number]) =>
      lowRankConv2d({ filters: 4, kernelSize: 3, scheme, rank: each }).apply(image(2));
    expect(() => make(rank as number), `${scheme} ${rank}`).toThrow(
      /rank.* must be a whole number from 1 to/,
    );
    const lower =
      typeof rank === 'number'
        ? rank - 1
        : (rank.map((r) => Math.max(1, r - 1)) as [number, number]);
    expect(() => make(lower)).not.toThrow();
  }
});

it('refuses options that make no sense, by name', () => {
  expect(() => fire({ squeeze: 0, expand1x1: 1, expand3x3: 1 })).toThrow(/fire: squeeze must be/);
  expect(() => lowRankDense({ units: 3, rank: 1.5 })).toThrow(/lowRankDense: rank must be/);
  expect(() => lowRankConv2d({ filters: 3, kernelSize: 3, rank: 1, scheme: 'qr' as 'cp' })).toThrow(
    /scheme must be one of spatial, channel, tucker2, cp, not "qr"/,
  );
  expect(() => lowRankConv2d({ filters: 3, kernelSize: 3, rank: [1, 2] }).apply(image(2))).toThrow(
    /a pair of ranks is for Tucker-2/,
  );
  expect(() =>
    lowRankConv2d({ filters: 3, kernelSize: 3, rank: 1, scheme: 'cp', dilationRate: 2 }),
  ).toThrow(UnsupportedError);
  expect(() => groupConv2d({ filters: 5, kernelSize: 1, groups: 2 })).toThrow(
    /5 filters do not come in 2 groups/,
  );
  expect(() => groupConv2d({ filters: 4, kernelSize: 1, groups: 2 }).apply(image(3))).toThrow(
    ShapeError,
  );
  expect(() => invertedResidual({ filters: 4, expansion: 0.5 })).toThrow(/expansion must be/);
  expect(() => depthwiseSeparableConv2d({ filters: 4, dataFormat: 'channelsFirst' })).toThrow(
    /dataFormat must be channelsLast/,
  );
});
