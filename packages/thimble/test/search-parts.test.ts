// The parts of a search against closed forms.
import { Random } from '@thimble/base';
import fc from 'fast-check';
import { filledRecipe } from 'thimble';
import { describe, expect, test } from 'vitest';
import { judgeOf, limitOf, paretoFront } from '../src/search/goal.ts';
import { rungsOf, trialsInAll } from '../src/search/halving.ts';
import { normalCdf, parzen } from '../src/search/parzen.ts';
import { spaceOf } from '../src/search/searched-recipe.ts';
import { checkSpace, type Settings } from '../src/search/space.ts';
import { divided, drawSettings, propose } from '../src/search/tpe.ts';

describe('Parzen estimators', () => {
  test('the normal distribution, from tables', () => {
    expect(normalCdf(0)).toBe(0.5);
    expect(normalCdf(1)).toBeCloseTo(0.8413447460685429, 14);
    expect(normalCdf(-1.96)).toBeCloseTo(0.024997895148220435, 14);
    expect(normalCdf(3.5)).toBeCloseTo(0.9997673709209645, 14);
    expect(normalCdf(-5) / 2.866515718791939e-7).toBeCloseTo(1, 9);
  });

  test('one observation: the mean of the prior and a bell that is cut off', () => {
    // Deviation 0.5 to both bounds. (1 + phi(0) / (0.5 (Phi(1) - Phi(-1)))) / 2
    const density = parzen({ between: [0, 1] }, [0.5]);
    const inside = 0.6826894921370859;
    expect(density.at(0.5)).toBeCloseTo((1 + 0.3989422804014327 / (0.5 * inside)) / 2, 10);
    // One deviation off: phi(1) = 0.24197
    expect(density.at(1)).toBeCloseTo((1 + 0.24197072451914337 / (0.5 * inside)) / 2, 10);
  });

  test('deviations are the greater distance to the neighbours', () => {
    // 0.2 and 0.3 on [0, 1]: of 0.2 max(0.2, 0.1), at least 1/3; of 0.3 max(0.1, 0.7).
    const density = parzen({ between: [0, 1] }, [0.3, 0.2]);
    const bell = (x: number, mean: number, deviation: number) =>
      Math.exp(-0.5 * ((x - mean) / deviation) ** 2) /
      (deviation * Math.sqrt(2 * Math.PI)) /
      (normalCdf((1 - mean) / deviation) - normalCdf(-mean / deviation));
    for (const x of [0, 0.25, 0.9]) {
      const expected = (1 + bell(x, 0.2, 1 / 3) + bell(x, 0.3, 0.7)) / 3;
      expect(density.at(x)).toBeCloseTo(expected, 10);
    }
  });

  test('of a list: one for each value and each time that it was seen', () => {
    const density = parzen({ oneOf: ['a', 'b', 'c'] }, ['b', 'b', 'c', 'b']);
    expect(['a', 'b', 'c'].map((value) => density.at(value))).toEqual([1 / 7, 4 / 7, 2 / 7]);
  });

  test('is a distribution, and draws are spread like it', () => {
    const random = new Random(1);
    const real = parzen({ between: [2, 50], log: true }, [3, 4, 4, 30]);
    let mass = 0;
    const steps = 20_000;
    const [low, high] = [Math.log(2), Math.log(50)];
    for (let i = 0; i < steps; i++) {
      mass += real.at(Math.exp(low + ((i + 0.5) * (high - low)) / steps)) * ((high - low) / steps);
    }
    expect(mass).toBeCloseTo(1, 6);
    const whole = parzen({ between: [1, 6], whole: true }, [2, 2, 5]);
    const faces = [1, 2, 3, 4, 5, 6];
    const masses = faces.map((face) => whole.at(face));
    expect(masses.reduce((a, b) => a + b)).toBeCloseTo(1, 12);
    const counts = faces.map(() => 0);
    for (let i = 0; i < 20_000; i++) counts[(whole.draw(random) as number) - 1]!++;
    // Four standard deviations of a count of 20,000.
    for (const [i, count] of counts.entries())
      expect(Math.abs(count / 20_000 - masses[i]!)).toBeLessThan(0.0142);
  });
});

describe('the tree-structured Parzen estimator', () => {
  test('divides observations as BOHB does', () => {
    // Falkner et al., 2018, section 4.1: N_min = d + 1, q = 0.15, max(N_min, q n) and max(N_min, n - that).
    const parts = [3, 9, 20, 100].map((n) => divided(n, 6));
    expect(parts).toEqual([
      { good: 3, others: 3 },
      { good: 7, others: 7 },
      { good: 7, others: 13 },
      { good: 15, others: 85 },
    ]);
  });

  test('proposes near the good ones', () => {
    const space = { x: { between: [0, 1] }, kind: { oneOf: ['a', 'b', 'c'] } } as const;
    const random = new Random(3);
    const loss = ({ x, kind }: Settings) => ((x as number) - 0.2) ** 2 + (kind === 'b' ? 0 : 1);
    const observed = Array.from({ length: 40 }, () => drawSettings(space, random));
    observed.sort((a, b) => loss(a) - loss(b));
    const proposed = Array.from({ length: 50 }, () => propose(space, observed, random));
    const near = proposed.filter(({ x }) => Math.abs((x as number) - 0.2) < 0.2).length;
    expect(near).toBeGreaterThan(40); // blind it would be 20
    expect(proposed.filter(({ kind }) => kind === 'b').length).toBeGreaterThan(45);
  });

  test('needs fewer tries than chance', () => {
    const space = { x: { between: [-5, 10] }, y: { between: [0, 15] } } as const;
    // Branin's function; its least value is 0.397887.
    const branin = ({ x, y }: Settings) => {
      const [a, b] = [x as number, y as number];
      const term = b - (5.1 / (4 * Math.PI ** 2)) * a * a + (5 / Math.PI) * a - 6;
      return term * term + 10 * (1 - 1 / (8 * Math.PI)) * Math.cos(a) + 10;
    };
    const bestOf = (seed: number, guided: boolean) => {
      const random = new Random(seed, 'branin');
      const tried: Settings[] = [];
      for (let i = 0; i < 60; i++) {
        tried.push(guided && i >= 15 ? propose(space, tried, random) : drawSettings(space, random));
        tried.sort((a, b) => branin(a) - branin(b));
      }
      return branin(tried[0]!);
    };
    const mean = (guided: boolean) =>
      Array.from({ length: 20 }, (_, seed) => bestOf(seed, guided)).reduce((a, b) => a + b) / 20;
    expect(mean(true)).toBeGreaterThan(0.397);
    expect(mean(true) - 0.3979).toBeLessThan(0.5 * (mean(false) - 0.3979));
  });
});

describe('successive halving', () => {
  test('has the rungs of Hyperband with eta 3', () => {
    // Li et al., 2018, table 1: 81, 27, 9, 3, 1 settings with 1, 3, 9, 27, 81 units.
    expect(rungsOf(81, 3, 5)).toEqual(
      [81, 27, 9, 3, 1].map((trials, k) => ({ trials, share: expect.closeTo(3 ** k / 81, 12) })),
    );
    expect(rungsOf(4, 3, 3).map(({ trials }) => trials)).toEqual([4, 1, 1]);
    expect(rungsOf(9, 3, 2).at(-1)).toEqual({ trials: 3, share: 1 });
  });

  test('a search of 20 has two whole brackets and a short one', () => {
    expect(trialsInAll(20, 9, 3, 2)).toBe(9 + 3 + 9 + 3 + 2 + 1);
  });
});

describe('goals', () => {
  const at = (accuracy: number, bytes: number, share = 1) => ({
    outcome: { accuracy, bytes },
    share,
  });

  test('without a floor the most accurate within the limit', () => {
    const { compare, fits } = judgeOf(limitOf('t', { bytes: 100 }));
    const order = [at(0.99, 101), at(0.9, 50), at(0.95, 100), at(0.95, 60), at(0.2, 500)].sort(
      compare,
    );
    expect(order.map(({ outcome: { bytes } }) => bytes)).toEqual([60, 100, 50, 101, 500]);
    expect(order.map(fits)).toEqual([true, true, true, false, false]);
  });

  test('with a floor the cheapest that reaches it; shares of the data are not held to it', () => {
    const { compare, fits } = judgeOf(limitOf('t', { bytes: 100 }), 0.9);
    const order = [at(0.99, 90), at(0.9, 50), at(0.89, 10), at(0.99, 120)].sort(compare);
    expect(order.map(({ outcome: { bytes } }) => bytes)).toEqual([50, 90, 10, 120]);
    expect(order.map(fits)).toEqual([true, true, false, false]);
    const early = [at(0.91, 50, 0.3), at(0.95, 90, 0.3)].sort(compare);
    expect(early[0]!.outcome.accuracy).toBe(0.95);
  });

  test('must be one', () => {
    for (const goal of [{}, { bytes: 0 }, { bytes: 1, macs: 1 }, { size: 3 }]) {
      expect(() => limitOf('search', goal as never)).toThrow(/goal must be one of/);
    }
  });

  test('the front has whatever no other one beats, and nothing else', () => {
    const point = fc.record({
      accuracy: fc.integer({ min: 0, max: 8 }),
      bytes: fc.integer({ min: 1, max: 8 }),
    });
    fc.assert(
      fc.property(fc.array(point, { maxLength: 20 }), (points) => {
        const trials = points.map((outcome) => ({ outcome }));
        const front = paretoFront(trials, ({ bytes }) => bytes!);
        const beats = (a: (typeof points)[0], b: (typeof points)[0]) =>
          a.accuracy >= b.accuracy &&
          a.bytes <= b.bytes &&
          (a.accuracy > b.accuracy || a.bytes < b.bytes);
        const expected = new Set(
          points
            .filter((b) => !points.some((a) => beats(a, b)))
            .map((p) => `${p.bytes} ${p.accuracy}`),
        );
        expect(front.map(({ outcome }) => `${outcome.bytes} ${outcome.accuracy}`)).toEqual(
          [...expected].sort(),
        );
      }),
      { seed: 5, numRuns: 300 },
    );
  });
});

describe('recipes with dimensions', () => {
  const between: [number, number] = [0.5, 0.9];
  const recipe = {
    name: 'mine',
    steps: [
      { removeChannels: { perLayer: { conv: { between }, fc: { between } }, epochs: 1 } },
      { prune: { sparsity: { between } } },
      { prune: { sparsity: { between }, criterion: { oneOf: ['magnitude', 'random'] } } },
      { encode: {} },
    ],
  };

  test('name them by step and option', () => {
    expect(Object.keys(spaceOf(recipe))).toEqual([
      'removeChannels.perLayer.conv',
      'removeChannels.perLayer.fc',
      'prune.sparsity',
      'prune2.sparsity',
      'prune2.criterion',
    ]);
  });

  test('are filled with what was chosen, and checked', () => {
    const settings = {
      'removeChannels.perLayer.conv': 0.5,
      'removeChannels.perLayer.fc': 0.6,
      'prune.sparsity': 0.7,
      'prune2.sparsity': 0.8,
      'prune2.criterion': 'random',
    };
    expect(filledRecipe(recipe, settings)).toEqual({
      name: 'mine',
      steps: [
        { removeChannels: { perLayer: { conv: 0.5, fc: 0.6 }, epochs: 1 } },
        { prune: { sparsity: 0.7 } },
        { prune: { sparsity: 0.8, criterion: 'random' } },
        { encode: {} },
      ],
    });
    expect(() => filledRecipe(recipe, { ...settings, 'prune2.sparsity': 2 })).toThrow(/sparsity/);
    expect(() => filledRecipe(recipe, {})).toThrow(/no value for "removeChannels.perLayer.conv"/);
  });

  test('dimensions that describe nothing are refused', () => {
    const bad = [
      {},
      { x: { oneOf: [] } },
      { x: { between: [1, 1] } },
      { x: { between: [0, 4], log: true } },
      { x: { between: [0.5, 4], whole: true } },
      { x: { between: [0, 1], step: 2 } },
    ];
    for (const space of bad) expect(() => checkSpace('search', space as never)).toThrow(/search:/);
  });
});
