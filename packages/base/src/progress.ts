// Progress of long work: a bar on a terminal, a callback in code, silence when asked.
import { openBar } from '#platform';
import type { ProgressEvent } from './progress-event.ts';

/**
 * How progress is shown: `true` (a bar on a terminal, a line every ten seconds where the output is no
 * terminal, nothing in a browser), `false` (silence), or a function that receives every report.
 */
export type ProgressOption = boolean | ((event: ProgressEvent) => void);

/** Receives the progress of one task. Call `stop` when it ends, also when it fails. */
export interface ProgressReporter {
  update(done: number, values?: Record<string, number | string>): void;
  stop(): void;
}

/**
 * Starts reporting the progress of a task of `total` steps.
 *
 * @example
 * const progress = startProgress(true, 'calibrating', 100);
 * for (let i = 1; i <= 100; i++) progress.update(i, { loss: 0.5 });
 * progress.stop();
 */
export function startProgress(
  option: ProgressOption,
  task: string,
  total: number,
): ProgressReporter {
  if (option === false) return { update() {}, stop() {} };
  const started = performance.now();
  const bar = option === true ? openBar() : { update: option, stop() {} };
  return {
    update(done, values = {}) {
      const elapsed = performance.now() - started;
      const remaining = done > 0 ? (elapsed / done) * (total - done) : Number.NaN;
      bar.update({ task, done, total, elapsed, remaining, values });
    },
    stop: () => bar.stop(),
  };
}
