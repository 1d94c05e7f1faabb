// Pruning, shared weights and quantisation on one kernel.
import { classifier, savedAndLoaded, snapshot, threeClasses, useCpu } from '@thimble/testing';
import {
  clusterWeights,
  encodedBits,
  fakeQuant,
  finalize,
  fit,
  hashed,
  incrementalQuantization,
  maskedWeights,
  type ParametrizedWeight,
  parametrize,
  parametrizedWeights,
  prune,
} from 'thimble';
import { describe, expect, it } from 'vitest';

useCpu();

const CLUSTERS = 4;
const loss = 'categoricalCrossentropyFromLogits';
const data = () => threeClasses(6, 5);
const quantise = (weights: ParametrizedWeight[]) => {
  for (const { layer } of weights) {
    parametrize(layer, { kernel: [fakeQuant({ bits: 8, symmetric: true, narrowRange: true })] });
  }
};

describe.each([
  ['clustered, then quantised', true],
  ['quantised, then clustered', false],
])('a pruned kernel that is %s', (_name, clusterFirst) => {
  it('keeps its zeros and the size of its codebook in training', async () => {
    const model = classifier();
    await prune(model, { granularity: 'element', sparsity: 0.5 });
    const masks = maskedWeights(model).map(({ mask }) => Array.from(mask.dataSync()));
    if (clusterFirst) clusterWeights(model, { clusters: CLUSTERS });
    quantise(parametrizedWeights(model));
    if (!clusterFirst) clusterWeights(model, { clusters: CLUSTERS });
    await fit(model, data(), { epochs: 5, batchSize: 8, loss, progress: false });
    const plain = await finalize(model);
    const kernels = plain.layers.flatMap((layer) => layer.getWeights().slice(0, 1));
    parametrizedWeights(model).forEach((weight, i) => {
      const values = Array.from(weight.bake().dataSync());
      masks[i]!.forEach((keep, j) => {
        if (!keep) expect(values[j]).toBe(0);
      });
      const kept = values.filter((_, j) => masks[i]![j]);
      expect(new Set(kept).size).toBeLessThanOrEqual(CLUSTERS);
      const step = Math.max(...values.map(Math.abs)) / 127;
      for (const value of kept)
        expect(Math.abs(value / step - Math.round(value / step))).toBeLessThan(1e-3);
      // Eight bits and one scale take less than four floats where a kernel is as small as here.
      const { mask, shape } = weight.encoding();
      expect(Array.from(mask!)).toEqual(masks[i]);
      expect(encodedBits(weight.encoding())).toBeLessThanOrEqual(
        Math.min(shape[0]! * shape[1]! * 2, kept.length * 2 + values.length) + CLUSTERS * 32,
      );
      expect(kernels[i]).toBeAllClose(values, 0);
    });
    expect(snapshot(await savedAndLoaded(model))).toEqual(snapshot(model));
  });
});

it('a kernel is pruned first, and then a few real weights by hashing: zeros stay zeros', async () => {
  const model = classifier();
  await prune(model, { granularity: 'element', sparsity: 0.5 });
  for (const { layer } of parametrizedWeights(model)) {
    parametrize(layer, { kernel: [hashed({ ratio: 0.25 })] });
  }
  await fit(model, data(), { epochs: 2, loss, progress: false });
  for (const weight of parametrizedWeights(model)) {
    const { mask, nonzero } = weight.encoding();
    expect(nonzero).toBe(mask!.reduce((sum, keep) => sum + keep, 0));
  }
});

it('a pruned kernel becomes powers of two, and its zeros stay zeros', async () => {
  const model = classifier();
  await prune(model, { granularity: 'element', sparsity: 0.5 });
  const callbacks = [incrementalQuantization({ bits: 5 })];
  await fit(model, data(), { epochs: 4, loss, callbacks, progress: false });
  for (const weight of parametrizedWeights(model)) {
    const { mask, values } = weight.encoding();
    expect(values.type).toBe('powersOfTwo');
    weight
      .bake()
      .dataSync()
      .forEach((value, i) => {
        if (!mask![i]) expect(value).toBe(0);
      });
  }
});
