import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { OptionError, withSeed } from '@thimble/base';
import { criteria, maskedWeights, prune, type WeightCriterion } from '@thimble/pruning';
import { useCpu } from '@thimble/testing';
import { expect, it } from 'vitest';

useCpu();

const build = () =>
  withSeed(2, () =>
    tfl.sequential({
      layers: [
        tfl.layers.dense({ units: 8, activation: 'relu', inputShape: [10] }),
        tfl.layers.dense({ units: 2, activation: 'softmax' }),
      ],
    }),
  );

const masksOf = (model: tfl.LayersModel) =>
  maskedWeights(model).map(({ mask }) => Array.from(mask.dataSync()));

it('prunes by halves of the logarithm, scoring anew what is left', async () => {
  const seen: number[] = [];
  const watching: WeightCriterion = {
    ...criteria.magnitude(),
    score: (evidence) => {
      if (evidence.weight === 'kernel' && evidence.shape[0] === 10) {
        seen.push(evidence.kept.reduce((sum, keep) => sum + keep, 0));
      }
      return criteria.magnitude().score(evidence);
    },
  };
  const model = build();
  const options = { criterion: watching, granularity: 'element', sparsity: 0.75 } as const;
  await prune(model, { ...options, rounds: 2 });
  // 80 weights: sqrt(0.25) = half of them are left when the second round scores, a quarter in the end.
  expect(seen).toEqual([80, 40]);
  expect(masksOf(model)[0]!.reduce((sum, keep) => sum + keep, 0)).toBe(20);
  // Magnitudes do not change by pruning, so rounds make no difference to them.
  const once = build();
  await prune(once, options);
  expect(masksOf(once)).toEqual(masksOf(model));
});

it('is iterative SNIP with the gradients of what is left', async () => {
  const data = {
    xs: tf.randomNormal([40, 10], 0, 1, 'float32', 1),
    ys: tf.oneHot(
      tf.tensor1d(
        Array.from({ length: 40 }, (_, i) => i % 2),
        'int32',
      ),
      2,
    ),
  };
  const options = {
    criterion: criteria.snip(),
    granularity: 'element',
    scope: 'global',
    sparsity: 0.9,
    data,
    loss: 'categoricalCrossentropy',
  } as const;
  const [once, iterated] = [build(), build()];
  await prune(once, options);
  const report = await prune(iterated, { ...options, rounds: 20 });
  expect(report.kept).toBe(10); // of 96
  expect(masksOf(iterated)).not.toEqual(masksOf(once));
});

it('puts the masks back when a later round fails, and refuses no rounds', async () => {
  let calls = 0;
  const failing: WeightCriterion = {
    ...criteria.magnitude(),
    score: (evidence) => {
      if (++calls > 2) throw new Error('no more');
      return criteria.magnitude().score(evidence);
    },
  };
  const model = build();
  const options = { criterion: failing, granularity: 'element', sparsity: 0.5 } as const;
  await expect(prune(model, { ...options, rounds: 2 })).rejects.toThrow('no more');
  expect(masksOf(model).flat()).not.toContain(0);
  await expect(prune(model, { ...options, rounds: 0 })).rejects.toThrow(OptionError);
});
