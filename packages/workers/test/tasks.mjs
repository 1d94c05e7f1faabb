// Tasks for the tests: a trial with a known outcome, and some that misbehave.
import { appendFile } from 'node:fs/promises';
import { threadId } from 'node:worker_threads';

export default function make({ wait = 0, kind = 'trial', log } = {}) {
  let calls = 0;
  return async (input) => {
    calls++;
    if (log) await appendFile(log, `begin ${process.pid}\n`);
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    if (log) await appendFile(log, `end ${process.pid}\n`);
    if (kind === 'where') return { thread: threadId, calls };
    if (kind === 'seed') return { seed: input.seed, square: input.seed ** 2 };
    if (kind === 'nan') {
      throw Object.assign(new Error('the loss is NaN'), { name: 'NonFiniteError' });
    }
    const { x } = input.settings;
    return { accuracy: 1 - (x - 0.7) ** 2, bytes: 100 * x };
  };
}
