// The observers by name.
import { klObserver, mseObserver, percentileObserver } from './histogram-observers.ts';
import { minMaxObserver } from './min-max-observer.ts';
import { movingAverageObserver } from './moving-average-observer.ts';

/**
 * Watches over values, to find the range to quantise them over:
 *
 * - `minMax`: from the smallest to the largest
 * - `movingAverage`: their moving average over batches
 * - `percentile`: without the outermost
 * - `mse`: the range with the smallest squared error
 * - `kl`: the range with the smallest Kullback-Leibler divergence
 *
 * @namespace
 * @example
 * const observer = observers.percentile({ percentile: 99.9, axis: -1 });
 * observer.observe(tf.randomNormal([32, 8], 0, 1, 'float32', 1));
 * const { min, max } = observer.range(); // 8 of each
 */
export const observers: {
  minMax: typeof minMaxObserver;
  movingAverage: typeof movingAverageObserver;
  percentile: typeof percentileObserver;
  mse: typeof mseObserver;
  kl: typeof klObserver;
} = {
  minMax: minMaxObserver,
  movingAverage: movingAverageObserver,
  percentile: percentileObserver,
  mse: mseObserver,
  kl: klObserver,
};
