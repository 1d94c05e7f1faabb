import fc from 'fast-check';
import { describe, test } from 'vitest';
import { BUILDS, check, expectWithin, inOut, input, reals, run, seeds } from './helpers.ts';

const examples = fc.record({
  size: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.constantFrom(63, 300)),
  rate: fc.constantFrom(0.001, 0.1, 1),
  decay: fc.constantFrom(0, 0.5, 0.9, 0.999),
  epsilon: fc.constantFrom(1e-8, 1e-3),
  flag: fc.boolean(),
  missing: fc.boolean(),
  seed: seeds,
});
type Example = typeof examples extends fc.Arbitrary<infer T> ? T : never;

/** What the state is after a step; the numbers of one weight in, the same names out. */
type Step = (at: Record<string, number>) => Record<string, number>;

const r = Math.fround;

/**
 * Runs a kernel on weights w, gradients g and positive slots, and compares with `step` done for each weight
 * in float64. One gradient may be NaN: it stays with its weight.
 */
function compare(
  { size, seed, missing }: Example,
  slots: string[],
  call: (at: Record<string, number>) => void,
  step: Step,
): void {
  const g = reals(size, seed);
  if (missing) g[seed % size] = Number.NaN;
  const state: Record<string, Float32Array> = { w: reals(size, seed + 1) };
  for (const [i, slot] of slots.entries()) {
    // The mean gradient c is small beside s, as in a run: the root of s - c^2 is never near zero.
    const scale = slot === 'c' ? 0.2 : 1;
    state[slot] = reals(size, seed + 2 + i).map((value) => scale * (Math.abs(value) + 0.1));
  }
  const changed = Object.entries(state).map(([name, values]) => [name, inOut(values)]);
  const results = run({ ...Object.fromEntries(changed), g: input(g) }, call, seed);
  const expected = Array.from(g, (gradient, i) => {
    const own = Object.entries(state).map(([name, values]) => [name, values[i]!]);
    return step({ ...Object.fromEntries(own), g: gradient });
  });
  for (const name of Object.keys(state)) {
    const column = expected.map((values) => values[name]!);
    const scale = (i: number) => 1 + Math.abs(column[i]!) + Math.abs(column[i]! - state[name]![i]!);
    expectWithin(results[name]!, column, (i) => 2e-6 * scale(i));
  }
}

describe.each(BUILDS)('optimizers, $build', ({ kernels }) => {
  test('sgd', () =>
    check(examples, 100, (example) => {
      const scale = r(-example.rate);
      compare(
        example,
        [],
        ({ w, g }) => kernels.sgd(w!, g!, example.size, scale),
        ({ w, g }) => ({ w: w! + scale * g! }),
      );
    }));

  test('momentum', () =>
    check(examples, 100, (example) => {
      const [scale, momentum, nesterov] = [r(-example.rate), r(example.decay), example.flag];
      compare(
        example,
        ['a'],
        ({ w, a, g }) => kernels.momentum(w!, a!, g!, example.size, momentum, scale, nesterov),
        ({ w, a, g }) => {
          const sum = momentum * a! + g!;
          return { a: sum, w: w! + scale * (nesterov ? g! + momentum * sum : sum) };
        },
      );
    }));

  test('rmsprop', () =>
    check(examples, 100, (example) => {
      const [rate, epsilon, momentum] = [r(example.rate), r(example.epsilon), r(0.9)];
      const [decay, rest] = [r(example.decay), r(1 - example.decay)];
      compare(
        example,
        ['s', 'a'],
        ({ w, s, a, g }) =>
          kernels.rmsprop(w!, s!, a!, 0, g!, example.size, decay, rest, momentum, rate, epsilon),
        ({ w, s, a, g }) => {
          const square = decay * s! + rest * g! ** 2;
          const step = momentum * a! + (rate * g!) / Math.sqrt(square + epsilon);
          return { s: square, a: step, w: w! - step };
        },
      );
    }));

  test('rmsprop, centred', () =>
    check(examples, 100, (example) => {
      const [rate, epsilon, momentum] = [r(example.rate), r(example.epsilon), r(0.9)];
      const [decay, rest] = [r(0.5), r(0.5)];
      compare(
        example,
        ['s', 'a', 'c'],
        ({ w, s, a, c, g }) =>
          kernels.rmsprop(w!, s!, a!, c!, g!, example.size, decay, rest, momentum, rate, epsilon),
        ({ w, s, a, c, g }) => {
          const square = decay * s! + rest * g! ** 2;
          const mean = decay * c! + rest * g!;
          const step = momentum * a! + (rate * g!) / Math.sqrt(square - (mean ** 2 + epsilon));
          return { s: square, c: mean, a: step, w: w! - step };
        },
      );
    }));

  test('adam', () =>
    check(examples, 100, (example) => {
      const [scale, epsilon] = [r(-example.rate), r(example.epsilon)];
      const [b1, r1, b2, r2] = [r(example.decay), r(1 - example.decay), r(0.99), r(0.01)];
      const [c1, c2] = [r(0.3), r(0.02)];
      compare(
        example,
        ['m', 'v'],
        ({ w, m, v, g }) =>
          kernels.adam(w!, m!, v!, g!, example.size, b1, r1, b2, r2, c1, c2, epsilon, scale),
        ({ w, m, v, g }) => {
          const first = b1 * m! + r1 * g!;
          const second = b2 * v! + r2 * g! ** 2;
          const step = (scale * (first / c1)) / (Math.sqrt(second / c2) + epsilon);
          return { m: first, v: second, w: w! + step };
        },
      );
    }));

  test('adadelta', () =>
    check(examples, 100, (example) => {
      const [scale, epsilon] = [r(-example.rate), r(example.epsilon)];
      const [rho, rest] = [r(example.decay), r(1 - example.decay)];
      compare(
        example,
        ['s', 'a'],
        ({ w, s, a, g }) =>
          kernels.adadelta(w!, s!, a!, g!, example.size, rho, rest, epsilon, scale),
        ({ w, s, a, g }) => {
          const square = rho * s! + rest * g! ** 2;
          const step = (Math.sqrt(a! + epsilon) / Math.sqrt(square + epsilon)) * g!;
          return { s: square, a: rho * a! + rest * step ** 2, w: w! + scale * step };
        },
      );
    }));
});
