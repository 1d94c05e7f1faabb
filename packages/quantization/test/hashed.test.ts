import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { encodedBits, xxHash32 } from '@thimble/base';
import {
  type ParametrizedWeight,
  parametrize,
  parametrizedWeights,
  summarize,
} from '@thimble/core';
import { type HashedOptions, type HashedState, hashed } from '@thimble/quantization';
import { useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';
import { hiding } from './hiding.ts';

useCpu();

// xxhash 3.x for Python: xxhash.xxh32(struct.pack('<I', value), seed).intdigest()
it.each([
  [0, [0x08d6d969, 0xf3bb7693, 0x1f748196, 0xe889c27f, 0x04079e5f]],
  [1, [0x77f498c8, 0xea951e9a, 0x5ce88a04, 0x4d5bb998, 0x5fb84d20]],
  [2654435761, [0x4982e72f, 0xd27560ec, 0x517e853b, 0xfc9c3a00, 0xa67acffb]],
])('hashes as xxHash32 does with the seed %i', (seed, expected) => {
  expect([0, 1, 2, 12345, 4294967295].map((value) => xxHash32(value, seed))).toEqual(expected);
  expect(xxHash32(0x64636261, 0)).toBe(0xa3643705); // 'abcd', of xxHash's own tests
});

function weightOf(size: number, options: HashedOptions): ParametrizedWeight {
  const layer = tfl.layers.dense({
    units: 1,
    useBias: false,
    weights: [
      tf.tensor2d(
        Array.from({ length: size }, (_, i) => i + 1),
        [size, 1],
      ),
    ],
    inputShape: [size],
  });
  parametrize(layer, { kernel: [hashed(options)] });
  return parametrizedWeights(tfl.sequential({ layers: [layer] }))[0]!;
}

describe('hashed', () => {
  it('takes entries from buckets by their numbers, with signs', () => {
    const weight = weightOf(500, { buckets: 7, seed: 11 });
    const { weights } = weight.links[0]!.state as HashedState;
    tf.tidy(() => weights.assign(tf.tensor1d([1, 2, 3, 4, 5, 6, 7])));
    const expected = Array.from({ length: 500 }, (_, i) => {
      const sign = xxHash32(i, 11 + 0x9e3779b1) & 1 ? -1 : 1;
      return sign * (1 + Math.floor((7 * xxHash32(i, 11)) / 2 ** 32));
    });
    expect(weight.bake()).toBeAllClose(expected, 0);
    // Every bucket and both signs in nearly equal parts: 500 / 14 = 36 with a deviation of 6.
    for (const value of [1, 2, 3, 4, 5, 6, 7].flatMap((k) => [k, -k])) {
      const count = expected.filter((each) => each === value).length;
      expect(count).toBeGreaterThan(36 - 24);
      expect(count).toBeLessThan(36 + 24);
    }
  });

  it('sums the gradients of its entries with their signs', () => {
    const { links } = weightOf(40, { buckets: 3 });
    const { transform, state } = links[0]!;
    const { weights, places } = state as HashedState;
    const upstream = Array.from({ length: 40 }, (_, i) => i + 1);
    const context = { training: true, step: 0, learningRate: 0, random: () => tf.zeros([0]) };
    const loss = () =>
      tf.sum(
        tf.mul(transform.source!(state, context), tf.tensor2d(upstream, [40, 1])),
      ) as tf.Scalar;
    const sums = [0, 0, 0];
    upstream.forEach((dy, i) => {
      sums[places[i]! % 3]! += places[i]! < 3 ? dy : -dy;
    });
    expect(Object.values(tf.variableGrads(loss, [weights]).grads)[0]).toBeAllClose(sums);
  });

  it('begins with an entry of each bucket, or with their mean', () => {
    const of = (start: 'entry' | 'mean') => weightOf(40, { buckets: 3, start });
    for (const start of ['entry', 'mean'] as const) {
      const { weights, places } = of(start).links[0]!.state as HashedState;
      const own = (k: number) =>
        [...places].flatMap((place, i) => (place % 3 === k ? [place < 3 ? i + 1 : -i - 1] : []));
      const expected = [0, 1, 2].map((k) =>
        start === 'entry' ? own(k)[0]! : own(k).reduce((a, b) => a + b, 0) / own(k).length,
      );
      expect(weights.dataSync()).toBeAllClose(expected);
    }
  });

  it('counts as its real weights, also under a mask', () => {
    const weight = weightOf(80, { ratio: 1 / 8 });
    expect(encodedBits(weight.encoding())).toBe(10 * 32);
    const layer = tfl.layers.dense({ units: 4, useBias: false, inputShape: [2] });
    parametrize(layer, { kernel: [hiding([1, 0, 0, 0, 1, 1, 1, 0])] });
    const model = tfl.sequential({ layers: [layer] });
    parametrize(layer, { kernel: [hashed({ buckets: 3 })] });
    expect(summarize(model).total).toMatchObject({ bits: 3 * 32, nonzero: 4 });
  });

  it('names what is wrong', () => {
    expect(() => hashed({})).toThrow('hashed: give either buckets or ratio');
    expect(() => hashed({ buckets: 2, ratio: 0.5 })).toThrow('either buckets or ratio');
    expect(() => hashed({ ratio: 1.5 })).toThrow('ratio must be a number from');
    expect(() => hashed({ buckets: 0 })).toThrow('buckets must be a whole number');
    expect(() => hashed({ buckets: 2, seed: -1 })).toThrow('seed must be a whole number');
    expect(() => hashed({ buckets: 2, start: 'zero' as never })).toThrow(
      'start must be entry or mean',
    );
  });
});
