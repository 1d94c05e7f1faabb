import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  NoMatchError,
  NonFiniteError,
  OptionError,
  type ProgressEvent,
  Random,
  UnsupportedError,
  withSeed,
} from '@thimble/base';
import { parametrizedWeights, summarize } from '@thimble/core';
import {
  criteria,
  type Granularity,
  maskedWeights,
  prune,
  type SensitivityOptions,
  sensitivity,
} from '@thimble/pruning';
import { expectNoLeaks, snapshot, useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';

useCpu();

/** Layers "a" and "b" with kernels of 10 and 5 entries, a's 1 to 10, b's 10, 20 ... 50. */
function ladder(): tfl.Sequential {
  const kernel = (shape: [number, number], factor: number) => {
    const values = Array.from({ length: shape[0] * shape[1] }, (_, i) => factor * (i + 1));
    return [tf.tensor2d(values, shape)];
  };
  return tfl.sequential({
    layers: [
      tfl.layers.dense({
        name: 'a',
        units: 5,
        useBias: false,
        inputShape: [2],
        weights: kernel([2, 5], 1),
      }),
      tfl.layers.dense({ name: 'b', units: 1, useBias: false, weights: kernel([5, 1], 10) }),
    ],
  });
}

/** The sum of all kernels, as they are computed with. */
const kept = (model: tfl.LayersModel): number =>
  tf.tidy(() =>
    parametrizedWeights(model).reduce(
      (sum, weight) => sum + tf.sum(weight.bake()).dataSync()[0]!,
      0,
    ),
  );

const options = { score: kept, granularity: 'element', progress: false } as const;

const classes = 3;
function network(): tfl.Sequential {
  return withSeed(4, () =>
    tfl.sequential({
      layers: [
        tfl.layers.dense({ name: 'first', units: 8, activation: 'relu', inputShape: [6] }),
        tfl.layers.dense({ name: 'second', units: 6, activation: 'relu' }),
        tfl.layers.dense({ name: 'last', units: classes, activation: 'softmax' }),
      ],
    }),
  );
}

function examples(n = 40) {
  const random = new Random('sensitivity');
  const values = Float32Array.from({ length: n * 6 }, () => random.normal());
  const labels = Int32Array.from({ length: n }, () => random.integer(classes));
  const ys = tf.tidy(() => tf.cast(tf.oneHot(tf.tensor1d(labels, 'int32'), classes), 'float32'));
  return { xs: tf.tensor2d(values, [n, 6]), ys };
}

const masksOf = (model: tfl.LayersModel): Record<string, number[]> =>
  Object.fromEntries(
    maskedWeights(model).map(({ name, mask }) => [name, Array.from(mask.dataSync())]),
  );

describe('sensitivity', () => {
  it('scores the model with one layer pruned at a time', async () => {
    // a: 1..10 sum to 55, b: 10..50 to 150. At 0.3 a loses 1 + 2 + 3, b (round(1.5) = 2) 10 + 20.
    const scan = await sensitivity(ladder(), { ...options, ratios: [0.8, 0.3] });
    expect(scan.score).toBe(205);
    expect(scan.rows.map(({ layer, ratio, score }) => [layer, ratio, score])).toEqual([
      ['a', 0, 205],
      ['a', 0.3, 205 - 6],
      ['a', 0.8, 205 - 36],
      ['b', 0, 205],
      ['b', 0.3, 205 - 30],
      ['b', 0.8, 205 - 100],
    ]);
    expect(scan.skipped).toEqual([]);
  });

  it('counts what is left of the layer, and all the rest of the model', async () => {
    const { rows, rest } = await sensitivity(ladder(), { ...options, ratios: [0.3] });
    // Bitmap: 10 bits and 7 or 3 floats, or all of them where that is smaller.
    expect(rows.map(({ cost }) => cost)).toEqual([
      { params: 10, macs: 10, bytes: 40 },
      { params: 7, macs: 7, bytes: 10 / 8 + 28 },
      { params: 5, macs: 5, bytes: 20 },
      { params: 3, macs: 3, bytes: 5 / 8 + 12 },
    ]);
    expect(rest).toEqual({ params: 0, macs: 0, bytes: 0 });
    const alone = await sensitivity(ladder(), { ...options, ratios: [0.3], targets: 'b' });
    expect(alone.rows.map(({ layer }) => layer)).toEqual(['b', 'b']);
    expect(alone.rest).toEqual({ params: 10, macs: 10, bytes: 40 });
  });

  it('tries 0.1 to 0.9 where no ratios are given', async () => {
    const { rows } = await sensitivity(ladder(), { ...options, targets: 'a' });
    expect(rows.map(({ ratio }) => ratio)).toEqual([
      0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9,
    ]);
  });

  it('measures accuracy on the data', async () => {
    // x = (1, 0) is of class 1 by 2 > 0.5, x = (0, 1) of class 0 by 3 > 0.1. Without the 2 the first one
    // has no lead; class 0 then wins.
    const model = tfl.sequential({
      layers: [
        tfl.layers.dense({
          units: 2,
          useBias: false,
          inputShape: [2],
          weights: [
            tf.tensor2d([
              [0.5, 2],
              [3, 0.1],
            ]),
          ],
        }),
      ],
    });
    const data = { xs: tf.tensor2d([1, 0, 0, 1], [2, 2]), ys: tf.tensor2d([0, 1, 1, 0], [2, 2]) };
    const { score, rows } = await sensitivity(model, {
      data,
      granularity: 'element',
      ratios: [0.5, 0.75],
      progress: false,
    });
    expect([score, ...rows.map((row) => row.score)]).toEqual([1, 1, 1, 0.5]);
  });

  it.each<[string, Partial<SensitivityOptions>]>([
    ['element', { granularity: 'element' }],
    ['random block', { criterion: criteria.random(), granularity: 'block', seed: 3 }],
    ['taylorWeight channel', { criterion: criteria.taylorWeight(), granularity: 'channel' }],
    ['apoz neuron', { criterion: criteria.apoz(), granularity: 'neuron' }],
    ['2:4', { granularity: '2:4' as Granularity }],
  ])('sets the masks that prune would set: %s', async (_name, rule) => {
    const data = examples();
    const evidence = { data, loss: 'categoricalCrossentropy', examples: 40 } as const;
    const seen: Record<string, number[]>[] = [];
    const { rows } = await sensitivity(network(), {
      ...evidence,
      ...rule,
      ratios: [0.25, 0.5],
      progress: false,
      score: (model) => {
        seen.push(masksOf(model));
        return 0;
      },
    });
    const pruned = rows.filter(({ ratio }) => ratio > 0);
    expect(pruned.length).toBeGreaterThanOrEqual(4);
    for (const [i, { layer, ratio }] of pruned.entries()) {
      const model = network();
      const sparsities = Object.fromEntries(rows.map((row) => [row.layer, 0]));
      await prune(model, { ...evidence, ...rule, perLayer: { ...sparsities, [layer]: ratio } });
      expect(seen[i + 1]).toEqual(masksOf(model));
      expect(Object.values(seen[i + 1]!).flat()).toContain(0);
    }
  });

  it('leaves the model as it was', async () => {
    const model = network();
    await prune(model, { sparsity: 0.4, granularity: 'element' });
    const before = snapshot(model);
    await sensitivity(model, { ...options, ratios: [0.2, 0.5, 0.9] });
    expect(snapshot(model)).toEqual(before);
  });

  it('counts in what is pruned already, and never brings it back', async () => {
    const model = ladder();
    await prune(model, { granularity: 'element', perLayer: { a: 0.3 } });
    const scan = await sensitivity(model, { ...options, targets: 'a', ratios: [0.2, 0.5] });
    expect(scan.rows.map(({ score, cost }) => [score, cost.params])).toEqual([
      [205 - 6, 7],
      [205 - 6, 7],
      [205 - 15, 5],
    ]);
    expect(scan.rest).toEqual({ params: 5, macs: 5, bytes: 20 });
  });

  it('leaves the model as it was when a score throws, is NaN, or the scan is stopped', async () => {
    const model = network();
    await prune(model, { sparsity: 0.4, granularity: 'element' });
    const before = snapshot(model);
    let calls = 0;
    const failing = (fail: () => number) => () => (++calls === 4 ? fail() : 0);
    const stop = new AbortController();
    for (const [fail, message] of [
      [
        () => {
          throw new Error('broken');
        },
        'broken',
      ],
      [() => Number.NaN, 'layer "first" at ratio 0.9 is NaN'],
      [
        () => {
          stop.abort(new Error('enough'));
          return 0;
        },
        'enough',
      ],
    ] as const) {
      calls = 0;
      const score = failing(fail);
      await expect(
        sensitivity(model, { ...options, score, ratios: [0.2, 0.5, 0.9], signal: stop.signal }),
      ).rejects.toThrow(message);
      expect(calls).toBe(4);
      expect(snapshot(model)).toEqual(before);
    }
    await expect(sensitivity(model, { ...options, score: () => Number.NaN })).rejects.toThrow(
      NonFiniteError,
    );
  });

  it('leaves no tensor behind', async () => {
    const model = network();
    const data = examples();
    await expectNoLeaks(() =>
      sensitivity(model, {
        data,
        loss: 'categoricalCrossentropy',
        criterion: criteria.taylorWeight(),
        ratios: [0.5],
        progress: false,
      }),
    );
  });

  it('says what it could not try', async () => {
    // Two filters: at 0.8, round(1.6) = 2 would go.
    const model = tfl.sequential({
      layers: [
        tfl.layers.conv2d({ name: 'few', filters: 2, kernelSize: 1, inputShape: [2, 2, 1] }),
        tfl.layers.flatten(),
        tfl.layers.dense({ units: 1 }),
      ],
    });
    const { rows, skipped } = await sensitivity(model, {
      ...options,
      granularity: 'filter',
      ratios: [0.5, 0.8],
    });
    expect(rows.map(({ ratio }) => ratio)).toEqual([0, 0.5]);
    expect(skipped).toMatchObject([{ layer: 'few', ratio: 0.8 }]);
    expect(skipped[0]!.reason).toContain('nothing would be left of few/kernel');
    // Kernel 2 x 1 x 1 x 1 at 4 positions, half of it; the rest is 8 + 1 of the dense layer and 2 biases.
    expect(rows[1]!.cost).toMatchObject({ params: 1, macs: 4 });
  });

  it('adds up to what the whole model costs, for layers of every kind', async () => {
    const {
      bidirectional,
      conv2d,
      conv2dTranspose,
      depthwiseConv2d,
      flatten,
      lstm,
      repeatVector,
      separableConv2d,
      timeDistributed,
      dense,
    } = tfl.layers;
    const inner = tfl.sequential({
      name: 'inner',
      layers: [dense({ units: 4, inputShape: [5] }), dense({ units: 3 })],
    });
    const model = tfl.sequential({
      layers: [
        conv2d({ filters: 4, kernelSize: 3, inputShape: [6, 6, 2] }),
        depthwiseConv2d({ kernelSize: 2, depthMultiplier: 2 }),
        separableConv2d({ filters: 3, kernelSize: 2 }),
        conv2dTranspose({ filters: 2, kernelSize: 2 }),
        flatten(),
        dense({ units: 4 }),
        repeatVector({ n: 3 }),
        timeDistributed({ layer: dense({ units: 2 }) }),
        bidirectional({ layer: lstm({ units: 2 }) as tfl.RNN, mergeMode: 'concat' }),
        dense({ units: 5 }),
        inner,
      ],
    });
    const { total } = summarize(model);
    const { rows, rest } = await sensitivity(model, { ...options, score: () => 0, ratios: [0.5] });
    const whole = rows.filter(({ ratio }) => ratio === 0);
    expect(whole).toHaveLength(11);
    const sum = (of: (row: (typeof rows)[0]) => number) =>
      whole.reduce((all, row) => all + of(row), 0);
    expect(sum(({ cost }) => cost.params) + rest.params).toBe(total.params);
    expect(sum(({ cost }) => cost.macs) + rest.macs).toBeCloseTo(total.macs, 6);
    expect(rest.macs).toBeCloseTo(0, 6);
    expect(sum(({ cost }) => cost.bytes) + rest.bytes).toBeCloseTo(total.bits / 8, 6);
    // 3 x 3 x 2 x 4 entries at 4 x 4 positions.
    expect(whole[0]!.cost).toEqual({ params: 72, macs: 1152, bytes: 288 });
    for (const { layer, ratio, cost } of rows.filter((row) => row.ratio > 0)) {
      const { cost: all } = whole.find((row) => row.layer === layer)!;
      expect(cost.macs / all.macs).toBeCloseTo(cost.params / all.params, 12);
      expect(cost.params / all.params).toBeCloseTo(1 - ratio, 1);
    }
  });

  it('reports progress', async () => {
    const events: ProgressEvent[] = [];
    await sensitivity(ladder(), {
      ...options,
      ratios: [0.3, 0.8],
      progress: (event) => events.push(event),
    });
    expect(events.map(({ done, total, values }) => [done, total, values.layer])).toEqual([
      [1, 5, ''],
      [2, 5, 'a'],
      [3, 5, 'a'],
      [4, 5, 'b'],
      [5, 5, 'b'],
    ]);
  });

  it('refuses what cannot be scanned', async () => {
    const model = ladder();
    const refuse = (given: object) => expect(sensitivity(model, { ...options, ...given })).rejects;
    await refuse({ score: undefined }).toThrow('give data, to measure the accuracy on');
    await refuse({ ratios: [0, 0.5] }).toThrow(OptionError);
    await refuse({ ratios: [1] }).toThrow(OptionError);
    await refuse({ ratios: [-0.1] }).toThrow(OptionError);
    await refuse({ ratio: [0.5] }).toThrow(OptionError);
    await refuse({ scope: 'global' }).toThrow(OptionError);
    await refuse({ criterion: criteria.threshold({ value: 1 }) }).toThrow('take one that ranks');
    await refuse({ targets: 'c' }).toThrow(NoMatchError);
    await refuse({ granularity: 'kernel' }).toThrow(UnsupportedError);
  });
});
