import '@tensorflow/tfjs-layers';
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { OptionError } from '@thimble/base';
import { beforeAll, describe, expect, it } from 'vitest';
import { lossSpec } from '../src/losses.ts';
import { metricSpec } from '../src/metrics.ts';
import { useCpu } from './training-models.ts';

beforeAll(useCpu);

type Rows = number[] | number[][];

function hits(metric: string, loss: string, yTrue: Rows, yPred: number[][]): number[] {
  const { call } = metricSpec('test', metric, lossSpec('test', loss));
  return tf.tidy(() => Array.from(call(tf.tensor(yTrue), tf.tensor(yPred)).dataSync()));
}

describe('accuracy', () => {
  it('compares the largest entries for one-hot labels', () => {
    const predictions = [
      [0.2, 0.8],
      [0.9, 0.1],
      [0.4, 0.6],
    ];
    expect(
      hits(
        'accuracy',
        'categoricalCrossentropy',
        [
          [0, 1],
          [0, 1],
          [0, 1],
        ],
        predictions,
      ),
    ).toEqual([1, 0, 1]);
  });

  it('compares with class numbers, with or without an axis of one', () => {
    const predictions = [
      [0.2, 0.8],
      [0.9, 0.1],
    ];
    expect(hits('acc', 'sparseCategoricalCrossentropy', [1, 1], predictions)).toEqual([1, 0]);
    expect(hits('acc', 'sparseCategoricalCrossentropy', [[1], [1]], predictions)).toEqual([1, 0]);
  });

  it('cuts one output at a half, logits and margins at zero', () => {
    const labels = [[1], [1], [0]];
    expect(hits('accuracy', 'binaryCrossentropy', labels, [[0.6], [0.4], [0.4]])).toEqual([
      1, 0, 1,
    ]);
    expect(hits('accuracy', 'binaryCrossentropyFromLogits', labels, [[0.4], [-0.4], [-3]])).toEqual(
      [1, 0, 1],
    );
    expect(
      hits(
        'accuracy',
        'squaredHinge',
        [
          [1, -1, -1],
          [0, 1, 0],
        ],
        [
          [0.5, 0.4, -2],
          [3, 1, 2],
        ],
      ),
    ).toEqual([1, 0]);
    expect(hits('accuracy', 'hinge', [[1], [1], [-1]], [[0.1], [-0.1], [-9]])).toEqual([1, 0, 1]);
  });

  it('averages over the labels of a multi-label output', () => {
    const [first] = hits('accuracy', 'binaryCrossentropy', [[1, 0, 1, 1]], [[0.9, 0.9, 0.9, 0.2]]);
    expect(first).toBe(0.5);
  });

  it('works on softmax logits', () => {
    expect(
      hits(
        'accuracy',
        'categoricalCrossentropyFromLogits',
        [
          [0, 1],
          [0, 1],
        ],
        [
          [-5, -4],
          [9, 1],
        ],
      ),
    ).toEqual([1, 0]);
  });
});

it('errors are where accuracy is not', () => {
  expect(
    hits(
      'errors',
      'sparseCategoricalCrossentropy',
      [1, 1],
      [
        [0.2, 0.8],
        [0.9, 0.1],
      ],
    ),
  ).toEqual([0, 1]);
});

it('a loss is a metric, an unknown name is an error', () => {
  expect(hits('mae', 'meanSquaredError', [[1, 2]], [[2, 5]])).toEqual([2]);
  expect(() => metricSpec('fit', 'acuracy', undefined)).toThrow(OptionError);
  expect(() => metricSpec('fit', 'acuracy', undefined)).toThrow(/"acuracy".*accuracy, errors/);
});
