import { formatDuration, type ProgressEvent, startProgress } from '@thimble/base';
import { expect, test } from 'vitest';

test('a callback receives task, counts and values', () => {
  const events: ProgressEvent[] = [];
  const progress = startProgress((event) => events.push(event), 'epoch 1/2', 4);
  progress.update(0);
  progress.update(2, { loss: 0.5 });
  progress.stop();
  expect(events.map(({ task, done, total, values }) => ({ task, done, total, values }))).toEqual([
    { task: 'epoch 1/2', done: 0, total: 4, values: {} },
    { task: 'epoch 1/2', done: 2, total: 4, values: { loss: 0.5 } },
  ]);
  expect(events[0]!.remaining).toBeNaN();
  // Half done: as long again.
  expect(events[1]!.remaining).toBeCloseTo(events[1]!.elapsed, 6);
});

test('false is silent', () => {
  const progress = startProgress(false, 'nothing', 1);
  progress.update(1);
  progress.stop();
});

test.each([
  [850.4, '850 ms'],
  [12_300, '12 s'],
  [185_000, '3 min 05 s'],
  [Number.NaN, '?'],
])('formatDuration(%s) is %s', (milliseconds, text) => {
  expect(formatDuration(milliseconds)).toBe(text);
});
