// How much is pruned over the course of training.
import { checkInteger, checkOptions, checkRange, OptionError } from '@thimble/base';

/**
 * The sparsity at a step: the fraction of weights that is pruned, from 0 to below 1. A step counts what
 * the caller counts: optimizer steps, epochs, rounds of pruning.
 */
export type SparsitySchedule = (step: number) => number;

/** A way from one sparsity to another, and when it is walked. */
export interface SparsityRamp {
  /** Sparsity at the step `begin`, default 0; before it the sparsity is 0. */
  initial?: number;
  /** Sparsity from the step `end` on. */
  final: number;
  /** A whole number of steps, at least 0. */
  begin: number;
  /** A whole number of steps, not before `begin`; equal to it: the final sparsity at once. */
  end: number;
}

/** Options of `sparsitySchedules.polynomial`. */
export interface PolynomialSparsity extends SparsityRamp {
  /** Exponent, above 0; default 3, 1 is a straight line. */
  power?: number;
  /** True (default): steep at the beginning. False: steep at the end. */
  concave?: boolean;
}

/** Options of `sparsitySchedules.adaptive`. */
export interface AdaptiveSparsity {
  /** Sparsity asked for at first. */
  initial: number;
  /** Sparsity that is never passed; not below `initial`. */
  final: number;
  /** By how much the sparsity is raised, above 0; default 0.05. */
  step?: number;
  /** How far the achieved sparsity may stay behind and still count as reached; default 0.03. */
  tolerance?: number;
  /** How often it must be reached before it is raised; default 1. */
  patience?: number;
}

/** `sparsity` from the step `begin` (default 0) on, 0 before. */
function constant(sparsity: number, options: { begin?: number } = {}): SparsitySchedule {
  checkOptions('sparsitySchedules.constant', options, ['begin']);
  const { begin = 0 } = options;
  checkSparsity('sparsitySchedules.constant', 'sparsity', sparsity);
  checkInteger('sparsitySchedules.constant', 'begin', begin, 0);
  return (step) => (step < begin ? 0 : sparsity);
}

/**
 * `final + (initial - final) * (1 - p)^power`, with p from 0 at `begin` to 1 at `end`; with
 * `concave: false` it is `initial + (final - initial) * p^power`. 0 before `begin`.
 *
 * Paper: Zhu, Gupta, "To prune, or not to prune", 2017, equation 1, where the power is 3.
 */
function polynomial(options: PolynomialSparsity): SparsitySchedule {
  const owner = 'sparsitySchedules.polynomial';
  checkRamp(owner, options, ['power', 'concave']);
  const { initial = 0, final, power = 3, concave = true } = options;
  checkAboveZero(owner, 'power', power);
  return ramp(options, (p) =>
    concave
      ? final + (initial - final) * (1 - p) ** power
      : initial + (final - initial) * p ** power,
  );
}

/**
 * The density, which is 1 - sparsity, decays exponentially:
 * `1 - (1 - initial) * ((1 - final) / (1 - initial))^p`, with p from 0 at `begin` to 1 at `end`. At every
 * step the same fraction of the remaining weights goes. 0 before `begin`.
 */
function exponential(options: SparsityRamp): SparsitySchedule {
  checkRamp('sparsitySchedules.exponential', options);
  const { initial = 0, final } = options;
  return ramp(options, (p) => 1 - (1 - initial) * ((1 - final) / (1 - initial)) ** p);
}

/**
 * `a * exp(-k p) + b`, with p from 0 at `begin` to 1 at `end`, where a, b and k are such that it is
 * `initial` at p = 0, 3/4 of `final` at p = 1/8 and `final` at p = 1: most goes early on. 0 before
 * `begin`. `initial` must be below 5/7 of `final`.
 *
 * Paper: He, Dong, Kang, Fu, Yan, Yang, "Asymptotic Soft Filter Pruning for Deep Convolutional Neural
 * Networks", 2018.
 */
function exponentialWithBias(options: SparsityRamp): SparsitySchedule {
  const owner = 'sparsitySchedules.exponentialWithBias';
  checkRamp(owner, options);
  const { initial = 0, final } = options;
  if (7 * initial >= 5 * final) {
    throw new OptionError(
      `${owner}: initial must be below 5/7 of final (${final}), not ${initial}; a curve that bends ` +
        'this way exists only there. Use polynomial.',
    );
  }
  // With y = exp(-k/8) the last two conditions give (1 - y^8) / (1 - y) = 1 + y + ... + y^7 = ratio.
  const first = 0.75 * final - initial;
  const ratio = (final - initial) / first;
  const y = bisect((x) => (1 - x ** 8) / (1 - x) - ratio);
  return ramp(options, (p) => initial + (first * (1 - y ** (8 * p))) / (1 - y));
}

/** `sparsities[i]` from the step `steps[i]` on, until the next; 0 before the first. */
function multiStep(options: {
  steps: readonly number[];
  sparsities: readonly number[];
}): SparsitySchedule {
  const owner = 'sparsitySchedules.multiStep';
  checkOptions(owner, options, ['steps', 'sparsities']);
  const { steps, sparsities } = options;
  if (steps.length !== sparsities.length) {
    throw new OptionError(
      `${owner}: ${steps.length} steps need as many sparsities, not ${sparsities.length}.`,
    );
  }
  steps.forEach((step, i) => {
    checkInteger(owner, `steps[${i}]`, step, i === 0 ? 0 : steps[i - 1]! + 1);
    checkSparsity(owner, `sparsities[${i}]`, sparsities[i]!);
  });
  return (step) => {
    const next = steps.findIndex((begin) => begin > step);
    return sparsities[(next < 0 ? steps.length : next) - 1] ?? 0;
  };
}

/** All at once: 0 before the step `at`, `sparsity` from then on. */
function oneShot(sparsity: number, at: number): SparsitySchedule {
  checkSparsity('sparsitySchedules.oneShot', 'sparsity', sparsity);
  checkInteger('sparsitySchedules.oneShot', 'at', at, 0);
  return (step) => (step < at ? 0 : sparsity);
}

/**
 * The sparsity to ask for next, given those that have been achieved so far, oldest first: raised by
 * `step` when the last sparsity asked for was reached, to within `tolerance`, `patience` times. For
 * regularisers, which cannot be told how many weights to prune.
 *
 * Source: NNCF, adaptive sparsity scheduler.
 *
 * @example
 * const next = sparsitySchedules.adaptive({ initial: 0.2, final: 0.4 });
 * next([]); // 0.2
 * next([0.3]); // 0.25
 */
function adaptive(options: AdaptiveSparsity): (achieved: readonly number[]) => number {
  const owner = 'sparsitySchedules.adaptive';
  checkOptions(owner, options, ['initial', 'final', 'step', 'tolerance', 'patience']);
  const { initial, final, step = 0.05, tolerance = 0.03, patience = 1 } = options;
  checkSparsity(owner, 'initial', initial);
  checkSparsity(owner, 'final', final);
  checkRange(owner, 'final', final, initial);
  checkAboveZero(owner, 'step', step);
  checkRange(owner, 'tolerance', tolerance, 0);
  checkInteger(owner, 'patience', patience, 1);
  return (achieved) => {
    let level = initial;
    let reached = 0;
    for (const sparsity of achieved) {
      if (sparsity >= level - tolerance) reached++;
      if (reached < patience) continue;
      reached = 0;
      level = Math.min(level + step, final);
    }
    return level;
  };
}

/**
 * Sparsity schedules. All sparsities are from 0 to below 1.
 *
 * @namespace
 * @example
 * const schedule = sparsitySchedules.polynomial({ initial: 0.2, final: 0.8, begin: 100, end: 110 });
 * schedule(105); // 0.725
 */
export const sparsitySchedules: {
  constant: typeof constant;
  polynomial: typeof polynomial;
  exponential: typeof exponential;
  exponentialWithBias: typeof exponentialWithBias;
  multiStep: typeof multiStep;
  oneShot: typeof oneShot;
  adaptive: typeof adaptive;
} = { constant, polynomial, exponential, exponentialWithBias, multiStep, oneShot, adaptive };

function checkSparsity(owner: string, name: string, value: number): void {
  if (!(value >= 0 && value < 1)) {
    throw new OptionError(`${owner}: ${name} must be a number from 0 to below 1, not ${value}.`);
  }
}

function checkAboveZero(owner: string, name: string, value: number): void {
  if (!(value > 0 && value < Number.POSITIVE_INFINITY)) {
    throw new OptionError(`${owner}: ${name} must be a number above 0, not ${value}.`);
  }
}

function checkRamp(owner: string, options: SparsityRamp, further: string[] = []): void {
  checkOptions(owner, options, ['initial', 'final', 'begin', 'end', ...further]);
  const { initial = 0, final, begin, end } = options;
  checkSparsity(owner, 'initial', initial);
  checkSparsity(owner, 'final', final);
  checkInteger(owner, 'begin', begin, 0);
  checkInteger(owner, 'end', end, begin);
}

/** 0 before `begin`, `level(p)` on the way, exactly `final` from `end` on. */
function ramp({ final, begin, end }: SparsityRamp, level: (p: number) => number): SparsitySchedule {
  return (step) => {
    if (step < begin) return 0;
    return step >= end ? final : level((step - begin) / (end - begin));
  };
}

/** The zero in (0, 1) of a function that increases from below 0 to above 0. */
function bisect(f: (x: number) => number): number {
  let low = 0;
  let high = 1;
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (middle <= low || middle >= high) break;
    if (f(middle) < 0) low = middle;
    else high = middle;
  }
  return low;
}
