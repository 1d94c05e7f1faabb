// What the test suites of other toolkits expect of masks, granularities and criteria. The numbers are
// theirs; the source is named at each.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  criteria,
  type Granularity,
  type MaskedWeight,
  maskedWeights,
  prune,
  type WeightCriterion,
} from '@thimble/pruning';
import { useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';
import { unitsOf } from '../src/granularity.ts';
import { masksOf, type ScoredWeight, unitScores } from '../src/unit-masks.ts';
import { activations, channelEvidence, kernel, weightEvidence } from './evidence.ts';

useCpu();

const CONV = { out: 3, in: 2, space: [0, 1], gates: 1 };

/** A dense layer with this kernel, [in, out]. */
function dense(values: number[][]): tfl.Sequential {
  const [rows, columns] = [values.length, values[0]!.length];
  const weights = [tf.tensor2d(values)];
  const layer = tfl.layers.dense({ units: columns, weights, useBias: false, inputShape: [rows] });
  return tfl.sequential({ layers: [layer] });
}

/** The masks of a model, nested as its weights are. */
function masks(model: tfl.LayersModel): unknown[] {
  return maskedWeights(model).map(({ mask }) => mask.arraySync());
}

/** For every index along the last axis of a mask whether all, or none, of it is kept. */
function filterMask(mask: tf.Variable): number[] {
  return tf.tidy(() => {
    const flat = tf.reshape(mask, [-1, mask.shape.at(-1)!]);
    expect(tf.max(flat, 0)).toBeAllClose(tf.min(flat, 0), 0);
    return Array.from(tf.max(flat, 0).dataSync());
  });
}

/** [out, in, height, width], as PyTorch has it, laid out as [height, width, in, out]. */
const fromTorch = (values: ArrayLike<number>, [o, i, h, w]: [number, number, number, number]) =>
  tf.tidy(() => tf.transpose(tf.tensor4d(Float32Array.from(values), [o, i, h, w]), [2, 3, 1, 0]));

const arange = (n: number) => Array.from({ length: n }, (_, i) => i);

// tensorflow/model-optimization: tensorflow_model_optimization/python/core/sparsity/keras
describe('model-optimization', () => {
  it('prunes ten weights by magnitude (pruning_impl_test.py)', async () => {
    const model = dense([[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]]);
    await prune(model, { granularity: 'element', sparsity: 0.200000018 });
    expect(masks(model)).toEqual([[[0, 0, 1, 1, 1, 1, 1, 1, 1, 1]]]);
  });

  it('leaves so many at a schedule that rises (pruning_impl_test.py)', async () => {
    const model = dense([arange(100).map((i) => i + 1)]);
    const left = [];
    for (const sparsity of [0, 0.1, 0.1, 0.3, 0.3, 0.5, 0.5, 0.5, 0.5, 0.5]) {
      left.push((await prune(model, { granularity: 'element', sparsity })).kept);
    }
    expect(left).toEqual([100, 90, 90, 70, 70, 50, 50, 50, 50, 50]);
  });

  it('prunes 2x2 blocks by their largest weight (pruning_impl_test.py)', async () => {
    const model = dense([
      [0.1, 0, 0.2, 0],
      [0, -0.1, 0, -0.2],
      [0.3, 0, 0.4, 0],
      [0, -0.3, 0, -0.4],
    ]);
    const criterion = criteria.magnitude({ norm: 'max' });
    await prune(model, { criterion, granularity: { block: [2, 2] }, sparsity: 0.5 });
    expect(masks(model)).toEqual([
      [
        [0, 0, 0, 0],
        [0, 0, 0, 0],
        [1, 1, 1, 1],
        [1, 1, 1, 1],
      ],
    ]);
  });

  // There the groups run along rows, here along the inputs: the weights are transposed.
  it.each([
    [
      [
        [-0.49, -0.66, 0.42],
        [0.31, 0.63, -1.63],
      ],
      [
        [1, 1, 0],
        [0, 1, 1],
      ],
    ],
    [
      [
        [0.25, -1.33, 0.43, -0.11],
        [0.47, 0.92, -0.13, -2.23],
      ],
      [
        [0, 1, 1, 0],
        [0, 1, 0, 1],
      ],
    ],
  ])('keeps 2 of 4 in rows %# (pruning_utils_test.py)', async (rows, expected) => {
    const transposed = (table: number[][]) => table[0]!.map((_, i) => table.map((row) => row[i]!));
    const model = dense(transposed(rows));
    await prune(model, { granularity: '2:4', sparsity: 0.5 });
    expect(masks(model)).toEqual([transposed(expected)]);
  });

  it('keeps 2 of 4 inputs of a dense layer (pruning_impl_test.py)', async () => {
    const model = dense([
      [0.74, 0.68],
      [-0.89, -0.45],
      [-1.68, 1.24],
      [0.31, -0.6],
    ]);
    await prune(model, { granularity: '2:4', sparsity: 0.5 });
    expect(masks(model)).toEqual([
      [
        [0, 1],
        [1, 0],
        [1, 1],
        [0, 0],
      ],
    ]);
  });

  it.each<[Granularity, number[][], number[][]]>([
    [
      '1:2',
      [
        [-0.36, -0.77],
        [-0.43, -0.18],
        [0.12, 1.36],
        [0.77, 0.96],
      ],
      [
        [0, 1],
        [1, 0],
        [0, 1],
        [1, 0],
      ],
    ],
    [
      '2:4',
      [
        [-0.37, 1.85],
        [0.82, 0.07],
        [1.17, 0.5],
      ],
      [
        [0, 1],
        [1, 0],
        [1, 1],
      ],
    ],
  ])(
    'keeps %s of the input channels of a convolution (pruning_impl_test.py)',
    async (granularity, values, expected) => {
      const layer = tfl.layers.conv2d({
        filters: 2,
        kernelSize: 1,
        useBias: false,
        weights: [tf.tensor4d([[values]])],
        inputShape: [1, 1, values.length],
      });
      const model = tfl.sequential({ layers: [layer] });
      await prune(model, { granularity, sparsity: 0.5 });
      expect(masks(model)).toEqual([[[expected]]]);
    },
  );
});

// microsoft/nni v2.9: test/algo/compression
describe('NNI', () => {
  it.each([
    [0.2, [1, 1, 1, 1, 0, 0, 1, 1, 1, 1]],
    [0.6, [1, 1, 0, 0, 0, 0, 0, 0, 1, 1]],
  ])(
    'prunes %s of the filters by geometric median (v1/test_compressor_torch.py)',
    async (sparsity, expected) => {
      const filters = arange(10).map((i) => i + 1);
      const weights = [tf.tile(tf.tensor4d([[[filters]]]), [5, 5, 5, 1])];
      const conv = tfl.layers.conv2d({
        filters: 10,
        kernelSize: 5,
        useBias: false,
        weights,
        inputShape: [5, 5, 5],
      });
      const layers = [conv, tfl.layers.flatten(), tfl.layers.dense({ units: 2 })];
      const model = tfl.sequential({ layers });
      const criterion = criteria.geometricMedian();
      await prune(model, { criterion, granularity: 'filter', sparsity });
      expect(filterMask(maskedWeights(model)[0]!.mask)).toEqual(expected);
    },
  );

  it.each([
    [0.2, [0, -1, -2, -3, -4], [0, 1, 1, 1, 1]],
    [0.6, [0, 1, 2, 3, 4], [0, 0, 0, 1, 1]],
  ])(
    'prunes %s of all filters by batch normalisation scales (v1/test_compressor_torch.py)',
    async (sparsity, gamma2, expected) => {
      const conv = (inputShape?: number[]) =>
        tfl.layers.conv2d({ filters: 5, kernelSize: 1, ...(inputShape && { inputShape }) });
      const scaled = (gamma: number[]) => {
        const rest = [tf.zeros([5]), tf.zeros([5]), tf.ones([5])];
        return tfl.layers.batchNormalization({ weights: [tf.tensor1d(gamma), ...rest] });
      };
      const model = tfl.sequential({
        layers: [
          conv([2, 2, 5]),
          scaled([0, 1, 2, 3, 4]),
          conv(),
          scaled(gamma2),
          tfl.layers.flatten(),
          tfl.layers.dense({ units: 2 }),
        ],
      });
      const criterion = criteria.batchNormScale();
      await prune(model, { criterion, granularity: 'filter', scope: 'global', sparsity });
      const found = maskedWeights(model).map(({ mask }) => filterMask(mask));
      expect(found).toEqual([expected, expected]);
    },
  );

  describe('ranks filters of two layers by the mean of (w * g)^2 (v1/test_compressor_torch.py)', () => {
    // Filters of 25 and of 125 weights, with the values 0..4 and 10..1, and gradients of +-1.
    const criterion = criteria.taylorWeight();
    const layer = (name: string, filters: number[], inputs: number): ScoredWeight => {
      const shape = [5, 5, inputs, filters.length];
      const values = arange(25 * inputs).flatMap(() => filters);
      const gradient = values.map((_, i) => (i % 2 === 0 ? 1 : -1));
      const evidence = weightEvidence(values, { shape, axes: CONV, gradient });
      const target = {
        name,
        weight: { variable: { shape }, axes: CONV },
      } as unknown as MaskedWeight;
      const scores = criterion.score(evidence);
      return { target, scores, kept: evidence.kept, reduction: criterion.reduction! };
    };
    const layers = [
      layer('conv1/kernel', arange(5), 1),
      layer(
        'conv2/kernel',
        arange(10).map((i) => 10 - i),
        5,
      ),
    ];
    const filters = (sparsity: number) =>
      masksOf('test', layers, 'filter', { scope: 'global', sparsity }).map((mask, i) =>
        Array.from(mask.subarray(0, i === 0 ? 5 : 10)),
      );

    it('the same mask, at the sparsity that it really has', () => {
      // 0.4 is asked for there, 550 of 1375 weights; with the ties at the cut kept, 475 go: 0.345.
      expect(filters(475 / 1375)).toEqual([
        [0, 0, 0, 0, 1],
        [1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
      ]);
    });

    it('at 0.4 the count is exact here, so that of the ties at the cut the last filter of a layer would go', () => {
      // The score 16 is that of one filter of conv1, which still fits (500), and of one of conv2 (625).
      expect(() => filters(0.4)).toThrow('nothing would be left of conv1/kernel');
    });
  });

  it('adds up distances to all other rows (v2/test_pruning_tools_torch.py)', () => {
    const metric = (rows: number[][]) =>
      criteria.geometricMedian().score(
        channelEvidence(2, {
          kernels: [
            kernel('out', rows.flat(), [2, 2], {
              axis: 0,
              axes: { out: 0, in: 1, space: [], gates: 1 },
            }),
          ],
        }),
      );
    expect(
      metric([
        [1, 2],
        [4, 6],
      ]),
    ).toBeAllClose([5, 5], 1e-6);
    expect(
      metric([
        [0, 0],
        [1, 1],
      ]),
    ).toBeAllClose([Math.SQRT2, Math.SQRT2], 1e-6);
  });

  it.each([
    [
      [
        [0, 1],
        [1, 0],
      ],
      [0.25, 0.25],
    ],
    [
      [
        [0, 0, 1],
        [0, 0, 0],
      ],
      [0, 0, 0.25],
    ],
  ])('takes the mean activation %# (v2/test_pruning_tools_torch.py)', (buffer, expected) => {
    // The buffer holds sums over two batches of [positions, channels]; here: all in the first, none in
    // the second.
    const first = buffer[0]!.map((_, c) => (buffer[0]![c]! + buffer[1]![c]!) / 2);
    const rows = [first, first.map(() => 0)];
    const evidence = channelEvidence(first.length, { activations: activations(rows) });
    expect(criteria.meanActivation().score(evidence)).toBeAllClose(expected, 1e-6);
  });
});

// IntelLabs/distiller: tests
describe('distiller', () => {
  /** The share of entries in units whose largest magnitude is exactly 0. */
  async function zeroShare(values: number[][], granularity: Granularity): Promise<number> {
    const criterion = criteria.threshold({ value: Number.MIN_VALUE, norm: 'max' });
    const model = dense(values);
    const targets = model.layers[0]!.name;
    const { kept, total } = await prune(model, { criterion, granularity, targets });
    return 1 - kept / total;
  }

  it('measures sparsity (test_basic.py)', async () => {
    const a = [
      [1, 2, 0, 4, 0],
      [1, 2, 0, 4, 0],
    ];
    const b = [
      [0, 0, 0],
      [1, 4, 0],
      [1, 2, 0],
      [0, 0, 0],
    ];
    expect(1 - (await zeroShare(a, 'element'))).toBeCloseTo(0.6, 6);
    expect(1 - (await zeroShare(a, 'neuron'))).toBeCloseTo(0.6, 6);
    expect(await zeroShare(a, 'channel')).toBe(0);
    expect(1 - (await zeroShare(b, 'element'))).toBeCloseTo(1 / 3, 6);
    expect(await zeroShare(b, 'channel')).toBeCloseTo(0.5, 6);
    expect(await zeroShare(b, 'neuron')).toBeCloseTo(1 / 3, 6);
  });

  // [2 filters, 3 channels, 3, 3], test_thresholding.py
  const weights = [
    [-1.2982, 0.7574, 0.7962, -0.6695, 1.5907, 0.2659, 0.1423, 0.3165, -0.7629],
    [-0.548, -1.2718, 0.8286, -0.6427, 0.3814, -0.7988, 1.0346, 1.3023, -0.9674],
    [-0.7951, 1.8784, -0.5654, 0.0456, -0.2849, -0.3332, -0.2367, 0.7467, 0.9212],
    [1.3672, 0.2993, -0.0619, 1.8156, 0.7599, 0.1815, 0.4136, 1.8316, 1.7214],
    [0.5125, -1.5329, 0.9257, 0.92, 0.4376, 0.5743, -0.0097, 0.9473, -0.0899],
    [0.2372, 2.4369, -0.341, -1.0595, 0.8056, -0.0357, -1.0105, -0.1451, -0.4194],
  ].flat();
  const KERNELS = [6.5997, 7.7756, 5.8073, 8.4522, 5.9498, 6.4908];

  it.each<[Granularity, 'mean' | 'l1' | 'l2', number[], number, number[]]>([
    ['kernel', 'l1', KERNELS, 6, [1, 1, 0, 1, 0, 1]],
    ['filter', 'l2', [4.5039, 5.2156], 4.7, [0, 1]],
    ['channel', 'l2', [4.3593, 3.6394, 3.9037], 3.7, [1, 0, 1]],
    ['channel', 'mean', [0.8362, 0.7625, 0.6832], 0.7, [1, 1, 0]],
  ])(
    'norms and keeps units: %s, %s (test_thresholding.py)',
    async (granularity, norm, norms, value, keep) => {
      const shape = [3, 3, 3, 2];
      const values = fromTorch(weights, [2, 3, 3, 3]);
      const layer = tfl.layers.conv2d({
        filters: 2,
        kernelSize: 3,
        useBias: false,
        weights: [values],
        inputShape: [3, 3, 3],
      });
      const model = tfl.sequential({ layers: [layer] });
      const criterion = criteria.threshold({ value, norm });
      await prune(model, { criterion, granularity, targets: layer.name });

      const units = unitsOf(granularity, shape, CONV, 'kernel');
      const evidence = weightEvidence(Array.from(values.dataSync()), { shape, axes: CONV });
      const scores = criterion.score(evidence);
      const found = unitScores(
        { scores, kept: evidence.kept, reduction: criterion.reduction! },
        units,
      );
      // Ours are numbered [in, out]; theirs [out, in].
      const theirs = (unit: number) =>
        granularity === 'kernel' ? (unit % 2) * 3 + (unit >> 1) : unit;
      for (const [unit, score] of found.entries()) {
        expect(Math.abs(score - norms[theirs(unit)]!)).toBeLessThan(1e-3);
      }
      const mask = maskedWeights(model)[0]!.mask.dataSync();
      mask.forEach((kept, i) => {
        expect(kept).toBe(keep[theirs(units.of![i]!)]);
      });
    },
  );
});

// openvinotoolkit/nncf v2.9.0: tests/torch
describe('NNCF', () => {
  it('ranks filters by L1, L2 and geometric median (pruning/filter_pruning/test_functions.py)', () => {
    const shape = [4, 5, 3, 2];
    const values = Array.from(fromTorch(arange(120), [2, 3, 4, 5]).dataSync());
    const units = unitsOf('filter', shape, CONV, 'kernel');
    const norms = (norm: 'l1' | 'l2') => {
      const { score, reduction = 'mean' } = criteria.magnitude({ norm });
      const evidence = weightEvidence(values, { shape, axes: CONV });
      return unitScores({ scores: score(evidence), kept: evidence.kept, reduction }, units);
    };
    expect(norms('l1')).toBeAllClose([1770, 5370], 1e-6);
    expect(norms('l2')).toBeAllClose([264.9716966, 706.12321871], 1e-6);

    const three = Array.from(fromTorch(arange(120), [3, 2, 4, 5]).dataSync());
    const kernels = [kernel('out', three, [4, 5, 2, 3])];
    expect(criteria.geometricMedian().score(channelEvidence(3, { kernels }))).toBeAllClose(
      [758.94663844, 505.96442563, 758.94663844],
      1e-6,
    );
  });

  it.each<[number, WeightCriterion, number]>([
    [0.1, criteria.normalized(criteria.magnitude()), 0.219],
    [0.1, criteria.magnitude(), 9],
    [0.5, criteria.normalized(criteria.magnitude()), 0.243],
    [0.5, criteria.magnitude(), 10],
  ])(
    'has the global threshold at sparsity %s (sparsity/magnitude/test_algo.py)',
    (sparsity, criterion, threshold) => {
      // conv1 [2, 1, 2, 2] = 9 + identity, conv2 [1, 2, 3, 3] = -10 + identity.
      const filled = (value: number, size: number, of: [number, number]) => {
        const window = arange(size * size).map((i) => value + (i % (size + 1) === 0 ? 1 : 0));
        const [o, i] = of;
        const values = fromTorch(
          arange(o * i).flatMap(() => window),
          [o, i, size, size],
        );
        const shape = values.shape;
        const evidence = weightEvidence(Array.from(values.dataSync()), { shape, axes: CONV });
        const target = { name: 'conv', weight: { variable: { shape }, axes: CONV } };
        return {
          target: target as unknown as MaskedWeight,
          scores: criterion.score(evidence),
          kept: evidence.kept,
          reduction: criterion.reduction!,
        };
      };
      const layers = [filled(9, 2, [2, 1]), filled(-10, 3, [1, 2])];
      const found = masksOf('test', layers, 'element', { scope: 'global', sparsity });
      const gone = layers.flatMap(({ scores }, i) =>
        Array.from(scores).filter((_, k) => !found[i]![k]),
      );
      expect(Math.max(...gone) / threshold).toBeCloseTo(1, 2);
    },
  );
});
