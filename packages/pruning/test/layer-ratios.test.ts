import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { DataError, OptionError, withSeed } from '@thimble/base';
import { parametrizedWeights, summarize } from '@thimble/core';
import {
  prune,
  ratiosForBudget,
  ratiosForScore,
  type Sensitivity,
  sensitivity,
} from '@thimble/pruning';
import { useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';

useCpu();

const row = (layer: string, ratio: number, score: number, params: number) => ({
  layer,
  ratio,
  score,
  cost: { params, macs: 100 * params, bytes: 4 * params },
});

/** Two layers of 100 and 60 entries, and 7 more entries; the whole model scores 0.9. */
const scan: Sensitivity = {
  score: 0.9,
  rows: [
    row('a', 0, 0.9, 100),
    row('a', 0.5, 0.875, 50),
    row('a', 0.9, 0.5, 10),
    row('b', 0, 0.9, 60),
    row('b', 0.5, 0.65, 30),
    row('b', 0.9, 0.775, 6),
  ],
  skipped: [],
  rest: { params: 7, macs: 0, bytes: 28 },
};

describe('ratiosForBudget', () => {
  // All that fits, by hand, with what the layers lose together:
  // 167: a 0, b 0 (0). 117: a 0.5, b 0 (0.025). 113: a 0, b 0.9 (0.125). 87: a 0.5, b 0.5 (0.275).
  // 77: a 0.9, b 0 (0.4). 63: a 0.5, b 0.9 (0.15). 23: a 0.9, b 0.9 (0.525).
  it.each([
    [167, 0, 0, 0],
    [166, 0.5, 0, -0.025],
    [117, 0.5, 0, -0.025],
    [116, 0, 0.9, -0.125],
    [112, 0.5, 0.9, -0.15],
    [63, 0.5, 0.9, -0.15],
    [62, 0.9, 0.9, -0.525],
    [23, 0.9, 0.9, -0.525],
  ])('keeps within %s entries and loses the least', (params, a, b, value) => {
    for (const [unit, budget] of [
      ['params', params],
      ['bytes', 4 * params],
      ['macs', 100 * (params - 7)],
    ] as const) {
      const result = ratiosForBudget(scan, { [unit]: budget });
      expect(result.ratios).toEqual({ a, b });
      expect(result.value).toBeCloseTo(value, 12);
      expect(result.bound).toBeGreaterThanOrEqual(result.value);
      expect(result.optimal).toBe(true);
      expect(result.cost[unit]).toBeLessThanOrEqual(budget);
    }
  });

  it('tells all costs of what it chose', () => {
    expect(ratiosForBudget(scan, { params: 70 }).cost).toEqual({
      params: 50 + 6 + 7,
      macs: 5600,
      bytes: 4 * 63,
    });
  });

  it('keeps the largest area where that is asked for', () => {
    // Kept fractions in all: a 0, b 0.9: 1.1; a 0.5, b 0.5: 1; a 0.9, b 0: 1.1; a 0.5, b 0: 1.5.
    const area = ({ ratio }: { ratio: number }) => 1 - ratio;
    expect(ratiosForBudget(scan, { params: 117, value: area }).ratios).toEqual({ a: 0.5, b: 0 });
    const { ratios, value } = ratiosForBudget(scan, { params: 87, value: area });
    expect(ratios).toEqual({ a: 0.9, b: 0 });
    expect(value).toBeCloseTo(1.1, 12);
  });

  it('passes method and limit on', () => {
    const linear = ratiosForBudget(scan, { params: 116, method: 'linear' });
    expect(linear.cost.params).toBeLessThanOrEqual(116);
    expect(linear.bound).toBeCloseTo(ratiosForBudget(scan, { params: 116 }).bound, 12);
    for (const options of [{ limit: -1 }, { method: 'greedy' as 'linear' }]) {
      expect(() => ratiosForBudget(scan, { params: 116, ...options })).toThrow(OptionError);
    }
  });

  it('refuses budgets that are out of reach, and says what can be reached', () => {
    expect(() => ratiosForBudget(scan, { params: 22 })).toThrow(OptionError);
    expect(() => ratiosForBudget(scan, { params: 22 })).toThrow(
      'a budget of 22 params is out of reach: at the largest ratios of the scan the model takes 23.',
    );
    for (const options of [{}, { params: 90, bytes: 360 }, { bytes: -1 }, { param: 90 }]) {
      expect(() => ratiosForBudget(scan, options as never)).toThrow(OptionError);
    }
  });

  it('refuses a budget of multiply-accumulates that are not known', () => {
    const rows = scan.rows.map((each) => ({
      ...each,
      cost: { ...each.cost, macs: each.layer === 'b' ? Number.NaN : each.cost.macs },
    }));
    expect(() => ratiosForBudget({ ...scan, rows }, { macs: 1e4 })).toThrow(DataError);
    expect(() => ratiosForBudget({ ...scan, rows }, { macs: 1e4 })).toThrow('of layer "b"');
    expect(ratiosForBudget({ ...scan, rows }, { params: 167 }).ratios).toEqual({ a: 0, b: 0 });
  });

  it.each([
    ['bytes', 800],
    ['params', 250],
    ['macs', 700],
  ] as const)('prunes a model to its budget of %s', async (unit, budget) => {
    const model = withSeed(5, () =>
      tfl.sequential({
        layers: [
          tfl.layers.conv2d({ filters: 4, kernelSize: 3, inputShape: [6, 6, 2] }),
          tfl.layers.flatten(),
          tfl.layers.dense({ units: 6, activation: 'relu' }),
          tfl.layers.dense({ units: 3 }),
        ],
      }),
    );
    const total = (weight: tf.Tensor) => tf.sum(tf.abs(weight)).dataSync()[0]!;
    const found = await sensitivity(model, {
      granularity: 'element',
      progress: false,
      score: (pruned) =>
        tf.tidy(() =>
          parametrizedWeights(pruned).reduce((sum, weight) => sum + total(weight.bake()), 0),
        ),
    });
    const { ratios, cost } = ratiosForBudget(found, { [unit]: budget });
    await prune(model, { granularity: 'element', perLayer: ratios });
    const summary = summarize(model).total;
    expect(cost.bytes).toBeCloseTo(summary.bits / 8, 6);
    // Biases are 0 and count as entries.
    expect(cost.params).toBe(summary.nonzero + 4 + 6 + 3);
    expect(cost[unit]).toBeLessThanOrEqual(budget);
    expect(cost[unit]).toBeGreaterThan(0.8 * budget);
  });
});

describe('ratiosForScore', () => {
  it.each([
    [0.9, 0, 0],
    [0.875, 0.5, 0],
    [0.775, 0.5, 0.9],
    [0.6, 0.5, 0.9],
    [0.5, 0.9, 0.9],
  ])('takes for a score of %s the largest ratios that reach it alone', (score, a, b) => {
    expect(ratiosForScore(scan, score)).toEqual({ a, b });
  });

  it('refuses a score that the whole model does not reach', () => {
    expect(() => ratiosForScore(scan, 0.91)).toThrow(OptionError);
    expect(() => ratiosForScore(scan, Number.NaN)).toThrow(OptionError);
  });
});
