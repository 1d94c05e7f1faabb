import { describe, expect, test } from 'vitest';
import { forEachImage } from '../src/work.ts';

/** Takes about a millisecond. */
function busy(): void {
  const until = performance.now() + 1;
  while (performance.now() < until);
}

describe('forEachImage', () => {
  test('does all images in order, and lets others work meanwhile', async () => {
    const seen: number[] = [];
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    await forEachImage(200, 'test', { signal: undefined, onProgress: false }, (i) => {
      busy();
      seen.push(i);
    });
    clearInterval(timer);
    expect(seen).toEqual(Array.from({ length: 200 }, (_, i) => i));
    expect(turns).toBeGreaterThan(1);
  });

  test('reports along the way and at the end', async () => {
    const done: number[] = [];
    const onProgress = (event: { done: number }): void => {
      done.push(event.done);
    };
    await forEachImage(200, 'test', { signal: undefined, onProgress }, busy);
    expect(done.length).toBeGreaterThan(2);
    expect(done.at(-1)).toBe(200);
    expect([...done].sort((a, b) => a - b)).toEqual(done);
  });

  test('stops at the next turn after the signal', async () => {
    const controller = new AbortController();
    let count = 0;
    const work = forEachImage(
      10_000,
      'test',
      { signal: controller.signal, onProgress: false },
      () => {
        busy();
        count += 1;
        if (count === 10) controller.abort(new Error('enough'));
      },
    );
    await expect(work).rejects.toThrow('enough');
    expect(count).toBeLessThan(500);
  });
});
