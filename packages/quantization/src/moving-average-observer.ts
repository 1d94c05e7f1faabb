// The range as a moving average over batches.
import { checkOptions, checkRange } from '@thimble/base';
import { copyOf } from './min-max-observer.ts';
import { makeObserver, type Observer, type ObserverOptions, type ValueRange } from './observer.ts';

/** Options of {@link movingAverageObserver}. */
export interface MovingAverageObserverOptions extends ObserverOptions {
  /** Weight of what was before, 0 to 1. Default 0.99. */
  decay?: number;
}

/**
 * The range as an exponential moving average of the batches' smallest and largest values:
 * `min = decay min + (1 - decay) min(batch)`, and the same for `max`. The first batch counts whole (TensorFlow
 * starts from 0 instead).
 *
 * Paper: Jacob et al. 2018, section 3.1.
 *
 * @example
 * const observer = observers.movingAverage({ decay: 0.5 });
 * observer.observe(tf.tensor([0, 6]));
 * observer.observe(tf.tensor([2, 10]));
 * observer.range(); // min 1, max 8
 */
export function movingAverageObserver(options: MovingAverageObserverOptions = {}): Observer {
  checkOptions('observers.movingAverage', options, ['axis', 'decay']);
  const { decay = 0.99 } = options;
  checkRange('observers.movingAverage', 'decay', decay, 0, 1);
  let seen: ValueRange | undefined;
  return makeObserver('observers.movingAverage', options, {
    note(_, batch) {
      const mean = (now: number, before: number) => decay * before + (1 - decay) * now;
      seen = seen
        ? {
            min: batch.min.map((min, i) => mean(min, seen!.min[i]!)),
            max: batch.max.map((max, i) => mean(max, seen!.max[i]!)),
          }
        : copyOf(batch);
    },
    range: () => copyOf(seen!),
    state: () => (seen ? { ...copyOf(seen) } : null),
    restore(state) {
      seen = copyOf(state as unknown as ValueRange);
    },
  });
}
