// Parzen estimators of one dimension, as TPE has them: Bergstra et al., 2011, section 4.2.
import type { Random } from '@thimble/base';
import { type Dimension, intervalOf, type SettingValue } from './space.ts';

/** A density over the values of a dimension. */
export interface Density {
  /** Its value at a number; the probability of a whole number or of a value of a list. */
  at(value: SettingValue): number;
  draw(random: Random): SettingValue;
}

/**
 * The density that observed values tell.
 *
 * - Of a list of N values: `(1 + count) / (N + all counts)`, the prior being uniform.
 * - Of numbers: the mean of the uniform prior on [low, high] and a Gaussian at each observation, cut off at the
 *   bounds. Its deviation is the greater of the distances to the neighbours on both sides (the bounds count), at
 *   least `(high - low) / min(100, 1 + observations)`. Whole numbers have the mass of half a step on both sides, and
 *   `log` works on logarithms.
 */
export function parzen(dimension: Dimension, observed: readonly SettingValue[]): Density {
  if ('oneOf' in dimension) return categorical(dimension.oneOf, observed);
  const interval = intervalOf(dimension);
  const { low, high, place, value } = interval;
  const means = observed.map((each) => place(each as number)).sort((a, b) => a - b);
  const least = (high - low) / Math.min(100, 1 + means.length);
  const bells = means.map((mean, i) => {
    const left = mean - (means[i - 1] ?? low);
    const right = (means[i + 1] ?? high) - mean;
    const deviation = Math.min(high - low, Math.max(left, right, least));
    const from = normalCdf((low - mean) / deviation);
    const mass = normalCdf((high - mean) / deviation) - from;
    return { mean, deviation, from, mass };
  });
  const parts = bells.length + 1;
  const density = (at: number) =>
    bells.reduce(
      (sum, { mean, deviation, mass }) =>
        sum + normalPdf((at - mean) / deviation) / (deviation * mass),
      1 / (high - low),
    ) / parts;
  const below = (at: number) =>
    bells.reduce(
      (sum, { mean, deviation, from, mass }) =>
        sum + (normalCdf((at - mean) / deviation) - from) / mass,
      (at - low) / (high - low),
    ) / parts;
  return {
    at: (given) => {
      const number = given as number;
      if (!dimension.whole) return density(place(number));
      return below(place(number + 0.5)) - below(place(number - 0.5));
    },
    draw: (random) => {
      const part = random.integer(parts);
      const bell = bells[part];
      if (!bell) return value(random.uniform(low, high));
      for (;;) {
        const at = random.normal(bell.mean, bell.deviation);
        if (at >= low && at <= high) return value(at);
      }
    },
  };
}

function categorical(values: readonly SettingValue[], observed: readonly SettingValue[]): Density {
  const all = values.length + observed.length;
  const count = (value: SettingValue) => observed.filter((each) => each === value).length;
  const shares = values.map((value) => (1 + count(value)) / all);
  return {
    at: (value) => shares[values.indexOf(value)] ?? 0,
    draw: (random) => {
      let left = random.uniform();
      const found = shares.findIndex((share) => {
        left -= share;
        return left < 0;
      });
      return values.at(found)!; // -1, where rounding left something: the last
    },
  };
}

function normalPdf(z: number): number {
  return Math.exp(-0.5 * z * z) / Math.sqrt(2 * Math.PI);
}

/** Phi(z), to 1e-15: the series around 0, the continued fraction far out. */
export function normalCdf(z: number): number {
  const size = Math.abs(z);
  if (size < 4) {
    let [term, sum] = [z, z];
    for (let n = 1; Math.abs(term) > 1e-17; n++) {
      term *= (z * z) / (2 * n + 1);
      sum += term;
    }
    return 0.5 + normalPdf(z) * sum;
  }
  let fraction = 0;
  for (let n = 60; n >= 1; n--) fraction = n / (size + fraction);
  const tail = normalPdf(size) / (size + fraction);
  return z > 0 ? 1 - tail : tail;
}
