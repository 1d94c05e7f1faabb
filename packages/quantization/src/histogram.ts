// A histogram that widens as values come in.
import type { StateValue } from '@thimble/core';
import type { Laid } from './observer.ts';

/** Counts of values in bins of equal width over [min, max]. */
export class Histogram {
  min: number;
  max: number;
  counts: Float64Array;

  constructor(bins: number, min: number, max: number) {
    this.min = min;
    this.max = max;
    this.counts = new Float64Array(bins);
  }

  /** Width of a bin. */
  get width(): number {
    return (this.max - this.min) / this.counts.length;
  }

  /** Value in the middle of a bin. */
  center(bin: number): number {
    return this.min + (bin + 0.5) * this.width;
  }

  /** Counts `count` values at `value`, which lies in the range. */
  add(value: number, count: number): void {
    this.counts[this.#binOf(value)]! += count;
  }

  #binOf(value: number): number {
    const bins = this.counts.length;
    if (this.max === this.min) return 0;
    return Math.min(bins - 1, Math.floor(((value - this.min) / (this.max - this.min)) * bins));
  }

  /** Makes the range reach from `min` to `max` at least; what was counted moves by its bin's middle. */
  widen(min: number, max: number): void {
    if (min >= this.min && max <= this.max) return;
    const wider = new Histogram(
      this.counts.length,
      Math.min(min, this.min),
      Math.max(max, this.max),
    );
    this.counts.forEach((count, bin) => {
      if (count > 0) wider.add(this.center(bin), count);
    });
    this.min = wider.min;
    this.max = wider.max;
    this.counts = wider.counts;
  }

  /** Counts the values of one channel of a batch; all lie in the range. */
  addChannel({ data, channels, inner }: Laid, channel: number): void {
    const { min, max, counts } = this;
    const bins = counts.length;
    const factor = max === min ? 0 : bins / (max - min);
    for (let start = channel * inner; start < data.length; start += channels * inner) {
      for (let i = start; i < start + inner; i++) {
        const bin = Math.floor((data[i]! - min) * factor);
        counts[bin < bins ? bin : bins - 1]!++;
      }
    }
  }

  state(): StateValue {
    return { min: this.min, max: this.max, counts: this.counts.slice() };
  }

  static from(state: StateValue): Histogram {
    const { min, max, counts } = state as { min: number; max: number; counts: Float64Array };
    const histogram = new Histogram(counts.length, min, max);
    histogram.counts.set(counts);
    return histogram;
  }
}
