// Binary weights with techniques of other packages, and on the backend that has kernels for them.
import '@thimble/backend';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  finalize,
  fit,
  parametrize,
  parametrizedWeights,
  releaseMoment,
  setMoment,
  summarize,
  type WeightTransform,
} from '@thimble/core';
import { distill } from '@thimble/distillation';
import { mask, prune } from '@thimble/pruning';
import {
  binarized,
  binaryActivation,
  binaryConnect,
  binaryDense,
  binaryWeights,
  fakeQuant,
  ternaryWeights,
  thresholdWeights,
  trainedTernary,
  xnorDense,
} from '@thimble/quantization';
import {
  expectSameOutputs,
  savedAndLoaded,
  smallModel,
  snapshot,
  threeClasses,
  useCpu,
} from '@thimble/testing';
import { describe, expect, it } from 'vitest';

useCpu();

const quantisers: Record<string, () => WeightTransform> = {
  binaryConnect: () => binaryConnect(),
  'stochastic binaryConnect': () => binaryConnect({ mode: 'stochastic' }),
  binaryWeights: () => binaryWeights(),
  thresholdWeights: () => thresholdWeights({ threshold: 'drawnOnce' }),
  ternaryWeights: () => ternaryWeights(),
  trainedTernary: () => trainedTernary(),
};
const others: Record<string, () => WeightTransform> = {
  mask: () => mask({ sparsity: 0.5 }),
  fakeQuant: () => fakeQuant({ bits: 4 }),
};
const pairs = Object.entries(quantisers).flatMap(([a, first]) =>
  Object.entries(others).flatMap(([b, second]) => [
    [`${a}, then ${b}`, () => [first(), second()]] as const,
    [`${b}, then ${a}`, () => [second(), first()]] as const,
  ]),
);

describe('few values and another transform', () => {
  it.each(pairs)('%s: train together, and finalize to the same outputs', async (name, chain) => {
    const model = smallModel(
      () => parametrize(tfl.layers.dense({ units: 6 }), { kernel: chain() }),
      [8],
    );
    const xs = tf.randomNormal([8, 8], 0, 1, 'float32', 1);
    const before = snapshot(model);
    await fit(model, { xs, ys: tf.ones([8, 1]) }, { epochs: 3, seed: 1, progress: false });
    expect(snapshot(model)).not.toEqual(before);
    expectSameOutputs(model, await finalize(model), xs);
    expectSameOutputs(model, await savedAndLoaded(model), xs);
    const [weight] = parametrizedWeights(model);
    const baked = Array.from(weight!.bake().dataSync());
    const keep = weight!.encoding().mask;
    expect(keep !== undefined).toBe(name.includes('mask'));
    keep?.forEach((kept, i) => {
      if (!kept) expect(Math.abs(baked[i]!)).toBe(0);
    });
    if (keep) expect(baked.filter((value) => value !== 0).length).toBeLessThanOrEqual(24);
  });
});

describe('binary networks', () => {
  const network = () =>
    tfl.sequential({
      layers: [
        binaryDense({ units: 8, inputShape: [6] }),
        tfl.layers.batchNormalization(),
        binaryActivation(),
        xnorDense({ units: 8 }),
        tfl.layers.dense({ units: 3, activation: 'softmax', name: 'last' }),
      ],
    });
  const examples = () => threeClasses(6, 1);
  const training = { epochs: 2, batchSize: 8, seed: 1, progress: false } as const;

  it('are pruned: masks hold in training, signs elsewhere', async () => {
    const model = network();
    await prune(model, {
      sparsity: 0.5,
      granularity: 'element',
      targets: (layer) => layer.name !== 'last',
    });
    await fit(model, examples(), { ...training, loss: 'categoricalCrossentropy' });
    const table = summarize(model);
    for (const weight of parametrizedWeights(model).slice(0, 2)) {
      const { size } = weight.variable;
      const { values, nonzero, mask: keep } = weight.encoding();
      expect(values.type).toBe('binary');
      expect(nonzero).toBe(size / 2);
      expect(keep!.reduce((sum, kept) => sum + kept, 0)).toBe(size / 2);
    }
    // 6 x 8 signs: a bitmap would cost as many bits again
    expect(table.layers[0]).toMatchObject({ params: 48 + 8, bits: 48 + 8 * 32 });
  });

  it('learn from a teacher', async () => {
    const teacher = tfl.sequential({
      layers: [tfl.layers.dense({ units: 3, activation: 'softmax', inputShape: [6] })],
    });
    const student = network();
    const before = snapshot(student);
    const { xs, ys } = examples();
    await distill({ ...training, teacher, student, data: { xs, ys }, temperature: 2, alpha: 0.5 });
    const after = snapshot(student);
    for (const name of Object.keys(before)) expect(after[name], name).not.toEqual(before[name]);
  });
});

describe('on the backend thimble', () => {
  /** The kernel as the layer sees it in a training pass, and the gradient with respect to the stored one. */
  async function seen(backend: string, mode: 'deterministic' | 'stochastic') {
    await tf.setBackend(backend);
    const values = Array.from({ length: 7 * 5 }, (_, i) => ((i * 29) % 35) / 14 - 1.25);
    const layer = tfl.layers.dense({
      units: 5,
      useBias: false,
      weights: [tf.tensor2d(values, [7, 5])],
      inputShape: [7],
    });
    binarized(layer, { mode });
    tfl.sequential({ layers: [layer, binaryActivation()] });
    const activation = binaryActivation();
    setMoment({ step: 4, seed: 9, learningRate: 1 });
    const kernel = layer.apply(tf.eye(7), { training: true }) as tf.Tensor;
    const x = tf.tensor1d([-2, -1, -0.5, -0, 0, 0.25, 1, 1.5, Number.NaN]);
    const { value, grad } = tf.valueAndGrad((t) => activation.apply(t) as tf.Tensor)(
      x,
      tf.ones([9]),
    );
    releaseMoment();
    return [kernel, value, grad].map((tensor) => Array.from(tensor.dataSync()));
  }

  it.each(['deterministic', 'stochastic'] as const)(
    'signs are those of the cpu: %s',
    async (mode) => {
      const cpu = await seen('cpu', mode);
      expect(await seen('thimble', mode)).toEqual(cpu);
      await tf.setBackend('cpu');
      expect(cpu[1]).toEqual([-1, -1, -1, 1, 1, 1, 1, 1, Number.NaN]);
      expect(new Set(cpu[0])).toEqual(new Set([-1, 1]));
    },
  );
});
