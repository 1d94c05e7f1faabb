// Lloyd's k-means on numbers, begun from evenly spaced values.

const MOST_ROUNDS = 100;

/**
 * Shared values for some numbers: from evenly spaced ones between the smallest and the largest, each becomes
 * the mean of the numbers that it is nearest to, until none moves (Han et al., "Deep Compression", 2016,
 * section 3.2). Ascending, without those that no number is nearest to and without 0.
 */
export function kmeansLinear(numbers: Float32Array, clusters: number): Float32Array {
  const sorted = Float64Array.from(numbers).sort();
  const sums = new Float64Array(sorted.length + 1);
  for (let i = 0; i < sorted.length; i++) sums[i + 1] = sums[i]! + sorted[i]!;
  const [least, most] = [sorted[0]!, sorted.at(-1)!];
  let centroids = Float64Array.from(
    { length: clusters },
    (_, k) => least + ((most - least) * k) / Math.max(1, clusters - 1),
  );
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const next = new Float64Array(clusters);
    let from = 0;
    let moved = false;
    for (let k = 0; k < clusters; k++) {
      const end =
        k + 1 < clusters ? (centroids[k]! + centroids[k + 1]!) / 2 : Number.POSITIVE_INFINITY;
      let to = from;
      while (to < sorted.length && sorted[to]! <= end) to++;
      next[k] = to > from ? (sums[to]! - sums[from]!) / (to - from) : centroids[k]!;
      if (next[k] !== centroids[k]) moved = true;
      from = to;
    }
    centroids = next;
    if (!moved) break;
  }
  const used = new Set<number>();
  const floats = Float32Array.from(centroids).sort();
  let k = 0;
  for (const number of sorted) {
    while (
      k + 1 < floats.length &&
      Math.abs(floats[k + 1]! - number) < Math.abs(floats[k]! - number)
    )
      k++;
    used.add(floats[k]!);
  }
  used.delete(0);
  return Float32Array.from(used).sort();
}
