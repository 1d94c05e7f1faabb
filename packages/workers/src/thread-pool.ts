// Work in worker threads, by piscina.
import { availableParallelism } from 'node:os';
import { checkInteger, checkOptions, OptionError } from '@thimble/base';
import { Piscina } from 'piscina';
import type { Trial } from 'thimble';
import { type Failure, revived } from './failure.ts';

/** Options of {@link threadPool} and {@link threadTrials}. */
export interface ThreadOptions {
  /**
   * A module by its address, such as `new URL('./trial.js', import.meta.url)`. Its default export is a function of
   * `settings` that makes the task; it is called once in each thread.
   */
  module: string | URL;
  /** Plain data for it; default none. */
  settings?: unknown;
  /** Default one less than the machine can run at a time, at least 1. */
  threads?: number;
}

/** Threads that run one task, plain data in and out. */
export interface ThreadPool<Input, Output> {
  readonly threads: number;
  /** Runs the task in the next thread that is free. An abort ends that thread; the signal's reason is thrown. */
  run(input: Input, signal?: AbortSignal): Promise<Output>;
  /** Ends the threads. */
  close(): Promise<void>;
}

/** A trial for `searchTrials` and `search` whose work is done in threads. */
export interface ThreadTrials {
  readonly trial: Trial;
  /** For the option `parallel`. */
  readonly threads: number;
  close(): Promise<void>;
}

/**
 * Threads, each with a task that a module makes. Errors of Thimble keep their class on the way back.
 *
 * @throws {OptionError} for unknown options, and a module that is no address of a file.
 * @example
 * const module = 'data:text/javascript,export default (factor) => (x) => factor * x';
 * const pool = threadPool({ module, settings: 3, threads: 1 });
 * await pool.run(14); // 42
 * await pool.close();
 */
export function threadPool<Input, Output>(options: ThreadOptions): ThreadPool<Input, Output> {
  checkOptions('threadPool', options, ['module', 'settings', 'threads']);
  const { settings, threads = Math.max(1, availableParallelism() - 1) } = options;
  checkInteger('threadPool', 'threads', threads, 1);
  const module = String(options.module);
  if (!URL.canParse(module)) {
    throw new OptionError(
      `threadPool: module must be an address, such as new URL('./trial.js', import.meta.url), not "${module}".`,
    );
  }
  const pool = new Piscina({
    filename: new URL('../thread.mjs', import.meta.url).href,
    minThreads: threads,
    maxThreads: threads,
  });
  return {
    threads,
    async run(input, signal) {
      try {
        const task = { module, settings, input };
        const found = (await pool.run(task, signal ? { signal } : {})) as
          | { output: Output }
          | { error: Failure };
        if ('error' in found) throw revived(found.error);
        return found.output;
      } catch (error) {
        signal?.throwIfAborted(); // piscina has an error of its own for it
        throw error;
      }
    },
    close: () => pool.destroy(),
  };
}

/**
 * Trials in worker threads: the module makes a `Trial` of the settings, for example by `recipeTrial`. TensorFlow.js
 * must be started there, too. Trials come to the same as in one thread.
 *
 * @throws {OptionError} as {@link threadPool}.
 * @example
 * const module = `data:text/javascript,export default () => async ({ settings: { x } }) => ({ accuracy: x, bytes: 9 * x })`;
 * const { trial, threads, close } = threadTrials({ module, threads: 2 });
 * const space = { x: { between: [0, 1] } };
 * await searchTrials({ space, trial, parallel: threads, goal: { bytes: 5 }, progress: false });
 * await close();
 */
export function threadTrials(options: ThreadOptions): ThreadTrials {
  const { threads, run, close } = threadPool<object, Awaited<ReturnType<Trial>>>(options);
  // A signal cannot be sent: it ends the thread.
  const trial: Trial = ({ signal, ...job }) => run(job, signal);
  return { trial, threads, close };
}
