import { OptionError } from '@thimble/base';
import { describe, expect, test } from 'vitest';
import { type ImageDataset, syntheticDigits } from '../src/index.ts';

const quiet = { onProgress: false } as const;

function bytesOf(data: ImageDataset): string {
  return Array.from({ length: data.size }, (_, i) => data.image(i).join()).join();
}

describe('syntheticDigits', () => {
  test('draws ten classes, about equally many, and says that they are drawn', async () => {
    const { train, test: held } = await syntheticDigits({ train: 1000, test: 200, ...quiet });
    expect([train.size, held.size, train.classes]).toEqual([1000, 200, 10]);
    expect([train.synthetic, train.source]).toEqual([
      true,
      'synthetic digits (drawn, not real data)',
    ]);
    const counts = new Array(10).fill(0);
    for (const label of train.labels) counts[label]++;
    // 100 expected of each, deviation 9.5.
    expect(Math.min(...counts)).toBeGreaterThan(60);
    expect(Math.max(...counts)).toBeLessThan(140);
  });

  test('images have ink on an empty ground, and no two are alike', async () => {
    const { train } = await syntheticDigits({ train: 300, test: 1, ...quiet });
    const images = Array.from({ length: train.size }, (_, i) => train.image(i));
    for (const image of images) {
      const inked = image.filter((byte) => byte > 127).length;
      expect(inked).toBeGreaterThan(10);
      expect(inked).toBeLessThan(300);
      expect(image.filter((byte) => byte === 0).length).toBeGreaterThan(400);
    }
    expect(new Set(images.map(String)).size).toBe(300);
  });

  test('same seed, same bytes, whatever the count; another seed or part, others', async () => {
    const a = await syntheticDigits({ train: 40, test: 20, seed: 3, ...quiet });
    const b = await syntheticDigits({ train: 20, test: 20, seed: 3, ...quiet });
    const c = await syntheticDigits({ train: 20, test: 20, seed: 4, ...quiet });
    expect(bytesOf(a.train.take(20))).toBe(bytesOf(b.train));
    expect([...a.train.labels.slice(0, 20)]).toEqual([...b.train.labels]);
    expect(bytesOf(b.train)).not.toBe(bytesOf(c.train));
    expect(bytesOf(b.train)).not.toBe(bytesOf(b.test));
  });

  test('a mean image per class tells most digits apart', async () => {
    const { train, test: held } = await syntheticDigits({ train: 2000, test: 300, ...quiet });
    const means = Array.from({ length: 10 }, () => new Float64Array(784));
    const counts = new Array(10).fill(0);
    train.labels.forEach((label, i) => {
      counts[label]++;
      for (const [k, byte] of train.image(i).entries()) means[label]![k]! += byte;
    });
    let right = 0;
    held.labels.forEach((label, i) => {
      const image = held.image(i);
      const distances = means.map((mean, c) =>
        mean.reduce((sum, value, k) => sum + (value / counts[c] - image[k]!) ** 2, 0),
      );
      right += Number(distances.indexOf(Math.min(...distances)) === label);
    });
    // Real MNIST gives 82 %; chance is 10 %.
    expect(right / held.size).toBeGreaterThan(0.5);
    expect(right / held.size).toBeLessThan(0.95);
  });

  test('reports progress and can be stopped', async () => {
    const events: string[] = [];
    await syntheticDigits({
      train: 5,
      test: 5,
      onProgress: (event) => events.push(`${event.task} ${event.done}/${event.total}`),
    });
    expect(events).toContain('drawing synthetic digits (train) 5/5');
    const controller = new AbortController();
    const drawing = syntheticDigits({
      signal: controller.signal,
      onProgress: () => controller.abort(new Error('enough')),
    });
    await expect(drawing).rejects.toThrow('enough');
  });

  test('rejects bad options', async () => {
    for (const options of [{ train: 0 }, { test: -1 }, { train: 1.5 }, { sed: 1 }]) {
      await expect(syntheticDigits({ ...quiet, ...options })).rejects.toThrow(OptionError);
    }
  });
});
