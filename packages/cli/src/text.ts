// Tables, histograms and numbers for a terminal.

export type Row = readonly string[];

/** 1,234 */
export function count(value: number): string {
  return Number.isNaN(value) ? '?' : Math.round(value).toLocaleString('en-US');
}

/** "accuracy 0.9812, loss 0.0610": the measures first, whatever their order. */
export function scoresText(scores: Readonly<Record<string, number>>): string {
  return Object.entries(scores)
    .sort(([a], [b]) => Number(/loss$/.test(a)) - Number(/loss$/.test(b)))
    .map(([name, value]) => `${name} ${value.toFixed(4)}`)
    .join(', ');
}

/** How the values of a weight are spread. */
export interface Histogram {
  entries: number;
  zeros: number;
  /** Of the entries that are not zero. */
  min: number;
  max: number;
  mean: number;
  deviation: number;
  /** Numbers of entries that are not zero, in bins of one width from min to max. */
  bins: number[];
}

export function histogramOf(values: Float32Array, bins: number = 48): Histogram {
  let [zeros, min, max, sum, squares] = [
    0,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    0,
    0,
  ];
  for (const value of values) {
    if (value === 0) {
      zeros++;
      continue;
    }
    min = Math.min(min, value);
    max = Math.max(max, value);
    sum += value;
    squares += value * value;
  }
  const kept = values.length - zeros;
  const counts = new Array<number>(bins).fill(0);
  const width = max - min;
  for (const value of values) {
    if (value === 0) continue;
    const bin = width > 0 ? Math.floor(((value - min) / width) * bins) : 0;
    counts[Math.min(bins - 1, bin)]!++;
  }
  const mean = kept > 0 ? sum / kept : 0;
  return {
    entries: values.length,
    zeros,
    min: kept > 0 ? min : 0,
    max: kept > 0 ? max : 0,
    mean,
    deviation: kept > 0 ? Math.sqrt(Math.max(0, squares / kept - mean * mean)) : 0,
    bins: counts,
  };
}

const BLOCKS = ' ▁▂▃▄▅▆▇█';

/** Two lines: the bins as blocks between the smallest and the largest value, and what there is to say. */
export function histogramText({
  bins,
  min,
  max,
  entries,
  zeros,
  mean,
  deviation,
}: Histogram): string {
  const most = Math.max(1, ...bins);
  const bars = bins.map((n) => BLOCKS[n === 0 ? 0 : Math.max(1, Math.round((8 * n) / most))]);
  const figure = (value: number) => value.toPrecision(3);
  const gone = zeros > 0 ? `, ${((100 * zeros) / entries).toFixed(1)} % zeros left out` : '';
  return (
    `${figure(min).padStart(9)} |${bars.join('')}| ${figure(max)}\n` +
    `${' '.repeat(10)} mean ${figure(mean)}, deviation ${figure(deviation)}${gone}`
  );
}
