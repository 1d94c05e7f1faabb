// The tree-structured Parzen estimator: Bergstra, Bardenet, Bengio, Kegl, "Algorithms for Hyper-Parameter
// Optimization", 2011, section 4.
import type { Random } from '@thimble/base';
import { parzen } from './parzen.ts';
import { drawValue, type Settings, type SettingValue, type Space } from './space.ts';

/** Share of the observations that count as good. */
const GAMMA = 0.15;
/** Values drawn of each dimension. */
const CANDIDATES = 24;

/** How many of n observations count as good. */
export function goodOnes(n: number): number {
  return Math.max(1, Math.ceil(GAMMA * n));
}

/**
 * The next settings to try. Observations are divided in the best 15 % and the others, and each has a density, l and
 * g, by Parzen estimators. Values are drawn from l, and of each dimension the one with the largest `l / g` is taken:
 * that is where the expected improvement is largest. Dimensions do not depend on each other.
 *
 * @param observed settings, the best first
 */
export function propose(space: Space, observed: readonly Settings[], random: Random): Settings {
  const good = observed.slice(0, goodOnes(observed.length));
  const others = observed.slice(good.length);
  const chosen: Record<string, SettingValue> = {};
  for (const [name, dimension] of Object.entries(space)) {
    const valuesOf = (list: readonly Settings[]) => list.map((settings) => settings[name]!);
    const l = parzen(dimension, valuesOf(good));
    const g = parzen(dimension, valuesOf(others));
    let best = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < CANDIDATES; i++) {
      const value = l.draw(random);
      const ratio = l.at(value) / g.at(value);
      if (ratio > best) {
        best = ratio;
        chosen[name] = value;
      }
    }
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
