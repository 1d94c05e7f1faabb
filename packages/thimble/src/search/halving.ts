// Successive halving: Jamieson, Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization",
// 2016; with a factor eta, as in Li et al., "Hyperband", 2018.

/** One round of a bracket: so many are tried, each with this share of the training data. */
export interface Rung {
  trials: number;
  share: number;
}

/**
 * The rungs of a bracket: `size` settings with a share of `eta^-(rungs - 1)` of the training data, of these the best
 * `1 / eta` (rounded down, at least 1) with `eta` times as much, and so on, the last with all of it.
 */
export function rungsOf(size: number, eta: number, rungs: number): Rung[] {
  const list: Rung[] = [];
  for (let k = 0, trials = size; k < rungs; k++) {
    list.push({ trials, share: eta ** (k - rungs + 1) });
    trials = Math.max(1, Math.floor(trials / eta));
  }
  return list;
}

/** How many trials a search makes in all, of `trials` settings that begin. */
export function trialsInAll(trials: number, size: number, eta: number, rungs: number): number {
  let all = 0;
  for (let begun = 0; begun < trials; begun += size) {
    for (const rung of rungsOf(Math.min(size, trials - begun), eta, rungs)) all += rung.trials;
  }
  return all;
}
