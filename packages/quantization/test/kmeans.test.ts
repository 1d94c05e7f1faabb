import { Random } from '@thimble/base';
import { type KmeansStart, kmeans } from '@thimble/quantization';
import { valuesOf } from '@thimble/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const STARTS: KmeansStart[] = ['linear', 'density', 'random', 'kmeansPlusPlus'];
const near = (a: ArrayLike<number>, b: number[], tolerance = 1e-5) => {
  expect(a.length).toBe(b.length);
  b.forEach((value, i) => {
    expect(Math.abs(a[i]! - value)).toBeLessThanOrEqual(tolerance);
  });
};

/** Lloyd's algorithm by its definition, in double precision. */
function lloyd(values: number[], start: number[], zero: boolean): number[] {
  let centroids = start;
  const assign = () =>
    values.map((value) => {
      const distances = centroids.map((c) => Math.abs(value - c));
      return distances.indexOf(Math.min(...distances));
    });
  let labels = assign();
  for (let round = 0; round < 300; round++) {
    centroids = centroids.map((c, k) => {
      const own = values.filter((_, i) => labels[i] === k);
      return own.length === 0 || (zero && c === 0)
        ? c
        : own.reduce((a, b) => a + b, 0) / own.length;
    });
    const next = assign();
    if (next.join() === labels.join()) break;
    labels = next;
  }
  return centroids.filter((c, k) => labels.includes(k) || (zero && c === 0));
}

describe('the start of kmeans', () => {
  const start = (values: number[], start: KmeansStart, clusters: number, zero = false) =>
    kmeans(values, { clusters, start, zero, iterations: 0 }).centroids;
  const mixed = [-3, -2, -1, 0, 1.1, 2.2, 3.3, 4.4, 5.5, 6.6, 7.7, 8.8, 9];
  const ramp = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

  // tensorflow/model-optimization, python/core/clustering/keras/clustering_centroids_test.py
  it('is linear as that of tfmot', () => {
    near(start(ramp, 'linear', 5), [0, 2.5, 5, 7.5, 10]);
    near(start(mixed, 'linear', 6), [-3, -0.6, 1.8, 4.2, 6.6, 9]);
  });

  it('is linear on both sides of a fixed zero as that of tfmot', () => {
    near(start(ramp, 'linear', 5, true), [0, 1, 4, 7, 10]);
    near(start(mixed, 'linear', 6, true), [-3, 0, 1.1, 3.7333333, 6.366666, 9]);
  });

  // Same source. tfmot looks for its density centroids on a grid of 30 points that begins and ends 0.01
  // outside of the values; here they are values themselves, so the two differ by up to a step of the grid.
  it('has the density of the values, to a step of the grid of tfmot', () => {
    const values = [0, 1, 2, 3, 3.1, 3.2, 3.3, 3.4, 3.5];
    near(start(values, 'density', 3), [0.11137931, 3.145862, 3.51], 3.52 / 29);
    near(
      start([0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 'density', 5, true),
      [0, 1.2665517, 4.032069, 7.0741386, 9.01],
      8.02 / 29,
    );
    near(start([0, 0, 0, 0], 'density', 2, true), [0]);
    near(start([0, 2, 4, 6], 'density', 2), [0.197586, 6.01], 6.02 / 29);
    near(start([1, 3, 5, 7], 'density', 2), [1.197586, 7.01], 6.02 / 29);
  });

  it('takes the values themselves, each once, where it is random', () => {
    for (const kind of ['random', 'kmeansPlusPlus'] as const) {
      const values = [5, 1, 1, 9, 5, 1, 9];
      near(
        kmeans(values, { clusters: 3, start: kind, iterations: 0, seed: 4 }).centroids,
        [1, 5, 9],
      );
    }
  });

  it('spreads k-means++ by the squared distance', () => {
    // Two values at 0, one at 1, one at 3: after a first centroid at 0 the second is 3 with 9 in 10.
    const values = [0, 0, 1, 3];
    let [at0, at3] = [0, 0];
    for (let seed = 0; seed < 2000; seed++) {
      const options = { clusters: 2, start: 'kmeansPlusPlus', iterations: 0, seed } as const;
      const { centroids } = kmeans(values, options);
      if (centroids[0] !== 0 || (centroids[1] !== 3 && centroids[1] !== 1)) continue;
      at0++;
      if (centroids[1] === 3) at3++;
    }
    // (0 first, then 3) 1/2 * 9/10, (3 first, then 0) 1/4 * 18/22; (0, then 1) 1/20, (1, then 0) 1/4 * 2/6.
    const three = 9 / 20 + 18 / 88;
    expect(at3 / at0).toBeCloseTo(three / (three + 1 / 20 + 1 / 12), 1);
  });
});

describe('kmeans', () => {
  it('finds two lumps', () => {
    const { centroids, indices, error } = kmeans([10, 1, 11, 2], { clusters: 2 });
    near(centroids, [1.5, 10.5]);
    expect([...indices]).toEqual([1, 0, 1, 0]);
    expect(error).toBeCloseTo(1);
  });

  it('gives a value half way to the lower centroid', () => {
    const { indices } = kmeans([0, 1, 2], { clusters: 2, iterations: 0 });
    expect([...indices]).toEqual([0, 0, 1]);
  });

  it('leaves out clusters that have no value', () => {
    near(kmeans([0, 0, 1, 1], { clusters: 8 }).centroids, [0, 1]);
    near(kmeans([7], { clusters: 4, start: 'kmeansPlusPlus' }).centroids, [7]);
  });

  it('keeps zero exact', () => {
    const { centroids, indices } = kmeans([0, 0, 0.4, 0.5, -0.6, 0], { clusters: 3, zero: true });
    near(centroids, [-0.6, 0, 0.45]);
    expect([0, 1, 5].map((i) => centroids[indices[i]!])).toEqual([0, 0, 0]);
  });

  it('stores more than 256 clusters in 16 bits', () => {
    const values = Float32Array.from({ length: 600 }, (_, i) => i);
    const { indices, error } = kmeans(values, { clusters: 600 });
    expect(indices).toBeInstanceOf(Uint16Array);
    expect([error, indices[599]]).toEqual([0, 599]);
  });

  it('takes the same centroids from the same seed alone', () => {
    const random = new Random(3);
    const values = Float32Array.from({ length: 5000 }, () => random.normal());
    for (const start of ['random', 'kmeansPlusPlus'] as const) {
      const of = (seed: number) => kmeans(values, { clusters: 8, start, seed, iterations: 2 });
      expect(of(1)).toEqual(of(1));
      expect(of(1).centroids).not.toEqual(of(2).centroids);
    }
  });

  it('keeps a mean among its values, however much they differ in size', () => {
    const values = [-1e25, 1e-20, 2e-20, 1e20, 3e20];
    const { centroids, error } = kmeans(values, { clusters: 5, start: 'density' });
    near(centroids, values.map(Math.fround), 0);
    expect(error).toBe(0);
  });

  it('names what is wrong', () => {
    expect(() => kmeans([], { clusters: 2 })).toThrow('kmeans: there are no values');
    expect(() => kmeans([1, Number.NaN], { clusters: 2 })).toThrow('value 1 is NaN');
    expect(() => kmeans([1], { clusters: 0 })).toThrow('clusters must be a whole number');
    expect(() => kmeans([1], { clusters: 2, start: 'lloyd' as never })).toThrow(
      'start must be one of',
    );
    expect(() => kmeans([1], { clusters: 2, k: 2 } as never)).toThrow('"k"');
  });
});

describe('for all values, kmeans', () => {
  const values = fc
    .array(fc.integer({ min: -400, max: 400 }), { minLength: 1, maxLength: 60 })
    .map((list) => list.map((n) => n / 8));
  const setting = fc.record({
    clusters: fc.integer({ min: 1, max: 9 }),
    start: fc.constantFrom(...STARTS),
    zero: fc.boolean(),
  });

  it('ends where the definition of Lloyd ends', () => {
    fc.assert(
      fc.property(values, setting, (list, options) => {
        const begin = kmeans(list, { ...options, iterations: 0 });
        const end = kmeans(list, options);
        // Clusters that are empty at first are not in the result; the definition needs them.
        fc.pre(begin.centroids.length === options.clusters);
        near(end.centroids, lloyd(list, [...begin.centroids], options.zero), 1e-4);
      }),
      { seed: 42, numRuns: 300 },
    );
  });

  it('gives every value its nearest centroid', () => {
    const many = fc.array(fc.float({ noNaN: true, noDefaultInfinity: true, min: -1e6, max: 1e6 }), {
      minLength: 1,
      maxLength: 200,
    });
    fc.assert(
      fc.property(many, setting, fc.boolean(), (list, options, large) => {
        // Above 4096 values another path is taken.
        const input = large ? Array.from({ length: 4200 }, (_, i) => list[i % list.length]!) : list;
        const { centroids, indices } = kmeans(input, options);
        for (let i = 0; i < list.length; i++) {
          const distance = (k: number) => Math.abs(input[i]! - centroids[k]!);
          const nearest = Math.min(...Array.from(centroids, (_, k) => distance(k)));
          expect(distance(indices[i]!)).toBe(nearest);
          if (options.zero && input[i] === 0) expect(centroids[indices[i]!]).toBe(0);
        }
      }),
      { seed: 42, numRuns: 100 },
    );
  });
});

it('has as few errors as its numbers say', () => {
  const random = new Random(9);
  const values = Float32Array.from({ length: 1000 }, () => random.normal());
  const { centroids, indices, error } = kmeans(values, { clusters: 16 });
  const sum = valuesOf(values).reduce((s, v, i) => s + (v - centroids[indices[i]!]!) ** 2, 0);
  expect(error).toBeCloseTo(sum, 6);
});
