// Clustering of a layer of ten million weights. Processor time is counted, not the clock: other programs
// may be busy, and the best of a few rounds: they share the caches. One second is usual where two are allowed.
import { Random } from '@thimble/base';
import { type KmeansStart, kmeans } from '@thimble/quantization';
import { expect, it } from 'vitest';

/** Milliseconds. */
const ALLOWED = 2000;

const random = new Random(1);
const values = Float32Array.from({ length: 10_000_000 }, () => random.normal(0, 0.05));

it.each<[number, KmeansStart]>([
  [32, 'linear'],
  [256, 'kmeansPlusPlus'],
])(
  'clusters ten million weights to %i values from a %s start',
  (clusters, start) => {
    let least = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 6 && least >= ALLOWED; round++) {
      const before = process.cpuUsage();
      const { centroids } = kmeans(values, { clusters, start });
      const { user, system } = process.cpuUsage(before);
      least = Math.min(least, (user + system) / 1000);
      expect(centroids).toHaveLength(clusters);
    }
    expect(least).toBeLessThan(ALLOWED);
  },
  60_000,
);
