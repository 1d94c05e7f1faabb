// The pruning criteria by name.
import { magnitude } from './magnitude.ts';

/**
 * What to prune by. Each gives scores, and the lowest go; each goes with any granularity that its level
 * knows, with any scope and any schedule.
 */
export const criteria: {
  magnitude: typeof magnitude;
} = { magnitude };
