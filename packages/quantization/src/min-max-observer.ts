// The range from the smallest to the largest value ever seen.
import { checkOptions } from '@thimble/base';
import { makeObserver, type Observer, type ObserverOptions, type ValueRange } from './observer.ts';

/**
 * The range from the smallest to the largest value of all batches: nothing is ever clipped, and one
 * outlier stretches it for good.
 *
 * @example
 * const observer = observers.minMax();
 * observer.observe(tf.tensor([-5, 1]));
 * observer.observe(tf.tensor([-1, 5]));
 * observer.range(); // min -5, max 5
 */
export function minMaxObserver(options: ObserverOptions = {}): Observer {
  checkOptions('observers.minMax', options, ['axis']);
  let seen: ValueRange | undefined;
  return makeObserver('observers.minMax', options, {
    note(_, batch) {
      seen = {
        min: batch.min.map((min, i) => Math.min(min, seen?.min[i] ?? min)),
        max: batch.max.map((max, i) => Math.max(max, seen?.max[i] ?? max)),
      };
    },
    range: () => copyOf(seen!),
    state: () => (seen ? { ...copyOf(seen) } : null),
    restore(state) {
      seen = copyOf(state as unknown as ValueRange);
    },
  });
}

/** A range that shares nothing with the given one. */
export function copyOf({ min, max }: ValueRange): ValueRange {
  return { min: min.slice(), max: max.slice() };
}
