import { OptionError } from '@thimble/base';
import { type SparsityRamp, type SparsitySchedule, sparsitySchedules } from '@thimble/pruning';
import '@thimble/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const { constant, polynomial, exponential, exponentialWithBias, multiStep, oneShot, adaptive } =
  sparsitySchedules;
const at = (steps: number[], schedule: SparsitySchedule) => steps.map(schedule);

describe('polynomial', () => {
  // tensorflow/model-optimization, sparsity/keras/pruning_schedule_test.py: steps and sparsities
  it('is cubic', () => {
    const schedule = polynomial({ initial: 0.2, final: 0.8, begin: 100, end: 110 });
    const power3 = polynomial({ initial: 0.2, final: 0.8, begin: 100, end: 110, power: 3 });
    expect(at([100, 102, 105, 110], schedule)).toBeAllClose([0.2, 0.4928, 0.725, 0.8], 1e-12);
    expect(at([99, 111, 1000], schedule)).toEqual([0, 0.8, 0.8]);
    expect(at([100, 103], power3)).toEqual(at([100, 103], schedule));
    // from 0 where nothing else is said: 0.8 (1 - (1/2)^3)
    expect(polynomial({ final: 0.8, begin: 0, end: 2 })(1)).toBeCloseTo(0.7, 12);
  });

  // tensorflow/model-optimization, core/common/keras/compression/schedules_test.py
  it('is a line with power 1, which may go down', () => {
    const schedule = polynomial({ initial: 0.05, final: 0.001, begin: 0, end: 10, power: 1 });
    expect(at([0, 5, 10, 15], schedule)).toBeAllClose([0.05, 0.0255, 0.001, 0.001], 1e-12);
  });

  // openvinotoolkit/nncf 2.9, tests/torch/sparsity/test_common.py
  it('bends either way', () => {
    const ramp = { initial: 0.1, final: 0.5, begin: 0, end: 3, power: 2 };
    const epochs = [0, 1, 2, 3, 4];
    expect(at(epochs, polynomial({ ...ramp, concave: false }))).toBeAllClose(
      [0.1, 0.14444444444444443, 0.2777777777777778, 0.5, 0.5],
      1e-12,
    );
    expect(at(epochs, polynomial({ ...ramp, concave: true }))).toBeAllClose(
      [0.1, 0.32222222222222224, 0.45555555555555555, 0.5, 0.5],
      1e-12,
    );
  });
});

describe('exponential', () => {
  // openvinotoolkit/nncf 2.9, tests/torch/sparsity/test_common.py
  it('lets the density decay', () => {
    const schedule = exponential({ initial: 0.2, final: 0.6, begin: 0, end: 2 });
    expect(at([0, 1, 2, 3, 5], schedule)).toBeAllClose([0.2, 0.4343145, 0.6, 0.6, 0.6], 1e-7);
  });

  it('takes the same part of what remains at every step', () => {
    // density 1, 1/2, 1/4, 1/8
    const schedule = exponential({ final: 0.875, begin: 4, end: 7 });
    expect(at([3, 4, 5, 6, 7], schedule)).toBeAllClose([0, 0, 0.5, 0.75, 0.875], 1e-12);
  });
});

describe('exponentialWithBias', () => {
  // openvinotoolkit/nncf 2.9, tests/torch/pruning/test_schedulers.py: 3 steps before, 5 of pruning
  it('agrees with NNCF', () => {
    const schedule = exponentialWithBias({ initial: 0.1, final: 0.7, begin: 3, end: 7 });
    expect(at([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], schedule)).toBeAllClose(
      [0, 0, 0, 0.1, 0.6489741, 0.6956869, 0.6996617, 0.7, 0.7, 0.7],
      1e-6,
    );
  });

  it('has three quarters of the final sparsity after an eighth of the way', () => {
    for (const initial of [undefined, 0.3, 0.49]) {
      const ramp = { final: 0.8, begin: 0, end: 8 };
      const schedule = exponentialWithBias(initial ? { ...ramp, initial } : ramp);
      expect(at([0, 1, 8], schedule)).toBeAllClose([initial ?? 0, 0.6, 0.8], 1e-9);
      // exponential: the distances to the asymptote b form a geometric series
      const [x, y, z] = at([1, 2, 3], schedule) as [number, number, number];
      const b = (x * z - y * y) / (x + z - 2 * y);
      expect((schedule(0) - b) / (x - b)).toBeCloseTo((x - b) / (y - b), 5);
    }
  });

  it('says where no such curve exists', () => {
    const ramp = { initial: 0.5, final: 0.7, begin: 0, end: 8 };
    expect(() => exponentialWithBias(ramp)).toThrow('initial must be below 5/7 of final (0.7)');
    expect(() => exponentialWithBias({ ...ramp, initial: 0, final: 0 })).toThrow(OptionError);
    exponentialWithBias({ ...ramp, initial: 0.4999 });
  });
});

it('constant and oneShot wait for their step', () => {
  expect(at([0, 9], constant(0.5))).toEqual([0.5, 0.5]);
  expect(at([0, 9, 10, 99], constant(0.5, { begin: 10 }))).toEqual([0, 0, 0.5, 0.5]);
  expect(at([0, 9, 10, 99], oneShot(0.9, 10))).toEqual([0, 0, 0.9, 0.9]);
});

it('multiStep holds each sparsity until the next', () => {
  const schedule = multiStep({ steps: [2, 4, 5], sparsities: [0.1, 0.5, 0.3] });
  expect(at([0, 1, 2, 3, 4, 5, 100], schedule)).toEqual([0, 0, 0.1, 0.1, 0.5, 0.3, 0.3]);
  expect(at([0, 5], multiStep({ steps: [], sparsities: [] }))).toEqual([0, 0]);
  const wrong = (steps: number[], sparsities: number[]) => () => multiStep({ steps, sparsities });
  expect(wrong([1, 2], [0.1])).toThrow('2 steps need as many sparsities, not 1');
  expect(wrong([2, 2], [0.1, 0.2])).toThrow('steps[1] must be a whole number at least 3, not 2');
  expect(wrong([1, 2], [0.1, 1])).toThrow(
    'sparsities[1] must be a number from 0 to below 1, not 1',
  );
});

describe('adaptive', () => {
  // openvinotoolkit/nncf 2.9, tests/torch/sparsity/test_common.py
  it('agrees with NNCF', () => {
    const achieved = [0.3, 0.2, 0.22, 0.31, 0.34, 0.37, 0.48];
    const next = adaptive({ initial: 0.2, final: 0.4 });
    expect(achieved.map((_, i) => next(achieved.slice(0, i + 1)))).toBeAllClose(
      [0.25, 0.25, 0.3, 0.35, 0.4, 0.4, 0.4],
      1e-12,
    );
    expect(next([])).toBe(0.2);
  });

  it('waits as often as patience says', () => {
    const next = adaptive({ initial: 0.5, final: 0.9, step: 0.25, tolerance: 0, patience: 2 });
    // reached, missed, reached: raised; reached once: not yet; reached again: raised to the final one
    const achieved = [0.5, 0.4, 0.6, 0.75, 0.75];
    expect(achieved.map((_, i) => next(achieved.slice(0, i + 1)))).toEqual([
      0.5, 0.5, 0.75, 0.75, 0.9,
    ]);
  });
});

describe('options', () => {
  const ramps = { polynomial, exponential, exponentialWithBias };
  const ramp = { initial: 0, final: 0.5, begin: 0, end: 10 };

  // tensorflow/model-optimization, sparsity/keras/pruning_schedule_test.py: which are rejected
  describe.each(Object.entries(ramps))('of %s', (name, make: (o: SparsityRamp) => unknown) => {
    it.each([
      ['begin', -1, 1000],
      ['begin', -5, 1000],
      ['end', 10, -5],
      ['end', 10, 5],
      ['end', 10, -1],
    ])('refuse %s of %d to %d', (option, begin, end) => {
      const message = `sparsitySchedules.${name}: ${option} must be a whole number at least`;
      expect(() => make({ ...ramp, begin, end })).toThrow(OptionError);
      expect(() => make({ ...ramp, begin, end })).toThrow(message);
    });

    it.each([
      [0, 0],
      [10, 10],
      [0, 1],
    ])('accept steps %d to %d', (begin, end) => {
      expect(make({ ...ramp, begin, end })).toBeTypeOf('function');
      expect((make({ ...ramp, begin, end }) as SparsitySchedule)(end)).toBe(0.5);
    });

    it('name a sparsity outside [0, 1), or an option that is not one', () => {
      for (const option of ['initial', 'final']) {
        const message = `sparsitySchedules.${name}: ${option} must be a number from 0 to below 1, not 1`;
        expect(() => make({ ...ramp, [option]: 1 })).toThrow(message);
      }
      expect(() => make({ ...ramp, frequency: 1 } as never)).toThrow('unknown option "frequency"');
    });
  });

  it.each([-0.001, -10, 1, 10, Number.NaN])('refuse a sparsity of %d', (sparsity) => {
    expect(() => constant(sparsity)).toThrow('sparsity must be a number from 0 to below 1');
    expect(() => oneShot(sparsity, 0)).toThrow(OptionError);
  });

  it.each([0, 0.001, 0.99])('accept a sparsity of %d', (sparsity) => {
    expect(constant(sparsity)(0)).toBe(sparsity);
    expect(oneShot(sparsity, 0)(0)).toBe(sparsity);
  });

  it('name what else is wrong', () => {
    expect(() => constant(0.5, { begin: -1 })).toThrow('begin must be a whole number at least 0');
    expect(() => oneShot(0.5, 1.5)).toThrow('at must be a whole number');
    expect(() => polynomial({ ...ramp, power: 0 })).toThrow('power must be a number above 0');
    expect(() => adaptive({ initial: 0.5, final: 0.4 })).toThrow('final must be a number at least');
    expect(() => adaptive({ initial: 0, final: 0.4, step: 0 })).toThrow('step must be');
    expect(() => adaptive({ initial: 0, final: 0.4, patience: 0 })).toThrow('patience must be');
    expect(() => adaptive({ initial: 0, final: 0.4, tolerance: -1 })).toThrow('tolerance must be');
  });
});

it('every ramp rises from its initial to its final sparsity and stays in [0, 1)', () => {
  const sparsity = fc.double({ min: 0, max: 0.999, noNaN: true });
  const steps = fc.integer({ min: 0, max: 50 });
  fc.assert(
    fc.property(sparsity, sparsity, steps, steps, (a, b, begin, length) => {
      const [initial, final] = [Math.min(a, b), Math.max(a, b)];
      const ramp = { initial, final, begin, end: begin + length };
      const schedules = [
        polynomial(ramp),
        polynomial({ ...ramp, concave: false }),
        exponential(ramp),
      ];
      if (initial < 0.7 * final) schedules.push(exponentialWithBias(ramp));
      for (const schedule of schedules) {
        const levels = Array.from({ length: length + 2 }, (_, i) => schedule(begin + i));
        if (length > 0) expect(levels[0]).toBeCloseTo(initial, 9);
        expect(levels.slice(-2)).toEqual([final, final]);
        levels.forEach((level, i) => {
          if (i > 0) expect(level).toBeGreaterThanOrEqual(levels[i - 1]! - 1e-9);
        });
      }
    }),
    { seed: 7 },
  );
});
