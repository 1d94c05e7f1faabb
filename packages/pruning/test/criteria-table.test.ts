// Every criterion with every granularity on every kind of layer, through `prune`.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { OptionError, UnsupportedError, withSeed } from '@thimble/base';
import { fit } from '@thimble/core';
import {
  type ChannelCriterion,
  criteria,
  type Granularity,
  gradualPruning,
  maskedWeights,
  prune,
  type WeightCriterion,
} from '@thimble/pruning';
import { inputsFor, layerCases, outputs, snapshot, useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';
import { patternOf, unitsOf } from '../src/granularity.ts';

useCpu();

const KINDS = ['dense', 'conv2d', 'depthwiseConv2d', 'separableConv2d', 'lstm', 'embedding'];
const cases = layerCases.filter(({ name }) => KINDS.includes(name));
const EXAMPLES = 12;

/** The layer, batch normalisation, ReLU and a classifier; images go through a 1x1 convolution first. */
function network({ make, inputShape }: (typeof cases)[number]): tfl.LayersModel {
  return withSeed(4, () => {
    const input = tfl.input({ shape: inputShape });
    const image = inputShape.length === 3;
    let before = input;
    if (image) {
      const first = tfl.layers.conv2d({ filters: 2, kernelSize: 1, name: 'first' });
      const scaled = tfl.layers.batchNormalization({ name: 'firstScale' });
      before = scaled.apply(first.apply(input)) as tfl.SymbolicTensor;
    }
    const layer = make();
    layer.name = 'target';
    let output = layer.apply(before) as tfl.SymbolicTensor;
    const gamma = Float32Array.from({ length: output.shape.at(-1)! }, (_, i) => 0.5 + i);
    const scaled = tfl.layers.batchNormalization({ name: 'scale' });
    output = scaled.apply(output) as tfl.SymbolicTensor;
    const [, ...rest] = scaled.getWeights();
    scaled.setWeights([tf.tensor1d(gamma), ...rest]);
    output = tfl.layers.reLU().apply(output) as tfl.SymbolicTensor;
    if (output.shape.length > 2) output = tfl.layers.flatten().apply(output) as tfl.SymbolicTensor;
    const head = tfl.layers.dense({ units: 2, activation: 'softmax', name: 'head' });
    const model = tfl.model({ inputs: input, outputs: head.apply(output) as tfl.SymbolicTensor });
    model.compile({ optimizer: tf.train.sgd(0.1), loss: 'categoricalCrossentropy' });
    return model;
  });
}

function dataFor(given: (typeof cases)[number]) {
  const labels = Array.from({ length: EXAMPLES }, (_, i) => (i % 3 === 0 ? [1, 0] : [0, 1]));
  return { xs: inputsFor(given, EXAMPLES), ys: tf.tensor2d(labels) };
}

/** Values before training, made up, for all kernels of the layer under test. */
function initialOf(model: tfl.LayersModel, names: readonly string[]): Map<string, Float32Array> {
  const layer = model.getLayer('target') as unknown as Record<string, unknown>;
  const owner = (layer.cell ?? layer) as Record<string, { read(): tf.Tensor }>;
  return new Map(
    names.map((name) => [
      `target/${name}`,
      (owner[name]!.read().dataSync() as Float32Array).map((value, i) => value * Math.sin(i)),
    ]),
  );
}

/** How many units each mask of a layer has lost; fails where a unit is half gone. */
function unitsGone(model: tfl.LayersModel, layer: string, granularity: Granularity) {
  return maskedWeights(model, layer).map(({ weight, mask, name }) => {
    const { count, of } = unitsOf(granularity, weight.variable.shape, weight.axes, name);
    const values = Array.from(mask.dataSync());
    const seen = new Map<number, number>();
    for (let i = 0; i < values.length; i++) {
      const unit = of ? of[i]! : i;
      const known = seen.get(unit) ?? values[i]!;
      if (!patternOf(granularity)) expect(values[i], `unit ${unit} of ${name}`).toBe(known);
      seen.set(unit, values[i]!);
    }
    const gone = [...seen.values()].filter((keep) => keep === 0).length;
    return { name, count, gone, left: values.reduce((sum, keep) => sum + keep, 0) };
  });
}

const granularities: Granularity[] = [
  'element',
  'block',
  'kernel',
  'filter',
  'neuron',
  'channel',
  '1:2',
  { block: [2, 2] },
];

const ranking: WeightCriterion[] = [
  criteria.magnitude(),
  criteria.magnitude({ norm: 'l1' }),
  criteria.magnitude({ norm: 'l2' }),
  criteria.magnitude({ norm: 'max' }),
  criteria.lamp(),
  criteria.random(),
  criteria.taylorWeight(),
  criteria.snip(),
  criteria.magnitudeIncrease(),
  criteria.initialMagnitude(),
  criteria.travel(),
  criteria.sameSign(),
  criteria.normalized(criteria.snip()),
  criteria.costAware(criteria.magnitude(), { costs: { target: 3 } }),
];
/** The values of an embedding are within 0.05 at first, those of kernels are not. */
const limiting = (kind: string): WeightCriterion[] => [
  criteria.threshold({ value: kind === 'embedding' ? 0.015 : 0.1 }),
  criteria.percentile({ percent: 20 }),
  criteria.deviations({ q: 0.3 }),
];
const stepping: WeightCriterion[] = [criteria.movement(), criteria.gradientTimesWeight()];

const windowless = ['dense', 'lstm', 'embedding'];

describe.each(cases)('$name', (given) => {
  describe.each(granularities)('by %j', (granularity) => {
    const options = { granularity, targets: 'target' };
    if (granularity === 'kernel' && windowless.includes(given.name)) {
      it('has no spatial window', async () => {
        const model = network(given);
        const refused = prune(model, { ...options, sparsity: 0.5 });
        await expect(refused).rejects.toThrow(UnsupportedError);
        await expect(refused).rejects.toThrow(/target\/\w+ of shape \[.*\] has no spatial window/);
      });
      return;
    }

    it('every criterion that ranks lets the right number of units go', async () => {
      const data = dataFor(given);
      for (const criterion of ranking) {
        const model = network(given);
        const initial = initialOf(model, given.weights);
        const before = snapshot(model);
        await prune(model, { ...options, criterion, sparsity: 0.5, data, initial });
        const found = unitsGone(model, 'target', granularity);
        expect(found.map(({ name }) => name)).toEqual(
          given.weights.filter((name) => name !== 'bias').map((name) => `target/${name}`),
        );
        for (const { gone, count, name, left } of found) {
          const which = `${criterion.name} on ${name}`;
          if (!patternOf(granularity)) expect(gone, which).toBe(Math.round(count / 2));
          expect(left, which).toBeGreaterThan(0);
        }
        // The weights themselves are as they were.
        expect(snapshot(model)).toMatchObject(before);
        expect(outputs(model, data.xs).every(Number.isFinite)).toBe(true);
        model.dispose();
      }
    });

    it('every criterion with a threshold lets whole units go, or refuses a pattern', async () => {
      for (const criterion of limiting(given.name)) {
        const model = network(given);
        const result = prune(model, { ...options, criterion });
        if (patternOf(granularity)) {
          await expect(result).rejects.toThrow(OptionError);
        } else {
          const { kept, total } = await result;
          expect(kept, criterion.name).toBeGreaterThan(total / 4);
          if (granularity === 'element') expect(kept, criterion.name).toBeLessThan(total);
          unitsGone(model, 'target', granularity);
        }
        model.dispose();
      }
    });

    it('every criterion of training steps prunes in fit', async () => {
      for (const criterion of stepping) {
        const model = network(given);
        const callback = gradualPruning({
          ...options,
          criterion,
          schedule: () => 0.5,
          begin: 2,
          every: 1,
        });
        await fit(model, dataFor(given), {
          epochs: 1,
          batchSize: EXAMPLES / 2,
          callbacks: [callback],
          progress: false,
        });
        for (const { gone, count, name } of unitsGone(model, 'target', granularity)) {
          if (!patternOf(granularity)) expect(gone, name).toBe(Math.round(count / 2));
        }
        model.dispose();
      }
    });
  });

  const costs = { target: 1, first: 2 };
  const channels: ChannelCriterion[] = [
    criteria.geometricMedian(),
    criteria.batchNormScale(),
    criteria.apoz(),
    criteria.meanActivation(),
    criteria.taylor(),
    criteria.lda(),
    criteria.informationGain(),
    criteria.thinet(),
    criteria.lasso(),
    criteria.nisp(),
    criteria.normalized(criteria.nisp()),
    criteria.costAware(criteria.taylor(), { costs }),
  ];

  it.each<[Granularity, string]>([
    ['filter', 'target'],
    ['neuron', 'target'],
    ['channel', 'head'],
  ])(
    'every criterion of channels lets the right number go by %s of %s',
    async (granularity, targets) => {
      const data = dataFor(given);
      for (const criterion of channels) {
        const model = network(given);
        try {
          await prune(model, { criterion, granularity, targets, sparsity: 0.5, data });
        } catch (error) {
          throw new Error(`${criterion.name}: ${(error as Error).message}`, { cause: error });
        }
        for (const { gone, count, name } of unitsGone(model, targets, granularity)) {
          expect(gone, `${criterion.name} on ${name}`).toBe(Math.round(count / 2));
        }
        model.dispose();
      }
    },
  );
});
