// Ranges that leave out outliers, found from histograms.
import { checkInteger, checkOptions, checkRange } from '@thimble/base';
import type { StateValue } from '@thimble/core';
import { Histogram } from './histogram.ts';
import { makeObserver, type Observer, type ObserverOptions } from './observer.ts';

/** Options of observers that count values in bins. */
export interface HistogramObserverOptions extends ObserverOptions {
  /** Bins per range, 2 or more. Default 2048. */
  bins?: number;
}

/** Options of {@link percentileObserver}. */
export interface PercentileObserverOptions extends HistogramObserverOptions {
  /** Percent of the values that lie below the range's upper end, above 50. Default 99.99. */
  percentile?: number;
}

/** Options of {@link mseObserver} and {@link klObserver}. */
export interface SearchObserverOptions extends HistogramObserverOptions {
  /** Bits that the values are to be quantised to, 2 to 16. Default 8. */
  bits?: number;
}

/** Options of {@link mseObserver}. */
export interface MseObserverOptions extends SearchObserverOptions {
  /** True for a range [-a, a]. Default false. */
  symmetric?: boolean;
}

/**
 * The range between two percentiles: `100 - percentile` percent of the values lie below it and as many
 * above; within a bin they are taken to be spread evenly.
 *
 * @example
 * const observer = observers.percentile({ percentile: 99 });
 * observer.observe(tf.linspace(0, 100, 1001));
 * observer.range(); // about 1 to 99
 */
export function percentileObserver(options: PercentileObserverOptions = {}): Observer {
  checkOptions('observers.percentile', options, [...KNOWN, 'percentile']);
  const { percentile = 99.99 } = options;
  checkRange('observers.percentile', 'percentile', percentile, 50, 100);
  return histogramObserver('observers.percentile', options, (histogram) => [
    quantile(histogram, 1 - percentile / 100),
    quantile(histogram, percentile / 100),
  ]);
}

/**
 * The range that loses least: of 100 evenly spaced lower ends and as many upper ends, from 0 out to the
 * extremes, those with the smallest sum of squared errors of rounding and clipping, first the upper end,
 * then the lower, then the upper again. With `symmetric` both ends move together. Every value counts as
 * the middle of its bin.
 *
 * @example
 * const observer = observers.mse({ bits: 4, symmetric: true });
 * observer.observe(tf.randomNormal([10000], 0, 1, 'float32', 1));
 * observer.range(); // about -2.5 to 2.5
 */
export function mseObserver(options: MseObserverOptions = {}): Observer {
  checkOptions('observers.mse', options, [...KNOWN, 'bits', 'symmetric']);
  const { bits = 8, symmetric = false } = options;
  checkInteger('observers.mse', 'bits', bits, 2, 16);
  return histogramObserver('observers.mse', options, (histogram) => {
    const levels = 2 ** bits - 1;
    const { min, max } = histogram;
    if (symmetric) {
      const most = Math.max(-min, max);
      const end = best(most, (a) => squaredError(histogram, -a, a, levels));
      return [-end, end];
    }
    let low = Math.min(0, min);
    let high = Math.max(0, max);
    const [lowest, highest] = [low, high];
    const searchHigh = () => best(highest, (end) => squaredError(histogram, low, end, levels));
    if (highest > 0) high = searchHigh();
    if (lowest < 0) low = best(lowest, (end) => squaredError(histogram, end, high, levels));
    if (highest > 0 && lowest < 0) high = searchHigh();
    return [low, high];
  });
}

/**
 * The range whose quantised distribution tells most about the real one: the magnitude t, among 128 that
 * are evenly spaced between the number of levels and the number of bins, with the smallest
 * Kullback-Leibler divergence `sum p log(p / q)`. p is the distribution of |x| with everything beyond t
 * counted at t; q the same put into as many levels as the codes have on one side and spread evenly again
 * over the bins that are not empty. The range is [-t, t] cut to the values seen, [0, t] without negative
 * ones.
 *
 * After S. Migacz, "8-bit inference with TensorRT", 2017.
 *
 * @example
 * const observer = observers.kl();
 * observer.observe(tf.randomNormal([10000], 0, 1, 'float32', 1));
 * observer.range();
 */
export function klObserver(options: SearchObserverOptions = {}): Observer {
  checkOptions('observers.kl', options, [...KNOWN, 'bits']);
  const { bits = 8 } = options;
  checkInteger('observers.kl', 'bits', bits, 2, 16);
  return histogramObserver('observers.kl', options, (histogram) => {
    const { min, max } = histogram;
    const levels = min < 0 && max > 0 ? 2 ** (bits - 1) : 2 ** bits;
    const magnitudes = foldAtZero(histogram);
    const bins = magnitudes.counts.length;
    let end = magnitudes.max;
    let least = Number.POSITIVE_INFINITY;
    const stride = Math.max(1, Math.floor((bins - levels) / CANDIDATES));
    for (let kept = bins; kept >= levels; kept -= stride) {
      const divergence = divergenceOf(magnitudes.counts, kept, levels);
      if (divergence < least) {
        least = divergence;
        end = kept * magnitudes.width;
      }
    }
    return [Math.max(min, -end), Math.min(max, end)];
  });
}

const CANDIDATES = 128;
const DEFAULT_BINS = 2048;
const KNOWN = ['axis', 'bins'];

function histogramObserver(
  owner: string,
  options: HistogramObserverOptions,
  search: (histogram: Histogram) => [min: number, max: number],
): Observer {
  const { bins = DEFAULT_BINS } = options;
  checkInteger(owner, 'bins', bins, 2);
  let histograms: Histogram[] = [];
  return makeObserver(owner, options, {
    note(laid, { min, max }) {
      for (let channel = 0; channel < laid.channels; channel++) {
        histograms[channel] ??= new Histogram(bins, min[channel]!, max[channel]!);
        const histogram = histograms[channel];
        histogram.widen(min[channel]!, max[channel]!);
        histogram.addChannel(laid, channel);
      }
    },
    range() {
      const ends = histograms.map((histogram) =>
        histogram.min === histogram.max ? [histogram.min, histogram.max] : search(histogram),
      );
      return {
        min: Float32Array.from(ends, ([low]) => low!),
        max: Float32Array.from(ends, ([, high]) => high!),
      };
    },
    state: () => histograms.map((histogram) => histogram.state()),
    restore(state) {
      histograms = (state as StateValue[]).map((saved) => Histogram.from(saved));
    },
  });
}

/** The value below which the given share of the values lies. */
function quantile({ counts, min, width }: Histogram, share: number): number {
  const wanted = share * counts.reduce((sum, count) => sum + count, 0);
  let below = 0;
  for (let bin = 0; bin < counts.length; bin++) {
    const count = counts[bin]!;
    if (count > 0 && below + count >= wanted) {
      return min + (bin + Math.max(0, wanted - below) / count) * width;
    }
    below += count;
  }
  return min + counts.length * width;
}

/** The best of 100 evenly spaced ends up to `most`, the outermost of equal ones. */
function best(most: number, errorOf: (end: number) => number): number {
  let end = most;
  let least = Number.POSITIVE_INFINITY;
  for (let i = 100; i >= 1; i--) {
    const candidate = (most * i) / 100;
    const error = errorOf(candidate);
    if (error < least) {
      least = error;
      end = candidate;
    }
  }
  return end;
}

/** The squared error of rounding to `levels` steps over [low, high], which holds 0, and of clipping. */
function squaredError(histogram: Histogram, low: number, high: number, levels: number): number {
  const { counts, min, width } = histogram;
  const step = (high - low) / levels;
  // 0 is on the grid, so the ends are whole numbers of steps away from it.
  const first = Math.round(low / step);
  const last = first + levels;
  let error = 0;
  for (let bin = 0; bin < counts.length; bin++) {
    const count = counts[bin]!;
    if (count === 0) continue;
    const value = min + (bin + 0.5) * width;
    const code = Math.min(last, Math.max(first, Math.round(value / step)));
    const off = value - code * step;
    error += count * off * off;
  }
  return error;
}

/** The histogram of the magnitudes. */
function foldAtZero(histogram: Histogram): Histogram {
  const { counts, min, max } = histogram;
  if (min === 0) return histogram;
  const folded = new Histogram(counts.length, 0, Math.max(Math.abs(min), Math.abs(max)));
  counts.forEach((count, bin) => {
    if (count > 0) folded.add(Math.abs(histogram.center(bin)), count);
  });
  return folded;
}

/** Divergence of the first `kept` bins, outliers counted in the last, from their form in `levels` levels. */
function divergenceOf(counts: Float64Array, kept: number, levels: number): number {
  let total = 0;
  let outliers = 0;
  for (let bin = 0; bin < counts.length; bin++) {
    total += counts[bin]!;
    if (bin >= kept) outliers += counts[bin]!;
  }
  let divergence = 0;
  for (let level = 0; level < levels; level++) {
    const start = Math.floor((level * kept) / levels);
    const end = Math.floor(((level + 1) * kept) / levels);
    let inLevel = 0;
    let used = 0;
    for (let bin = start; bin < end; bin++) {
      inLevel += counts[bin]!;
      if (counts[bin]! > 0 || (bin === kept - 1 && outliers > 0)) used++;
    }
    for (let bin = start; bin < end; bin++) {
      const p = counts[bin]! + (bin === kept - 1 ? outliers : 0);
      if (p === 0) continue;
      // What the levels hold is less than all by the outliers; q adds up to 1 again.
      const q = Math.max(inLevel / used / (total - outliers), TINY);
      divergence += (p / total) * Math.log(p / total / q);
    }
  }
  return divergence;
}

/** Stands for a share of 0, whose logarithm there is none of. */
const TINY = 1e-12;
