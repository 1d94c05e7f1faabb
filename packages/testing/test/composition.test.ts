// Techniques of different packages on the same weight, in both orders.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  finalize,
  fit,
  lower,
  parametrize,
  parametrizedWeights,
  summarize,
  type WeightTransform,
} from '@thimble/core';
import { distill } from '@thimble/distillation';
import { groupLasso, l0Gates, l1Penalty, mask, setMask, supermask } from '@thimble/pruning';
import {
  binaryConnect,
  binaryWeights,
  clusterWeights,
  codebook,
  doReFa,
  fakeQuant,
  fixedPoint,
  fixedQuant,
  float16,
  hashed,
  lsq,
  powersOfTwo,
  quantizationAwareTraining,
  quantizeAware,
  ternaryWeights,
  thresholdWeights,
  trainedTernary,
} from '@thimble/quantization';
import {
  describeTransformContract,
  expectSameOutputs,
  savedAndLoaded,
  smallModel,
  snapshot,
  train,
  useCpu,
} from '@thimble/testing';
import { describe, expect, it } from 'vitest';

useCpu();

const BITS = 4;

/** Affine fake quantisation in double precision: the values, and 1 where the gradient passes. */
function quantised(values: number[]): { values: number[]; passes: number[] } {
  const [min, max] = [Math.min(0, ...values), Math.max(0, ...values)];
  const top = 2 ** BITS - 1;
  const scale = (max - min) / top || 1;
  const zeroPoint = Math.min(top, Math.max(0, Math.floor(-min / scale + 0.5)));
  const slack = scale * 1e-4;
  const codes = values.map((value) =>
    Math.min(top, Math.max(0, Math.round(value / scale) + zeroPoint)),
  );
  return {
    values: codes.map((code) => (code - zeroPoint) * scale),
    passes: values.map((value) =>
      value >= -zeroPoint * scale - slack && value <= (top - zeroPoint) * scale + slack ? 1 : 0,
    ),
  };
}

/** 0 for the smaller half of the values, equal ones by index. */
function smallerHalf(values: number[]): number[] {
  // Sorting is stable, so equal values stay in the order of their indices.
  const sizes = values.map((value) => Math.fround(Math.abs(value)));
  const order = values.map((_, i) => i).sort((a, b) => sizes[a]! - sizes[b]!);
  const gone = new Set(order.slice(0, Math.round(values.length / 2)));
  return values.map((_, i) => (gone.has(i) ? 0 : 1));
}

const times = (...factors: number[][]) =>
  factors.reduce((product, factor) => product.map((value, i) => value * factor[i]!));

describeTransformContract('mask, then fakeQuant', {
  make: () => [mask({ sparsity: 0.5 }), fakeQuant({ bits: BITS })],
  gradient(stored, upstream) {
    const keep = smallerHalf(stored);
    return times(upstream, quantised(times(stored, keep)).passes, keep);
  },
});

describeTransformContract('fakeQuant, then mask', {
  make: () => [fakeQuant({ bits: BITS }), mask({ sparsity: 0.5 })],
  gradient(stored, upstream) {
    const { values, passes } = quantised(stored);
    return times(upstream, smallerHalf(values), passes);
  },
});

describe('mask and fakeQuant', () => {
  it.each([
    ['mask first', () => [mask({ sparsity: 0.75 }), fakeQuant({ bits: BITS })]],
    ['fakeQuant first', () => [fakeQuant({ bits: BITS }), mask({ sparsity: 0.75 })]],
  ])('keep both promises in training, %s', async (_name, chain) => {
    const model = smallModel(
      () => parametrize(tfl.layers.dense({ units: 16 }), { kernel: chain() }),
      [8],
    );
    await train(model, tf.randomNormal([8, 8], 0, 1, 'float32', 1));
    const baked = Array.from(parametrizedWeights(model)[0]!.bake().dataSync());
    expect(baked.filter((value) => value !== 0).length).toBeLessThanOrEqual(128 / 4);
    expect(new Set(baked.map((value) => value || 0)).size).toBeLessThanOrEqual(2 ** BITS);
  });

  it('are what summarize and lower see', () => {
    const layer = parametrize(
      tfl.layers.dense({ units: 8, inputShape: [16], biasInitializer: 'ones', name: 'dense' }),
      { kernel: [mask(), fakeQuant({ bits: BITS })] },
    );
    const model = tfl.sequential({ layers: [layer] });
    // 128 codes of 4 bits with a scale and a 4-bit zero point, 8 biases
    expect(summarize(model).total).toMatchObject({
      params: 136,
      bits: 128 * 4 + 32 + 4 + 8 * 32,
      macs: 128,
    });
    setMask(
      layer,
      Array.from({ length: 128 }, (_, i) => (i % 16 === 0 ? 1 : 0)),
    );
    const { total } = summarize(model);
    // a bitmap of 128 bits and 8 kept codes
    expect(total.bits).toBe(128 + 8 * 4 + 32 + 4 + 8 * 32);
    expect(total.bytes).toBe(Math.ceil(total.bits / 8));
    expect(total.nonzero).toBeLessThanOrEqual(8 + 8);
    const { encoding, data } = lower(model).weights['dense/kernel']!;
    expect(encoding.mask!.reduce((sum, keep) => sum + keep, 0)).toBe(8);
    expect(data!.filter((value) => value !== 0).length).toBe(encoding.nonzero);
  });
});

describe('a regulariser and another transform', () => {
  const regularisers: Record<string, () => WeightTransform> = {
    groupLasso: () => groupLasso({ strength: 0.05, over: 'filters' }),
    l0Gates: () => l0Gates({ strength: 0.01 }),
    l1Penalty: () => l1Penalty({ strength: 0.01 }),
    supermask: () => supermask(),
  };
  const others: Record<string, () => WeightTransform> = {
    mask: () => mask({ sparsity: 0.5 }),
    fakeQuant: () => fakeQuant({ bits: BITS }),
  };
  const pairs = Object.entries(regularisers).flatMap(([a, first]) =>
    Object.entries(others).flatMap(([b, second]) => [
      [`${a}, then ${b}`, () => [first(), second()]] as const,
      [`${b}, then ${a}`, () => [second(), first()]] as const,
    ]),
  );

  it.each(pairs)('%s: train together, and finalize to the same outputs', async (_name, chain) => {
    const model = smallModel(
      () => parametrize(tfl.layers.dense({ units: 6 }), { kernel: chain() }),
      [8],
    );
    const x = tf.randomNormal([8, 8], 0, 1, 'float32', 1);
    const before = snapshot(model);
    await fit(model, { xs: x, ys: tf.ones([8, 1]) }, { epochs: 3, seed: 1, progress: false });
    expect(snapshot(model)).not.toEqual(before);
    expectSameOutputs(model, await finalize(model), x);
    expectSameOutputs(model, await savedAndLoaded(model), x);
    const [weight] = parametrizedWeights(model);
    const baked = weight!.bake().dataSync();
    weight!.encoding().mask?.forEach((keep, i) => {
      if (!keep) expect(Math.abs(baked[i]!)).toBe(0);
    });
  });
});

describe('a mask and a quantisation', () => {
  const onGrid: Record<string, () => WeightTransform> = {
    'fakeQuant per channel': () => fakeQuant({ bits: 3, perChannel: true, symmetric: true }),
    'fakeQuant in groups': () => fakeQuant({ bits: 4, groupSize: 3 }),
    fixedQuant: () => fixedQuant({ bits: 4 }),
    lsq: () => lsq({ bits: 3, perChannel: true }) as WeightTransform,
    powersOfTwo: () => powersOfTwo({ bits: 4 }),
    fixedPoint: () => fixedPoint({ integerBits: 2, fractionBits: 6 }),
    float16: () => float16(),
    'binaryConnect, deterministic': () => binaryConnect(),
    'binaryConnect, stochastic': () => binaryConnect({ mode: 'stochastic' }),
    binaryWeights: () => binaryWeights(),
    ternaryWeights: () => ternaryWeights(),
    trainedTernary: () => trainedTernary(),
  };
  // These put no code on 0, or decide by themselves what is 0: masks come after them.
  const others: Record<string, () => WeightTransform> = {
    doReFa: () => doReFa({ bits: 3 }) as unknown as WeightTransform,
    thresholdWeights: () => thresholdWeights(),
    codebook: () => codebook({ bits: 3 }),
    hashed: () => hashed({ ratio: 0.5 }),
  };
  const half = () => mask({ sparsity: 0.5 });
  const chains = [
    ...Object.entries(onGrid).map(([name, make]) => [`mask, then ${name}`, [half, make]] as const),
    ...Object.entries({ ...onGrid, ...others }).map(
      ([name, make]) => [`${name}, then mask`, [make, half]] as const,
    ),
  ];

  it.each(chains)(
    '%s: what is pruned stays 0 in training, saved, loaded, final',
    async (_, links) => {
      const model = smallModel(
        () =>
          parametrize(tfl.layers.dense({ units: 6 }), {
            kernel: links.map((make) => make() as WeightTransform),
          }),
        [8],
      );
      const x = tf.randomNormal([8, 8], 0, 1, 'float32', 1);
      const before = snapshot(model);
      await fit(model, { xs: x, ys: tf.ones([8, 1]) }, { epochs: 3, seed: 1, progress: false });
      expect(snapshot(model)).not.toEqual(before);
      const [weight] = parametrizedWeights(model);
      const kept = weight!.encoding().mask!;
      expect(kept.filter((keep) => keep === 0)).toHaveLength(24);
      const baked = [...weight!.bake().dataSync()];
      kept.forEach((keep, i) => {
        if (!keep) expect(Math.abs(baked[i]!)).toBe(0);
      });
      expectSameOutputs(model, await finalize(model), x);
      expectSameOutputs(model, await savedAndLoaded(model), x);
    },
  );

  it('and a codebook on one kernel keep zeros, and as many values, in quantisation-aware training', async () => {
    const model = smallModel(
      () => parametrize(tfl.layers.dense({ units: 12, name: 'hidden' }), { kernel: [half()] }),
      [16],
    );
    await clusterWeights(model, { bits: 3, targets: ['hidden'] });
    quantizeAware(model, { weights: 8, activations: 8 });
    const x = tf.randomNormal([16, 16], 0, 1, 'float32', 1);
    const weightOf = (of: tfl.LayersModel) =>
      parametrizedWeights(of).find(({ layer }) => layer.name === 'hidden')!;
    const before = [...weightOf(model).bake().dataSync()];
    await fit(
      model,
      { xs: x, ys: tf.ones([16, 1]) },
      {
        epochs: 4,
        optimizer: 'sgd',
        learningRate: 0.05,
        loss: 'meanSquaredError',
        seed: 1,
        progress: false,
        callbacks: [quantizationAwareTraining({ observeSteps: 1, freezeRangesAfter: 3 })],
      },
    );
    const weight = weightOf(model);
    const baked = [...weight.bake().dataSync()];
    expect(baked).not.toEqual(before);
    const { values, mask: kept, nonzero } = weight.encoding();
    expect(kept!.filter((keep) => keep === 0)).toHaveLength(96);
    kept!.forEach((keep, i) => {
      if (!keep) expect(Math.abs(baked[i]!)).toBe(0);
    });
    expect(nonzero).toBeLessThanOrEqual(96);
    // Eight shared values and 0, each on the grid of 8 bits: still a codebook of three bits.
    expect(new Set(baked.filter((value) => value !== 0)).size).toBeLessThanOrEqual(8);
    expect(values).toMatchObject({ type: 'codebook', bits: 3 });
    expectSameOutputs(model, await savedAndLoaded(model), x);
  });
});

it('distillation trains a quantised student with masks, and keeps its codes and zeros', async () => {
  const network = (units: number) =>
    tfl.sequential({
      layers: [
        tfl.layers.dense({ units, activation: 'relu', inputShape: [6], name: 'hidden' }),
        tfl.layers.dense({ units: 3, activation: 'softmax' }),
      ],
    });
  const [teacher, student] = [network(12), network(4)];
  parametrize(student.getLayer('hidden'), { kernel: [mask({ sparsity: 0.5 })] });
  quantizeAware(student, { weights: 3, activations: 4 });
  const xs = tf.randomNormal([12, 6], 0, 1, 'float32', 3);
  const data = { xs, ys: tf.oneHot([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2], 3) };
  const untouched = snapshot(teacher);
  const before = snapshot(student);
  await distill({
    teacher,
    student,
    data,
    temperature: 4,
    alpha: 0.9,
    epochs: 3,
    batchSize: 6,
    seed: 1,
    progress: false,
    callbacks: [quantizationAwareTraining({ observeSteps: 1, freezeRangesAfter: 4 })],
  });
  expect(snapshot(teacher)).toEqual(untouched);
  const after = snapshot(student);
  expect(after['hidden/kernel']).not.toEqual(before['hidden/kernel']);
  expect(after['hidden/stage']).toEqual([2]);
  const weight = parametrizedWeights(student).find(({ layer }) => layer.name === 'hidden')!;
  const kept = weight.encoding().mask!;
  const baked = [...weight.bake().dataSync()];
  expect(kept.filter((keep) => keep === 0)).toHaveLength(12);
  kept.forEach((keep, i) => {
    if (!keep) expect(Math.abs(baked[i]!)).toBe(0);
  });
  // Per channel at most the 7 codes of 3 narrow bits.
  for (let unit = 0; unit < 4; unit++) {
    const column = baked.filter((_, i) => i % 4 === unit).map((value) => value || 0);
    expect(new Set(column).size).toBeLessThanOrEqual(7);
  }
  expectSameOutputs(student, await savedAndLoaded(student), xs);
});
