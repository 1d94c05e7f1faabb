import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { encodedBits } from '@thimble/base';
import {
  finalize,
  fit,
  type ParametrizedWeight,
  parametrize,
  parametrizedWeights,
  summarize,
  type WeightTransform,
} from '@thimble/core';
import {
  type CodebookOptions,
  type CodebookState,
  clusterWeights,
  codebook,
  fakeQuant,
  gradualBits,
  lsq,
  quantizeAware,
  quantizeByBits,
} from '@thimble/quantization';
import { classifier, savedAndLoaded, snapshot, useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';
import { hiding } from './hiding.ts';

useCpu();

const stateOf = (weight: ParametrizedWeight) => weight.links[0]!.state as CodebookState;

/** A dense layer with a kernel of these values, one column per unit. */
function denseOf(values: number[][]) {
  return tfl.layers.dense({
    units: values[0]!.length,
    weights: [tf.tensor2d(values)],
    useBias: false,
    inputShape: [values.length],
    name: 'dense',
  });
}
function kernelOf(values: number[][], options: CodebookOptions): ParametrizedWeight {
  const layer = denseOf(values);
  tfl.sequential({ layers: [layer] });
  return clusterWeights(layer, options)[0]!;
}
/** dL/dc for a loss with the gradient `upstream` at the weight. */
function centroidGradient(weight: ParametrizedWeight, upstream: number[]): number[] {
  const { transform, state } = weight.links[0]!;
  const { centroids } = state as CodebookState;
  const context = {
    training: true,
    step: 0,
    learningRate: Number.NaN,
    random: () => tf.zeros([0]),
  };
  const loss = () => {
    const seen = transform.source!(state, context);
    return tf.sum(tf.mul(seen, tf.reshape(tf.tensor1d(upstream), seen.shape))) as tf.Scalar;
  };
  const { grads } = tf.variableGrads(loss, [centroids]);
  return Array.from(grads[centroids.name]!.dataSync());
}

describe('codebook', () => {
  it('shares the means of its clusters', () => {
    const weight = kernelOf(
      [
        [1, 10],
        [2, 12],
        [1, 14],
      ],
      { clusters: 2 },
    );
    expect(weight.bake()).toBeAllClose([
      [4 / 3, 12],
      [4 / 3, 12],
      [4 / 3, 12],
    ]);
    expect(weight.variable.trainable).toBe(false);
  });

  // tensorflow/model-optimization, python/core/clustering/keras/clustering_registry_test.py: an [2, 2, 1, 3]
  // kernel with a codebook per channel; the number of every entry, and gradients that are 1 everywhere.
  it('numbers the entries of every channel, and sums gradients, as tfmot does', () => {
    const centroids = [
      [1, 2],
      [3, 4],
      [5, 6],
    ];
    const kernel = [1.1, 3.2, 5.2, 2, 4.1, 5.2, 2.1, 2, 6.1, 1, 5, 5];
    const layer = tfl.layers.conv2d({
      filters: 3,
      kernelSize: 2,
      useBias: false,
      weights: [tf.tensor4d(kernel, [2, 2, 1, 3])],
      inputShape: [4, 4, 1],
    });
    tfl.sequential({ layers: [layer] });
    const [weight] = clusterWeights(layer, { clusters: 2, perChannel: true });
    const state = stateOf(weight!);
    const numbers = [0, 0, 0, 1, 1, 0, 1, 0, 1, 0, 1, 0];
    const rows = kernel.map((_, i) => i % 3);
    expect([...state.indices.dataSync()]).toEqual(numbers.map((k, i) => 2 * rows[i]! + k));
    tf.tidy(() => state.centroids.assign(tf.tensor2d(centroids)));
    expect(weight!.bake()).toBeAllClose(numbers.map((k, i) => centroids[rows[i]!]![k]!));
    expect(
      centroidGradient(
        weight!,
        kernel.map(() => 1),
      ),
    ).toEqual([2, 2, 2, 2, 3, 1]);
  });

  // Same source: a codebook looks up by number.
  it.each([
    [
      [-1, 1],
      [0, 0, 1, 1, 1, 1],
      [-1, -1, 1, 1, 1, 1],
    ],
    [
      [0, 1, 2, 3],
      [0, 1, 2, 3, 0, 1, 2, 3],
      [0, 1, 2, 3, 0, 1, 2, 3],
    ],
    [
      [0, 3, 5],
      [0, 1, 2, 1, 1, 1, 2, 1, 0],
      [0, 3, 5, 3, 3, 3, 5, 3, 0],
    ],
  ])('looks values up: %j', (values, numbers, expected) => {
    const weight = kernelOf([numbers], { clusters: values.length });
    const { centroids, indices } = stateOf(weight);
    tf.tidy(() => centroids.assign(tf.tensor2d([values])));
    tf.tidy(() => indices.assign(tf.tensor2d([numbers])));
    expect(weight.bake()).toBeAllClose([expected], 0);
  });

  it('gives each value the sum of the gradients of its entries', () => {
    const weight = kernelOf(
      [
        [1, 10],
        [1, 10],
        [10, 1],
      ],
      { clusters: 2 },
    );
    expect(centroidGradient(weight, [1, 2, 4, 8, 16, 32])).toEqual([1 + 4 + 32, 2 + 8 + 16]);
  });

  it('keeps a zero that is neither moved nor trained', async () => {
    const weight = kernelOf([[0, -2, 3, 0.01, -2]], { clusters: 3, zero: true });
    expect(weight.bake()).toBeAllClose([[0, -2, 3, 0, -2]], 0);
    expect(centroidGradient(weight, [1, 2, 4, 8, 16])).toEqual([18, 4]);
    expect(weight.encoding()).toMatchObject({
      nonzero: 3,
      values: { type: 'codebook', bits: 2, centroids: Float32Array.of(0, -2, 3) },
    });
  });

  it('stores the bits that it says, and nothing for values that it does not use', () => {
    const weight = kernelOf([[1, 2, 1, 2, 1, 2]], { bits: 5 });
    expect(weight.encoding().values).toMatchObject({ bits: 1, centroids: Float32Array.of(1, 2) });
    expect(encodedBits(weight.encoding())).toBe(6 + 64);
    const each = kernelOf(
      [
        [1, 5],
        [2, 5],
        [3, 6],
      ],
      { bits: 2, perChannel: true },
    ).encoding();
    expect(each.values).toMatchObject({
      bits: 2,
      centroids: Float32Array.of(1, 2, 3, 5, 6, 0),
      axis: 1,
    });
    expect(encodedBits(each)).toBe(6 * 2 + 6 * 32);
  });

  it('names what is wrong', () => {
    expect(() => codebook({})).toThrow('codebook: give either clusters or bits');
    expect(() => codebook({ clusters: 4, bits: 2 })).toThrow('either clusters or bits');
    expect(() => codebook({ clusters: 1 })).toThrow('clusters must be a whole number from 2');
    expect(() => codebook({ bits: 17 })).toThrow('bits must be a whole number from 1 to 16');
    expect(() => codebook({ bits: 2, start: 'kmeans++' as never })).toThrow('start must be one of');
    expect(() => codebook({ bits: 2, centroids: 4 } as never)).toThrow('"centroids"');
    expect(() => kernelOf([[1, Number.NaN]], { bits: 1 })).toThrow(
      'entry 1 of "kernel" of layer "dense" is NaN',
    );
  });
});

describe('clusterWeights', () => {
  it('trains the shared values alone, and gives the plain model back', async () => {
    const model = classifier();
    clusterWeights(model, { clusters: 4 });
    const before = snapshot(model);
    const xs = tf.randomNormal([16, 6], 0, 1, 'float32', 3);
    const ys = tf.oneHot(
      tf.tensor1d(
        [...Array(16).keys()].map((i) => i % 3),
        'int32',
      ),
      3,
    );
    await fit(
      model,
      { xs, ys: tf.cast(ys, 'float32') },
      {
        epochs: 4,
        loss: 'categoricalCrossentropyFromLogits',
        progress: false,
      },
    );
    const after = snapshot(model);
    const moved = Object.keys(after).filter((name) => `${after[name]}` !== `${before[name]}`);
    expect([...new Set(moved.map((name) => name.split('/')[1]))].sort()).toEqual([
      'bias',
      'kernel_centroids',
    ]);
    const plain = await finalize(model);
    for (const layer of plain.layers.filter(({ name }) => name.includes('dense'))) {
      expect(layer.getClassName()).toBe('Dense');
      expect(new Set(layer.getWeights()[0]!.dataSync()).size).toBeLessThanOrEqual(4);
    }
  });

  it('takes the layers that the targets name', () => {
    const model = classifier();
    const last = model.layers.at(-1)!.name;
    expect(
      clusterWeights(model, { bits: 1, targets: last }).map(({ layer }) => layer.name),
    ).toEqual([last]);
    expect(() => clusterWeights(model, { bits: 1, targets: 'nowhere' })).toThrow(
      'the target "nowhere" matches no layer',
    );
    expect(() => clusterWeights(model, { bits: 1, targets: () => false })).toThrow(
      'match no layer',
    );
    expect(() => clusterWeights(tfl.sequential(), { bits: 1 })).toThrow('no layer with a kernel');
  });

  it('refuses to cluster twice, and leaves the model as it was', () => {
    const model = classifier();
    const [, , last] = model.layers;
    clusterWeights(last!, { bits: 1 });
    const before = snapshot(model);
    expect(() => clusterWeights(model, { bits: 2 })).toThrow(
      `layer "${last!.name}" has ThimbleCodebook already`,
    );
    expect(snapshot(model)).toEqual(before);
  });

  it('leaves the model as it was where a weight is NaN', () => {
    const model = classifier();
    const last = model.layers.at(-1)!;
    const [kernel, bias] = last.getWeights();
    last.setWeights([tf.mul(kernel!, Number.NaN), bias!]);
    expect(() => clusterWeights(model, { bits: 2 })).toThrow(`of layer "${last.name}" is NaN`);
    expect(parametrizedWeights(model)).toEqual([]);
  });

  it('clusters both directions of a Bidirectional, and they are saved', async () => {
    const layer = tfl.layers.bidirectional({
      layer: tfl.layers.lstm({ units: 2 }) as tfl.RNN,
      inputShape: [3, 2],
      mergeMode: 'concat',
    });
    const model = tfl.sequential({ layers: [layer] });
    expect(clusterWeights(model, { bits: 2 }).map(({ weight }) => weight)).toEqual([
      'kernel',
      'recurrentKernel',
      'kernel',
      'recurrentKernel',
    ]);
    expect(snapshot(await savedAndLoaded(model))).toEqual(snapshot(model));
  });
});

describe('a codebook and a mask', () => {
  const values = [[100, 1, 2, 1, 2, -50]];
  const kept = [0, 1, 1, 1, 1, 0];

  it('leave what is hidden out of the clusters, whichever comes first', () => {
    for (const late of [true, false]) {
      const layer = parametrize(denseOf(values), { kernel: [hiding(kept)] });
      if (late) tfl.sequential({ layers: [layer] });
      const [weight] = late ? clusterWeights(layer, { clusters: 2 }) : [];
      if (!late) {
        parametrize(layer, { kernel: [codebook({ clusters: 2 })] });
        tfl.sequential({ layers: [layer] });
      }
      const seen = weight ?? parametrizedWeights(layer)[0]!;
      const encoding = seen.encoding();
      if (late) {
        expect(seen.bake()).toBeAllClose([[0, 1, 2, 1, 2, 0]], 0);
        expect(encoding.values).toMatchObject({ centroids: Float32Array.of(1, 2) });
      }
      expect(encoding.nonzero).toBe(4);
    }
  });

  it('keep zeros and the number of values through fake quantisation, however it comes', async () => {
    const entries = Array.from({ length: 48 }, (_, i) => Math.sin(i + 1) * (1 + (i % 4)));
    const hidden = entries.map((_, i) => (i % 3 === 0 ? 0 : 1));
    const ways: Record<string, (model: tfl.LayersModel) => unknown> = {
      quantizeAware: (model) => quantizeAware(model, { weights: 4, activations: 8 }),
      lsq: (model) => quantizeAware(model, { weights: lsq({ bits: 4 }) as WeightTransform }),
      quantizeByBits: (model) => quantizeByBits(model, { [model.layers[0]!.name]: 4 }),
      gradualBits: () => {},
    };
    for (const [name, quantise] of Object.entries(ways)) {
      const layer = tfl.layers.dense({
        units: 4,
        useBias: false,
        weights: [tf.tensor2d(entries, [12, 4])],
        inputShape: [12],
      });
      const model = tfl.sequential({ layers: [parametrize(layer, { kernel: [hiding(hidden)] })] });
      clusterWeights(model, { clusters: 5 });
      await quantise(model);
      const stages = [{ epoch: 0, bits: 4 }];
      await fit(
        model,
        { xs: tf.randomNormal([16, 12], 0, 1, 'float32', 3), ys: tf.zeros([16, 4]) },
        {
          epochs: 2,
          loss: 'meanSquaredError',
          optimizer: 'adam',
          callbacks: name === 'gradualBits' ? [gradualBits({ stages })] : [],
          progress: false,
        },
      );
      const [weight] = parametrizedWeights(model);
      const seen = weight!.bake().dataSync();
      expect([...seen].every((value, i) => hidden[i] === 1 || value === 0)).toBe(true);
      const shown = new Set([...seen].filter((_, i) => hidden[i] === 1));
      expect(shown.size, name).toBeLessThanOrEqual(5);
    }
  });

  it('are refused behind rounding with a step for each channel or group', () => {
    for (const options of [{ perChannel: true }, { groupSize: 2 }]) {
      const layer = parametrize(denseOf(values), { kernel: [fakeQuant({ bits: 4, ...options })] });
      tfl.sequential({ layers: [layer] });
      const share = () => clusterWeights(layer, { clusters: 2 });
      expect(share).toThrow('is rounded with a step for each channel or group already');
      expect(parametrizedWeights(layer)[0]!.links).toHaveLength(1);
    }
    const layer = parametrize(denseOf(values), { kernel: [fakeQuant({ bits: 4 })] });
    tfl.sequential({ layers: [layer] });
    expect(clusterWeights(layer, { clusters: 2 })[0]!.links).toHaveLength(2);
  });

  it('train on with zeros that stay zeros', async () => {
    const layer = parametrize(denseOf(values), { kernel: [hiding(kept)] });
    const model = tfl.sequential({ layers: [layer] });
    const [weight] = clusterWeights(layer, { clusters: 2 });
    const upstream = tf.variableGrads(
      () => tf.sum(model.apply(tf.ones([1, 1]), { training: true }) as tf.Tensor) as tf.Scalar,
      [stateOf(weight!).centroids],
    );
    expect(Object.values(upstream.grads)[0]!.dataSync()).toBeAllClose([2, 2]);
    const total = summarize(model).total;
    // A bitmap of 6 and 4 numbers of a bit would be 10 bits; all 6 numbers are 6.
    expect(total.bits).toBe(6 + 2 * 32);
    expect(total.nonzero).toBe(4);
  });
});
