// Tasks for the tests: a trial with a known outcome, and some that misbehave.
import { threadId } from 'node:worker_threads';

export default function make({ wait = 0, kind = 'trial' } = {}) {
  let calls = 0;
  return async (input) => {
    calls++;
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    if (kind === 'where') return { thread: threadId, calls };
    if (kind === 'nan') {
      throw Object.assign(new Error('the loss is NaN'), { name: 'NonFiniteError' });
    }
    const { x } = input.settings;
    return { accuracy: 1 - (x - 0.7) ** 2, bytes: 100 * x };
  };
}
