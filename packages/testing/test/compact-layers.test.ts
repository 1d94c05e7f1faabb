// Compact layers with masks and fake quantisation on their kernels, and under the techniques that take models.
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {
  decompose,
  depthwiseSeparableConv2d,
  fire,
  groupConv2d,
  invertedResidual,
  lowRankConv2d,
  lowRankDense,
  perforatedConv2d,
  versatileConv2d,
} from '@thimble/architecture';
import {
  finalize,
  kernelLayers,
  kernelNames,
  parametrize,
  parametrizedWeights,
  summarize,
  walkLayers,
} from '@thimble/core';
import { criteria, mask, prunable, prune, removeChannels } from '@thimble/pruning';
import { fakeQuant, fuseBatchNorm, quantize, quantizeAware } from '@thimble/quantization';
import {
  compile,
  expectSameOutputs,
  outputs,
  savedAndLoaded,
  smallModel,
  train,
  useCpu,
} from '@thimble/testing';
import { describe, expect, it } from 'vitest';

useCpu();

const image = [5, 5, 4];
const conv = { filters: 4, kernelSize: 3, padding: 'same' } as const;
const cases: [string, () => tfl.layers.Layer, number[]][] = [
  ['depthwiseSeparableConv2d', () => depthwiseSeparableConv2d(conv), image],
  ['invertedResidual', () => invertedResidual({ filters: 4, expansion: 2 }), image],
  ['fire', () => fire({ squeeze: 2, expand1x1: 3, expand3x3: 3 }), image],
  ['groupConv2d', () => groupConv2d({ ...conv, groups: 2, shuffle: true }), image],
  ['lowRankDense', () => lowRankDense({ units: 6, rank: 3 }), [8]],
  ['lowRankConv2d', () => lowRankConv2d({ ...conv, rank: 2, scheme: 'cp' }), image],
  ['versatileConv2d', () => versatileConv2d(conv), image],
  ['perforatedConv2d', () => perforatedConv2d(conv), image],
];

describe.each(cases)('%s', (name, make, inputShape) => {
  const x = () => tf.randomUniform([4, ...inputShape], -1, 1, 'float32', 3);
  const close = (a: tfl.LayersModel, b: tfl.LayersModel) => {
    const [before, after] = [outputs(a, x()), outputs(b, x())];
    for (const [i, y] of before.entries()) expect(after[i]).toBeCloseTo(y, 4);
  };

  it('trains, saves and finalizes with half of its weights masked and the rest in 4 bits', async () => {
    // Built first: masks are of the weights that there are.
    const model = smallModel(make, inputShape);
    const block = model.layers[1]!;
    const kernels = new Set(
      kernelLayers('test', model)
        .filter((layer) => layer.name !== 'head')
        .flatMap((layer) => kernelNames(layer)),
    );
    for (const kernel of kernels) {
      parametrize(block, { [kernel]: [mask({ sparsity: 0.5 }), fakeQuant({ bits: 4 })] });
    }
    const seen = parametrizedWeights(model);
    expect(seen.length).toBeGreaterThan(0);
    for (const { variable } of seen) {
      expect(variable.shape.length, 'a kernel').toBeGreaterThan(1);
    }
    await train(model, x());
    for (const each of seen) {
      const { nonzero, values } = each.encoding();
      expect(nonzero).toBeLessThanOrEqual(each.variable.size - Math.round(each.variable.size / 2));
      expect(values).toMatchObject({ type: 'affine', bits: 4 });
    }
    expectSameOutputs(model, await savedAndLoaded(model), x());
    const plain = await finalize(model);
    expect(parametrizedWeights(plain)).toEqual([]);
    close(model, plain);
  });

  it('takes masks before it is built, and through models', async () => {
    const parametrizable = ['versatileConv2d', 'perforatedConv2d'].includes(name)
      ? () => parametrize(make(), { kernel: [mask()] })
      : () => prunable(make());
    const early = parametrizedWeights(smallModel(parametrizable, inputShape)).length;
    const model = smallModel(make, inputShape);
    await prune(model, { sparsity: 0.5, granularity: 'element' });
    expect(parametrizedWeights(model).length - 1).toBe(early); // the head has one too
    for (const each of parametrizedWeights(model)) {
      const { size } = each.variable;
      expect(each.encoding().nonzero).toBe(size - Math.round(size / 2));
    }
  });

  it('trains quantisation-aware, and is quantised after training', async () => {
    const stock = smallModel(make, inputShape);
    const normed = walkLayers(stock).some((layer) => /_norm$/.test(layer.name));
    const model = quantizeAware(normed ? await fuseBatchNorm(stock) : stock, {
      weights: { bits: 8 },
      activations: { bits: 8 },
    });
    compile(model);
    await train(model, x());
    expectSameOutputs(model, await savedAndLoaded(model), x());
    const given = smallModel(make, inputShape);
    const quantized = await quantize(given, { bits: 8, progress: false });
    const [a, b] = [outputs(given, x()), outputs(quantized, x())];
    for (const [i, y] of a.entries()) expect(Math.abs(b[i]! - y)).toBeLessThan(0.1);
  });
});

it('lets decomposed models be pruned by channels, and blocks be decomposed', async () => {
  const make = () => depthwiseSeparableConv2d({ ...conv, filters: 8 });
  const model = smallModel(make, image);
  const smaller = await removeChannels(model, {
    criterion: criteria.magnitude({ norm: 'l1' }),
    ratio: 0.5,
  });
  expect(summarize(smaller).total.macs).toBeLessThan(summarize(model).total.macs);
  const pointwise = kernelLayers('test', model).find(({ name }) => name.endsWith('pointwise'))!;
  const factored = await decompose(model, { layer: pointwise.name, rank: 2, progress: false });
  expect(summarize(model).total.params - summarize(factored).total.params).toBe(
    4 * 8 - 2 * (4 + 8),
  );
});
