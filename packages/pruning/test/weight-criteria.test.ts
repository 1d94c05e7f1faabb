import * as tf from '@tensorflow/tfjs-core';
import { OptionError, Random } from '@thimble/base';
import { criteria, type WeightCriterion } from '@thimble/pruning';
import { useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';
import { unitScores } from '../src/unit-masks.ts';
import { weightEvidence } from './evidence.ts';

useCpu();

const score = (criterion: WeightCriterion, ...given: Parameters<typeof weightEvidence>) =>
  criterion.score(weightEvidence(...given));

/** Which entries a threshold lets go, each for itself. */
function gone(criterion: WeightCriterion, ...given: Parameters<typeof weightEvidence>): number[] {
  const evidence = weightEvidence(...given);
  const limit = criterion.threshold!(evidence);
  return Array.from(criterion.score(evidence)).flatMap((value, i) => (value < limit ? [i] : []));
}

describe('magnitude', () => {
  // One unit of three entries: 3, -4, 0.
  it.each([
    ['mean', 7 / 3],
    ['l1', 7],
    ['l2', 5],
    ['max', 4],
  ] as const)('reduces a unit by %s', (norm, expected) => {
    const criterion = criteria.magnitude({ norm });
    const scores = score(criterion, [3, -4, 0]);
    const units = { count: 1, of: new Int32Array(3), sizes: Int32Array.of(3) };
    const kept = Uint8Array.of(1, 1, 1);
    const [reduced] = unitScores({ scores, kept, reduction: criterion.reduction! }, units);
    expect(reduced).toBeCloseTo(expected, 12);
  });

  it('refuses an unknown norm', () => {
    expect(() => criteria.magnitude({ norm: 'l3' as 'l2' })).toThrow(
      'criteria.magnitude: norm must be one of mean, l1, l2, max, not "l3"',
    );
  });
});

describe('lamp', () => {
  it('is the share of an entry in all that are not smaller', () => {
    // Lee et al., equation 2, by hand: squares 9, 1, 4, 0 and the sums 9, 14, 13, 14.
    const scores = Array.from(score(criteria.lamp(), [3, -1, 2, 0]));
    expect(scores).toEqual([1, 1 / 14, 4 / 13, 0].map((value) => expect.closeTo(value, 12)));
    // Of equal ones the first goes first.
    expect(Array.from(score(criteria.lamp(), [2, -2]))).toEqual([0.5, 1]);
  });

  it('is what sorting by comparisons gives, over all sizes of numbers, equal ones and zeros included', () => {
    const random = new Random('lamp');
    const values = Float32Array.from({ length: 5000 }, (_, i) =>
      i % 3 === 0
        ? Math.round(random.normal() * 3)
        : random.normal() * 10 ** random.uniform(-20, 20),
    );
    const expected = new Float64Array(values.length);
    let sum = 0;
    const falling = [...values.keys()].sort(
      (a, b) => Math.abs(values[b]!) - Math.abs(values[a]!) || b - a,
    );
    for (const i of falling) {
      sum += values[i]! ** 2;
      expected[i] = values[i] === 0 ? 0 : values[i]! ** 2 / sum;
    }
    expect(score(criteria.lamp(), Array.from(values))).toEqual(expected);
  });

  it('leaves what is no number by itself, so that its place is known', () => {
    expect(Array.from(score(criteria.lamp(), [1, Number.NaN, 2]))).toEqual([0.2, Number.NaN, 1]);
  });
});

describe('threshold', () => {
  it('lets go what is below the value, and keeps what is equal to it', () => {
    expect(gone(criteria.threshold({ value: 0.5 }), [0.4, -0.4, 0.5, -0.5, 0.6])).toEqual([0, 1]);
  });

  it.each([-1, Number.NaN, Number.POSITIVE_INFINITY])('refuses the value %s', (value) => {
    expect(() => criteria.threshold({ value })).toThrow(OptionError);
  });
});

describe('percentile', () => {
  // numpy: numpy.percentile([1, 2, 3, 4], [0, 25, 40, 50, 100]) = 1, 1.75, 2.2, 2.5, 4
  it.each([
    [0, 1],
    [25, 1.75],
    [40, 2.2],
    [50, 2.5],
    [100, 4],
  ])('lies at %s percent as in numpy', (percent, expected) => {
    const limit = criteria.percentile({ percent }).threshold!(weightEvidence([3, -1, 4, -2]));
    expect(limit).toBeCloseTo(expected, 12);
  });

  it('counts only what is kept', () => {
    const evidence = weightEvidence([0, 0, 3, -1, 4, -2], { kept: [0, 0, 1, 1, 1, 1] });
    expect(criteria.percentile({ percent: 50 }).threshold!(evidence)).toBe(2.5);
  });

  it('leaves the evidence as it was', () => {
    const evidence = weightEvidence([3, -1, 4, -2]);
    criteria.percentile({ percent: 50 }).threshold!(evidence);
    expect(Array.from(evidence.values)).toEqual([3, -1, 4, -2]);
  });

  it('refuses what is no percentage', () => {
    expect(() => criteria.percentile({ percent: 101 })).toThrow('percent must be a number from 0');
  });
});

describe('deviations', () => {
  // The mean of 1, 2, 3, 6 is 3, the variance (4 + 1 + 0 + 9) / 4 = 3.5.
  it('sets the threshold at q standard deviations of what is kept', () => {
    const evidence = weightEvidence([1, 0, 2, 3, 0, 6], { kept: [1, 0, 1, 1, 0, 1] });
    const limit = criteria.deviations({ q: 0.5 }).threshold!(evidence);
    expect(limit).toBeCloseTo(0.5 * Math.sqrt(3.5), 12);
  });

  it('compares magnitudes, so that negative weights are not lost', () => {
    // Around their mean 0 the deviation of 1, -1, 3, -3 is sqrt(5).
    expect(gone(criteria.deviations({ q: 1 }), [1, -1, 3, -3])).toEqual([0, 1]);
  });

  it('refuses a negative q', () => {
    expect(() => criteria.deviations({ q: -1 })).toThrow('q must be a number at least 0');
  });
});

describe('random', () => {
  it('is the same for the same seed only', () => {
    const values = new Array<number>(50).fill(1);
    const draw = (seed: number) => Array.from(score(criteria.random(), values, { seed }));
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
  });

  it('gives large and small units the same chance', () => {
    // 400 units of 1 entry and 400 of 25; of the lower half of all units either kind should make up half.
    const count = 800;
    const of = Int32Array.from({ length: 400 + 400 * 25 }, (_, i) =>
      i < 400 ? i : 400 + Math.floor((i - 400) / 25),
    );
    const sizes = Int32Array.from({ length: count }, (_, unit) => (unit < 400 ? 1 : 25));
    const scores = score(criteria.random(), new Array<number>(of.length).fill(1), { seed: 3 });
    const kept = new Uint8Array(of.length).fill(1);
    for (const share of [0.1, 0.5, 0.9]) {
      const reduced = unitScores({ scores, kept, reduction: 'mean' }, { count, of, sizes });
      const cut = reduced.toSorted()[share * count]!;
      const small = reduced.subarray(0, 400).filter((value) => value < cut).length;
      // Hypergeometric: mean 400 * share, standard deviation at most 7.1.
      expect(Math.abs(small - 400 * share)).toBeLessThan(4 * 7.1);
    }
  });
});

describe('gradients', () => {
  const weights = [2, -3, 0.5, 0];
  const gradient = [-1, 0.5, 4, 9];

  it('taylorWeight squares weight times gradient', () => {
    expect(score(criteria.taylorWeight(), weights, { gradient })).toBeAllClose([4, 2.25, 4, 0]);
    expect(criteria.taylorWeight()).toMatchObject({ needs: ['gradients'], reduction: 'mean' });
  });

  it('snip takes the magnitude of weight times gradient, from 100 examples', () => {
    expect(score(criteria.snip(), weights, { gradient })).toBeAllClose([2, 1.5, 2, 0]);
    expect(criteria.snip()).toMatchObject({ needs: ['gradients'], examples: 100 });
  });
});

describe('training steps', () => {
  /** Runs `accumulate` over steps of weights and gradients from a history of 0. */
  function accumulated(criterion: WeightCriterion, steps: [number[], number[]][]): number[] {
    return tf.tidy(() => {
      let running: tf.Tensor = tf.zeros([2]);
      for (const [weight, gradient] of steps) {
        running = criterion.accumulate!(running, tf.tensor1d(weight), tf.tensor1d(gradient));
      }
      const history = Array.from(running.dataSync());
      return Array.from(score(criterion, [7, 7], { history }));
    });
  }

  it('movement adds up -w * g', () => {
    const steps: [number[], number[]][] = [
      [
        [1, -2],
        [0.5, 0.5],
      ],
      [
        [2, -1],
        [-1, 3],
      ],
    ];
    // -(0.5) - (-2) = 1.5; -(-1) - (-3) = 4
    expect(accumulated(criteria.movement(), steps)).toBeAllClose([1.5, 4]);
  });

  it('movement is high where gradient descent leads away from zero', () => {
    // For w > 0 and g < 0 a step w - lr * g is larger than w.
    const [away, towards] = accumulated(criteria.movement(), [
      [
        [1, 1],
        [-1, 1],
      ],
    ]);
    expect(away).toBeGreaterThan(0);
    expect(towards).toBeLessThan(0);
  });

  it('gradientTimesWeight is the running mean of |g * w|', () => {
    const steps: [number[], number[]][] = [
      [
        [1, -2],
        [2, 3],
      ],
      [
        [2, 1],
        [-2, 0],
      ],
    ];
    // 0.75 * (0.25 * 2) + 0.25 * 4 = 1.375; 0.75 * (0.25 * 6) = 1.125
    const criterion = criteria.gradientTimesWeight({ decay: 0.75 });
    expect(accumulated(criterion, steps)).toBeAllClose([1.375, 1.125]);
  });

  it('gradientTimesWeight keeps 9 tenths unless told otherwise', () => {
    expect(
      accumulated(criteria.gradientTimesWeight(), [
        [
          [1, 1],
          [1, -3],
        ],
      ]),
    ).toBeAllClose([0.1, 0.3]);
  });

  it('refuses a decay that would see no step', () => {
    expect(() => criteria.gradientTimesWeight({ decay: 1 })).toThrow('decay must be below 1');
    expect(() => criteria.gradientTimesWeight({ decay: -0.1 })).toThrow(OptionError);
  });
});

// Zhou et al. 2019, section 2: the mask criteria M(w_i, w_f).
describe('weights before and after training', () => {
  const initial = [1, -1, 2, -2, 0, 0];
  const values = [3, 2, -1, -2.5, 2, -2];

  it.each([
    ['magnitudeIncrease', criteria.magnitudeIncrease(), [2, 1, -1, 0.5, 2, 2]],
    ['initialMagnitude', criteria.initialMagnitude(), [1, 1, 2, 2, 0, 0]],
    ['travel', criteria.travel(), [2, 3, 3, 0.5, 2, 2]],
    // sign(0) is +1.
    ['sameSign', criteria.sameSign(), [3, 0, 0, 2.5, 2, 0]],
  ] as const)('%s', (name, criterion, expected) => {
    expect(criterion).toMatchObject({ name, needs: ['initial'] });
    expect(score(criterion, values, { initial })).toBeAllClose(expected);
  });
});

it('no criterion takes options that it does not know', () => {
  const none = [
    () => criteria.deviations({ q: 1, scope: 'x' } as { q: number }),
    () => criteria.threshold({ value: 1, p: 2 } as { value: number }),
    () => criteria.percentile({ percent: 1, p: 2 } as { percent: number }),
    () => criteria.gradientTimesWeight({ decays: 1 } as { decay?: number }),
    () => criteria.apoz({ q: 1 } as { deviations?: number }),
    () => criteria.taylor({ norm: 1 } as { normalize?: boolean }),
    () => criteria.lasso({ step: 1 } as { steps?: number }),
    () => criteria.nisp({ rank: 1 } as object),
  ];
  for (const make of none) expect(make).toThrow(/unknown option/);
});

it('no criterion changes its evidence', () => {
  const given = {
    gradient: [-1, 2, 3, 1],
    history: [4, -5, 6, 1],
    initial: [-7, 8, 9, 1],
    shape: [2, 2],
  };
  const all: WeightCriterion[] = [
    criteria.magnitude({ norm: 'l2' }),
    criteria.percentile({ percent: 30 }),
    criteria.deviations({ q: 1 }),
    criteria.random(),
    criteria.taylorWeight(),
    criteria.snip(),
    criteria.movement(),
    criteria.magnitudeIncrease(),
    criteria.initialMagnitude(),
    criteria.travel(),
    criteria.sameSign(),
    criteria.normalized(criteria.movement()),
    criteria.connected(criteria.movement()),
  ];
  for (const criterion of all) {
    const evidence = weightEvidence([1, -2, 3, -4], given);
    criterion.score(evidence);
    criterion.threshold?.(evidence);
    const { random: _, ...after } = evidence;
    const { random: __, ...before } = weightEvidence([1, -2, 3, -4], given);
    expect(after, criterion.name).toEqual(before);
  }
});
