import { NonFiniteError, OptionError } from '@thimble/base';
import { threadPool, threadTrials } from '@thimble/workers';
import { searchTrials, type Trial } from 'thimble';
import { afterEach, expect, test } from 'vitest';

const module = new URL('./tasks.mjs', import.meta.url);
const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const pool of open.splice(0)) await pool.close();
});

function pool<Output>(settings: unknown, threads: number) {
  const made = threadPool<object, Output>({ module, settings, threads });
  open.push(made);
  return made;
}

test('a search in threads comes to the same as in one', async () => {
  const about = {
    space: { x: { between: [0, 1] } },
    goal: { bytes: 60 },
    trials: 18,
    seed: 2,
    progress: false,
  } as const;
  const here: Trial = async ({ settings: { x } }) => ({
    accuracy: 1 - ((x as number) - 0.7) ** 2,
    bytes: 100 * (x as number),
  });
  const threads = threadTrials({ module, threads: 2 });
  open.push(threads);
  const found = await searchTrials({ ...about, trial: threads.trial, parallel: threads.threads });
  const expected = await searchTrials({ ...about, trial: here });
  const told = ({ trials }: typeof found) => trials.map(({ seconds: _, ...each }) => each);
  expect(told(found)).toEqual(told(expected));
});

test('work is spread over threads that are no main thread, and the task is made once in each', async () => {
  const two = pool<{ thread: number; calls: number }>({ wait: 50, kind: 'where' }, 2);
  const first = await Promise.all(Array.from({ length: 6 }, () => two.run({})));
  const threads = new Set(first.map(({ thread }) => thread));
  expect(threads.size).toBe(2);
  expect(threads).not.toContain(0);
  const calls = first.map((each) => each.calls).sort();
  expect(calls.at(-1)).toBeGreaterThan(1); // the same task, called again
});

test('errors keep their class, so a trial that went to NaN is the worst', async () => {
  const failing = pool({ kind: 'nan' }, 1);
  await expect(failing.run({})).rejects.toThrow(NonFiniteError);
  const missing = threadPool({ module: new URL('./none.mjs', import.meta.url), threads: 1 });
  open.push(missing);
  await expect(missing.run({})).rejects.toThrow(/none\.mjs/);
});

test('an abort ends the work with its reason, and the pool goes on', async () => {
  const slow = pool({ wait: 60_000 }, 1);
  const reason = new Error('enough');
  const abort = new AbortController();
  const running = slow.run({ settings: { x: 1 } }, abort.signal);
  setTimeout(() => abort.abort(reason), 300);
  await expect(running).rejects.toBe(reason);
  const again = slow.run({}, AbortSignal.timeout(300));
  await expect(again).rejects.toThrow(/timeout/);
});

test('refuses what is no address', () => {
  expect(() => threadPool({ module: './tasks.mjs' })).toThrow(OptionError);
  expect(() => threadPool({ module, threads: 0 })).toThrow(/threads/);
});
