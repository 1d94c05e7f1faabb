import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { OptionError, Random, UnsupportedError } from '@thimble/base';
import {
  fit,
  type ParametrizedWeight,
  parametrize,
  parametrizedWeights,
  releaseMoment,
  setMoment,
} from '@thimble/core';
import { type GroupKind, type GroupLassoOptions, groupLasso } from '@thimble/pruning';
import {
  checkGradients,
  describeTransformContract,
  savedAndLoaded,
  train,
  useCpu,
} from '@thimble/testing';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { chainedDense, penaltiesOf, penaltyOf } from './helpers.ts';

useCpu();
afterEach(() => {
  setMoment({ step: 0, seed: 0 });
  releaseMoment();
});

describeTransformContract('groupLasso', {
  make: () => groupLasso({ strength: { filters: 0.1, layer: 0.2 }, bySize: true }),
  gradient: (_stored, upstream) => upstream,
});

/** The stored weight after a proximal step from the present one. */
function step(weight: ParametrizedWeight, learningRate: number): number[] {
  setMoment({ step: 0, seed: 0, learningRate });
  return tf.tidy(() => Array.from(weight.update(weight.variable, weight.variable).dataSync()));
}

const norm = (values: number[]) => Math.hypot(...values);
const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);

describe('groupLasso', () => {
  // The columns have the norms 5 and 2, the rows 3, 2 and 4.
  const kernel = [
    [3, 0],
    [0, 2],
    [-4, 0],
  ];
  const dense = (options: GroupLassoOptions) => chainedDense(kernel, [groupLasso(options)]);

  it.each<[GroupKind, number]>([
    ['filters', 5 + 2],
    ['channels', 3 + 2 + 4],
    ['shapes', 3 + 2 + 4],
    ['layer', Math.sqrt(29)],
  ])('over %s of a dense kernel charges for their norms', (over, norms) => {
    const { model } = dense({ strength: 0.1, over, method: 'subgradient' });
    expect(penaltyOf(model)).toBeCloseTo(0.1 * norms, 6);
  });

  it('adds up several kinds, each with its strength', () => {
    const strength = { filters: 0.1, channels: 0.01 };
    expect(penaltyOf(dense({ strength, method: 'subgradient' }).model)).toBeCloseTo(0.7 + 0.09, 6);
    const over = ['filters', 'channels'] as const;
    const both = dense({ strength: 0.1, over, method: 'subgradient' });
    expect(penaltyOf(both.model)).toBeCloseTo(0.7 + 0.9, 6);
  });

  it('can charge by the size of the groups', () => {
    const options = {
      strength: 0.1,
      over: 'filters',
      method: 'subgradient',
      bySize: true,
    } as const;
    expect(penaltyOf(dense(options).model)).toBeCloseTo(0.1 * Math.sqrt(3) * 7, 6);
  });

  it('shrinks every group by rate times strength, to exactly zero', () => {
    const { weight } = dense({ strength: 10, over: 'filters' });
    // 10 * 0.25 = 2.5: half of 5, more than 2
    expect(step(weight, 0.25)).toBeAllClose([1.5, 0, 0, 0, -2, 0], 1e-6);
    expect(step(weight, 0.25)[3]).toBe(0);
    const sized = dense({ strength: 1, over: 'filters', bySize: true }).weight;
    expect(step(sized, 1)).toBeAllClose(
      [3, 0, 0, 2 * (1 - Math.sqrt(3) / 2), -4, 0].map((value) =>
        Math.abs(value) > 2 ? value * (1 - Math.sqrt(3) / 5) : value,
      ),
      1e-6,
    );
  });

  it('goes from the smaller groups to the larger, which is exact where they are nested', () => {
    const { weight } = dense({ strength: { layer: 1, channels: 2 } });
    // rows 3, 2, 4 less 2 are 1, 0, 2; their norm sqrt(5) less 1
    const rest = 1 - 1 / Math.sqrt(5);
    expect(step(weight, 1)).toBeAllClose([rest, 0, 0, 0, -2 * rest, 0], 1e-6);
  });

  it('leaves zeros, and a rate of zero, alone', () => {
    const { weight } = chainedDense([[0, 1]], [groupLasso({ strength: 1, over: 'filters' })]);
    expect(step(weight, 0)).toEqual([0, 1]);
    expect(step(weight, 0.5)).toEqual([0, 0.5]);
  });

  it('has a finite gradient, by finite differences and at zero', () => {
    const strength = { filters: 0.5, channels: 2, layer: 1 };
    const { model, weight } = chainedDense(
      [
        [1, -2, 0.5],
        [0.3, 1, 2],
      ],
      [groupLasso({ strength, method: 'subgradient' })],
    );
    checkGradients(() => penaltiesOf(model), { kernel: weight.variable });
    const zero = chainedDense([[0, 3]], [groupLasso({ strength: 2, over: 'filters' })]);
    const { grads } = tf.variableGrads(() => penaltiesOf(zero.model), [zero.weight.variable]);
    expect(grads[zero.weight.variable.name]!).toBeAllClose([[0, 2]], 1e-6);
  });

  it('is saved with its options', async () => {
    for (const method of ['subgradient', 'proximal'] as const) {
      const over = ['filters', 'shapes'] as const;
      const { model } = dense({ strength: 0.5, over, method, bySize: true });
      const [weight] = parametrizedWeights(await savedAndLoaded(model));
      expect(weight!.hasUpdate).toBe(method === 'proximal');
      expect(weight!.links[0]!.transform.getConfig()).toEqual({
        strength: { shapes: 0.5, filters: 0.5 },
        method,
        bySize: true,
      });
    }
  });

  it('names options that are wrong', () => {
    const call = (options: unknown) => () => groupLasso(options as GroupLassoOptions);
    expect(call({ strength: 1 })).toThrow(OptionError);
    expect(call({ strength: 1 })).toThrow('one or several of shapes, channels, filters, layer');
    expect(call({ strength: {} })).toThrow('over what?');
    expect(call({ strength: 1, over: 'rows' })).toThrow('unknown option "rows"');
    expect(call({ strength: { filters: 1 }, over: 'filters' })).toThrow('leave over out');
    expect(call({ strength: -1, over: 'filters' })).toThrow('strength must be a number at least 0');
    expect(call({ strength: { layer: -1 } })).toThrow('strength.layer must be a number at least 0');
    expect(call({ strength: 1, over: 'layer', method: 'prox' })).toThrow('not "prox"');
    expect(call({ lambda: 1 })).toThrow('unknown option "lambda"');
  });

  it('says where there are no channels to group by', () => {
    const layer = tfl.layers.dense({ units: 2, inputShape: [1], name: 'plain' });
    tfl.sequential({ layers: [layer] });
    const attach = () =>
      parametrize(layer, { bias: [groupLasso({ strength: 1, over: 'channels' })] });
    expect(attach).toThrow(UnsupportedError);
    expect(attach).toThrow(
      'groupLasso over channels: "bias" of layer "plain" has no input channels to divide by',
    );
  });
});

/** Layers with the group of every entry, written out by hand: from the entry's coordinates. */
const layouts: [
  string,
  () => tfl.layers.Layer,
  string,
  Partial<Record<GroupKind, (at: number[]) => string>>,
][] = [
  [
    'conv2d [h, w, in, out]',
    () => tfl.layers.conv2d({ filters: 3, kernelSize: 2, inputShape: [4, 4, 2] }),
    'kernel',
    {
      filters: ([, , , out]) => `${out}`,
      channels: ([, , input]) => `${input}`,
      shapes: ([h, w, input]) => `${h} ${w} ${input}`,
      layer: () => '',
    },
  ],
  [
    'conv2dTranspose [h, w, out, in]',
    () => tfl.layers.conv2dTranspose({ filters: 3, kernelSize: 2, inputShape: [4, 4, 2] }),
    'kernel',
    {
      filters: ([, , out]) => `${out}`,
      channels: ([, , , input]) => `${input}`,
      shapes: ([h, w, , input]) => `${h} ${w} ${input}`,
    },
  ],
  [
    'depthwiseConv2d [h, w, channel, multiplier]',
    () => tfl.layers.depthwiseConv2d({ kernelSize: 2, depthMultiplier: 2, inputShape: [4, 4, 3] }),
    'depthwiseKernel',
    {
      filters: ([, , channel]) => `${channel}`,
      channels: ([, , channel]) => `${channel}`,
      shapes: ([h, w]) => `${h} ${w}`,
    },
  ],
  [
    'lstm [in, 4 gates of units]',
    () => tfl.layers.lstm({ units: 3, inputShape: [2, 2] }),
    'kernel',
    {
      filters: ([, column]) => `${column! % 3}`,
      channels: ([input]) => `${input}`,
    },
  ],
];

describe.each(layouts)('on %s', (_name, make, name, kinds) => {
  it.each(Object.entries(kinds))('over %s takes the minimum that it should', (kind, group) => {
    const layer = make();
    const over = kind as GroupKind;
    parametrize(layer, { [name]: [groupLasso({ strength: 1, over })] });
    tfl.sequential({ layers: [layer] });
    const [weight] = parametrizedWeights(layer) as [ParametrizedWeight];
    const { shape, size } = weight.variable;
    const coordinates = (i: number) =>
      shape.map((n, axis) => {
        const stride = shape.slice(axis + 1).reduce((product, m) => product * m, 1);
        return Math.floor(i / stride) % n;
      });
    fc.assert(
      fc.property(fc.integer(), fc.double({ min: 0.1, max: 2, noNaN: true }), (seed, rate) => {
        const random = new Random('group lasso', seed);
        const before = Array.from({ length: size }, () => Math.fround(random.normal()));
        tf.tidy(() => weight.variable.assign(tf.tensor(before, shape)));
        const after = step(weight, rate);
        const groups = new Map<string, number[]>();
        before.forEach((_, i) => {
          const key = group(coordinates(i));
          groups.set(key, [...(groups.get(key) ?? []), i]);
        });
        for (const members of groups.values()) {
          const old = members.map((i) => before[i]!);
          const now = members.map((i) => after[i]!);
          // The minimum p of |p - w|^2 / 2 + rate |p|: p is 0 where |w| <= rate, else p + rate p/|p| = w.
          if (norm(old) <= rate) expect(sum(now.map(Math.abs))).toBe(0);
          else expect(now.map((p) => p + (rate * p) / norm(now))).toBeAllClose(old, 1e-3);
        }
      }),
      { seed: 3, numRuns: 20 },
    );
  });
});

describe('in training, groups that nothing needs', () => {
  /** The kernel [6, 2] after training on outputs that depend on the first 3 inputs alone. */
  async function trained(options: Partial<GroupLassoOptions>, optimizer: tf.Optimizer) {
    const random = new Random('half of the inputs');
    const start = Array.from({ length: 6 }, () => [random.normal(), random.normal()]);
    const chain = [groupLasso({ strength: 0.1, over: 'channels', ...options })];
    const { model, weight } = chainedDense(start, chain);
    const xs = Float32Array.from({ length: 6 * 64 }, () => random.normal());
    const ys = Float32Array.from({ length: 2 * 64 }, (_, i) => {
      const [a, b, c] = xs.subarray(6 * (i >> 1)) as unknown as [number, number, number];
      return i % 2 ? a - b + c : a + b;
    });
    const data = { xs, ys };
    const history = await fit(model, data, {
      loss: 'meanSquaredError',
      optimizer,
      epochs: 60,
      progress: false,
    });
    const values = Array.from(weight.variable.dataSync());
    return { rows: start.map((_, i) => values.slice(2 * i, 2 * i + 2)), history };
  }

  it.each([
    ['sgd', () => tf.train.sgd(0.1)],
    ['adam', () => tf.train.adam(0.05)],
  ])('become exactly zero by the proximal step of %s', async (_name, optimizer) => {
    const { rows, history } = await trained({}, optimizer());
    for (const row of rows.slice(0, 3)) expect(norm(row)).toBeGreaterThan(0.5);
    for (const row of rows.slice(3)) expect(row.map(Math.abs)).toEqual([0, 0]);
    // The loss in the logs is that of the data alone: what shrinking costs it.
    expect(history.logs.loss!.at(-1)).toBeLessThan(0.05);
  });

  it('come near zero by the subgradient, and never are', async () => {
    const { rows } = await trained({ method: 'subgradient' }, tf.train.sgd(0.1));
    for (const row of rows.slice(3)) {
      expect(norm(row)).toBeLessThan(0.05);
      expect(row).not.toContain(0);
    }
  });

  it("come near zero in tfjs's own fit too, which has no proximal step", async () => {
    const { model, weight } = chainedDense(
      [[1], [1]],
      [groupLasso({ strength: 0.5, over: 'filters' })],
    );
    model.compile({ optimizer: tf.train.sgd(1), loss: 'meanSquaredError' });
    // Two steps on inputs of 0, where the labels 1 give the kernel no gradient.
    await train(model, tf.zeros([4, 2]));
    // The norm sqrt(2) goes down by 0.5 twice.
    const rest = (Math.SQRT2 - 1) / Math.SQRT2;
    expect(weight.variable).toBeAllClose([[rest], [rest]], 1e-6);
  });
});
