import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { encodedBits } from '@thimble/base';
import { parametrize, parametrizedWeights, type Site, type WeightTransform } from '@thimble/core';
import { expectSameOutputs, savedAndLoaded, snapshot, useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';
import { constant, scaled, shifted } from './transforms.ts';

useCpu();

/** A dense unit whose kernel is `values`. */
function dense(values: number[], name = 'dense') {
  return tfl.layers.dense({
    units: 1,
    useBias: false,
    weights: [tf.tensor2d(values, [values.length, 1])],
    inputShape: [values.length],
    name,
  });
}
const sequential = (...layers: tfl.layers.Layer[]) => tfl.sequential({ layers });
const nothing: WeightTransform = {
  getClassName: () => 'ThimbleTestNothing',
  getConfig: () => ({}),
  build: () => null,
  apply: (weight) => weight,
  bake: (weight) => weight,
  encoding: () => ({}),
};
/** Hides the entries that are 0 in `mask`, and remembers the site of each building. */
const hiding = (mask: number[], sites: Site[] = []): WeightTransform => ({
  ...nothing,
  build: (site) => sites.push(site),
  apply: (weight) => tf.mul(weight, tf.tensor(mask, weight.shape)),
  bake: (weight) => tf.mul(weight, tf.tensor(mask, weight.shape)),
  encoding: () => ({ mask: Uint8Array.from(mask) }),
});

describe('a transform with a source', () => {
  it('goes to the front of a chain that is there', async () => {
    for (const built of [true, false]) {
      const layer = parametrize(dense([2]), { kernel: [scaled(2), shifted()] });
      const early = built ? sequential(layer) : undefined;
      parametrize(layer, { kernel: [constant(), scaled(10)] });
      const model = early ?? sequential(layer);
      // constant is 3: (3 * 2 + 0.5) * 10
      expect(model.predict(tf.ones([1, 1]))).toBeAllClose([[65]]);
      const loaded = await savedAndLoaded(model);
      expectSameOutputs(model, loaded, tf.ones([1, 1]));
      expect(snapshot(loaded)).toEqual(snapshot(model));
    }
  });

  it('is the only one of its weight', () => {
    const message =
      'ThimbleTestConstant and ThimbleTestConstant both replace the stored "kernel" of';
    const layer = parametrize(dense([2]), { kernel: [constant()] });
    expect(() => parametrize(layer, { kernel: [constant()] })).toThrow(message);
    const model = sequential(layer);
    expect(() => parametrize(layer, { kernel: [constant()] })).toThrow(message);
    expect(() => sequential(parametrize(dense([2]), { kernel: [constant(), constant()] }))).toThrow(
      message,
    );
    expect(model.predict(tf.ones([1, 1]))).toBeAllClose([[3]]);
  });
});

describe('what a transform is shown of its place', () => {
  it('is the weight in front of it, also later', () => {
    const sites: Site[] = [];
    const layer = parametrize(dense([2, 3]), { kernel: [scaled(2), hiding([1, 1], sites)] });
    const model = sequential(layer);
    expect(sites[0]!.read()).toBeAllClose([4, 6]);
    layer.setWeights([tf.tensor2d([[5], [7]])]);
    expect(sites[0]!.read().dataSync()).toBeAllClose([10, 14]);
    parametrize(layer, { kernel: [constant()] });
    expect(sites[0]!.read().dataSync()).toBeAllClose([6, 6]);
    expect(parametrizedWeights(model)[0]!.bake().dataSync()).toBeAllClose([6, 6]);
  });

  it('is the stored weight where it goes to the front, and what the others hide', () => {
    const layer = parametrize(dense([2, 3, 4]), { kernel: [hiding([1, 0, 1]), scaled(2)] });
    sequential(layer);
    let shown: { weight: number[]; kept: number[] } | undefined;
    const source: WeightTransform = {
      ...nothing,
      build(site) {
        shown = { weight: [...site.read().dataSync()], kept: [...site.encoding().mask!] };
      },
      source: () => tf.ones([3, 1]),
    };
    parametrize(layer, { kernel: [source] });
    expect(shown).toEqual({ weight: [2, 3, 4], kept: [1, 0, 1] });
  });
});

describe('the encoding of a codebook', () => {
  const coded = (axis: number | null, ...centroids: number[]): WeightTransform => ({
    ...nothing,
    encoding: () => ({
      values: { type: 'codebook', bits: 1, centroids: Float32Array.from(centroids), axis },
    }),
  });
  const eightBits: WeightTransform = {
    ...scaled(2),
    encoding: () => ({
      values: {
        type: 'affine',
        bits: 8,
        scale: Float32Array.of(1),
        zeroPoint: Int32Array.of(0),
        axis: null,
      },
    }),
  };
  const encodingOf = (values: number[], ...links: WeightTransform[]) => {
    const layer = parametrize(dense(values), { kernel: links });
    return parametrizedWeights(sequential(layer))[0]!.encoding();
  };
  const many = Array.from({ length: 64 }, (_, i) => (i % 2 ? 5 : -3));

  it('goes through links that come after it, with the values that it then has', () => {
    const encoding = encodingOf(many, coded(null, -3, 5), eightBits);
    expect(encoding.values).toMatchObject({ bits: 1, centroids: Float32Array.of(-6, 10) });
    expect(encodedBits(encoding)).toBe(64 + 2 * 32);
  });

  it('does not count what a mask hides', () => {
    const mask = many.map((_, i) => (i < 60 ? 1 : 0));
    const values = many.map((value, i) => (i < 60 ? value : i));
    const { values: code } = encodingOf(values, coded(null, -3, 5), hiding(mask), eightBits);
    expect(code).toMatchObject({ type: 'codebook', centroids: Float32Array.of(-6, 10) });
  });

  it('has a part for every slice of its axis', () => {
    const { values } = encodingOf(many, coded(1, -3, 5), eightBits);
    expect(values).toMatchObject({ centroids: Float32Array.of(-6, 10), axis: 1 });
  });

  it('gives way to a code that takes fewer bits, and where there are more values than it has', () => {
    expect(encodingOf([-3, 5], coded(null, -3, 5), eightBits).values.type).toBe('affine');
    const more = many.map((value, i) => (i === 3 ? 7 : value));
    expect(encodingOf(more, coded(null, -3, 5), eightBits).values.type).toBe('affine');
  });
});
