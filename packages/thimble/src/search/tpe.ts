// The tree-structured Parzen estimator: Bergstra, Bardenet, Bengio, Kegl, "Algorithms for Hyper-Parameter
// Optimization", 2011, section 4.
import type { Random } from '@thimble/base';
import { parzen } from './parzen.ts';
import { drawValue, type Settings, type Space } from './space.ts';

/** Share of the observations that count as good. */
const GAMMA = 0.15;
/** Settings drawn, of which the best is taken. */
const CANDIDATES = 24;

/**
 * How many of n observations of settings of d dimensions count as good, and how many as others: 15 % and the rest, but d + 1
 * of both at least, as far as there are so many; then some count twice. So in BOHB (Falkner, Klein, Hutter, 2018, section
 * 4.1).
 */
export function divided(n: number, d: number): { good: number; others: number } {
  const least = Math.min(n, d + 1);
  const good = Math.max(least, Math.ceil(GAMMA * n));
  return { good, others: Math.max(least, n - good) };
}

/**
 * The next settings to try. Observations are divided in the best and the others, and each dimension has a density for both,
 * l and g, by Parzen estimators. Whole settings are drawn from l, and those with the largest product of `l / g` over the
 * dimensions are taken: that is where the expected improvement is largest. (A choice for each dimension by itself would
 * take the outermost value of each.)
 *
 * @param observed settings, the best first
 */
export function propose(space: Space, observed: readonly Settings[], random: Random): Settings {
  const names = Object.keys(space);
  const counts = divided(observed.length, names.length);
  const densities = (list: readonly Settings[]) =>
    names.map((name) =>
      parzen(
        space[name]!,
        list.map((settings) => settings[name]!),
      ),
    );
  const l = densities(observed.slice(0, counts.good));
  const g = densities(observed.slice(observed.length - counts.others));
  let chosen: Settings = {};
  let best = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < CANDIDATES; i++) {
    const values = l.map((density) => density.draw(random));
    const gain = values.reduce<number>(
      (sum, value, d) => sum + Math.log(l[d]!.at(value) / g[d]!.at(value)),
      0,
    );
    if (gain <= best) continue;
    best = gain;
    chosen = Object.fromEntries(names.map((name, d) => [name, values[d]!]));
  }
  return chosen;
}

/** Settings with no knowledge. */
export function drawSettings(space: Space, random: Random): Settings {
  const entries = Object.entries(space);
  return Object.fromEntries(
    entries.map(([name, dimension]) => [name, drawValue(dimension, random)]),
  );
}
