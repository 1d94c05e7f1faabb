// Work on machines that share a Redis server, by BullMQ. An entry of its own, as bullmq and ioredis are optional.
import { createHash } from 'node:crypto';
import { checkInteger, checkOptions, OptionError, ThimbleError } from '@thimble/base';
import { type ConnectionOptions, Queue, Worker } from 'bullmq';
import type { Trial } from 'thimble';
import { type Failure, revived } from './failure.ts';
import { connectionTo, URL_DEFAULT, withoutPassword } from './redis-url.ts';
import { type ThreadOptions, threadPool } from './thread-pool.ts';

export { withoutPassword };

/** Where the work is put. */
export interface RedisOptions {
  /** Address of the server; default redis://127.0.0.1:6379. */
  url?: string;
  /** Name of the queue: one for each study, as results are kept by what goes in. */
  queue: string;
}

/** Options of {@link redisQueue} and {@link redisTrials}. */
export interface RedisQueueOptions extends RedisOptions {
  /** How long Redis may be away before it is an error, in seconds; default 30. */
  patience?: number;
}

/** Options of {@link redisTrials}. */
export interface RedisTrialsOptions extends RedisQueueOptions {
  /** Trials in the queue at a time; default 16. */
  parallel?: number;
}

/** Options of {@link redisWorker}: those of `threadPool`, and where work is taken from. */
export interface RedisWorkerOptions extends RedisOptions, ThreadOptions {
  /** Seconds after which work of a worker that was killed is given to another; default 30. */
  lockSeconds?: number;
  /** Told of what goes wrong between the worker and Redis; it goes on trying. */
  onError?: (error: Error) => void;
  /** Told when Redis answers: at the beginning, and when it has been away. */
  onReady?: () => void;
}

/** A queue of work that workers anywhere do. */
export interface RedisQueue<Input, Output> {
  /**
   * What the task of the workers makes of an input. The same input is worked at once only, and what came of it is
   * kept: after an interrupt it is there already.
   */
  run(input: Input, signal?: AbortSignal): Promise<Output>;
  /** Forgets all work and all that came of it. */
  clear(): Promise<void>;
  close(): Promise<void>;
}

type Result<Output> = { output: Output } | { error: Failure };

const POLL = 100;

function connectionOf(
  owner: string,
  { url = URL_DEFAULT, queue }: RedisOptions,
): ConnectionOptions {
  if (!/^[\w.-]+$/.test(queue)) {
    throw new OptionError(
      `${owner}: queue must be letters, digits, ".", "-" and "_", not "${queue}".`,
    );
  }
  return connectionTo(owner, url);
}

/**
 * A queue of work in Redis, for a search or for the seeds of a study: plain data in and out. Each input has one place,
 * by a hash of it, so whatever is killed, the work is done, and its result counts once:
 *
 * - a worker that is killed loses its lock, and another one does the work
 * - whoever asks and is killed finds what is done when it asks again
 * - a server that lost its memory is asked anew
 *
 * @throws {OptionError} for unknown options. `run` throws what the task threw, {ThimbleError} where Redis is away for
 *   longer than `patience`, and the signal's reason.
 */
export function redisQueue<Input, Output>(options: RedisQueueOptions): RedisQueue<Input, Output> {
  checkOptions('redisQueue', options, ['url', 'queue', 'patience']);
  const { url = URL_DEFAULT, queue: name, patience = 30 } = options;
  const queue = new Queue<Input, Result<Output>>(name, {
    connection: connectionOf('redisQueue', options),
    skipVersionCheck: true,
  });
  queue.on('error', () => {}); // what is asked says it
  const soon = <T>(asked: Promise<T>): Promise<T> => {
    let timer: NodeJS.Timeout;
    const late = new Promise<never>((_, reject) => {
      const error = new ThimbleError(
        `Redis at ${withoutPassword(url)} has not answered for ${patience} s. Start it (redis-server) and do the same again: what is ` +
          'done is kept.',
      );
      timer = setTimeout(() => reject(error), 1000 * patience);
    });
    asked.catch(() => {}); // it may fail when nobody waits any more
    return Promise.race([asked, late]).finally(() => clearTimeout(timer));
  };
  return {
    async run(input, signal) {
      const text = JSON.stringify(input);
      const id = `work-${createHash('sha256').update(text).digest('hex')}`;
      for (;;) {
        signal?.throwIfAborted();
        const job = await soon(queue.getJob(id));
        // Not there, or no longer: a server that lost its memory.
        if (!job) await soon(queue.add('work' as never, input as never, { jobId: id }));
        else if (job.finishedOn !== undefined) {
          const result = job.returnvalue as Result<Output> | null;
          if (result && 'output' in result) return result.output;
          await soon(job.remove()); // so that it is done again when it is asked for again
          if (result) throw revived(result.error);
          throw new ThimbleError(`A worker could not do its work: ${job.failedReason}`);
        }
        await new Promise((resolve) => setTimeout(resolve, POLL));
      }
    },
    clear: () => soon(queue.obliterate({ force: true })),
    async close() {
      // By force: nothing is under way that anybody waits for, and a server that is away answers no farewell.
      await queue.getBackend().close(true);
      await queue.close();
    },
  };
}

/**
 * Trials for `search` and `searchTrials` that workers on any machine do: see {@link redisWorker}. A queue belongs to
 * one search; another model or other data need another name.
 *
 * @throws {OptionError} for unknown options; as {@link redisQueue}.
 */
export function redisTrials(options: RedisTrialsOptions): {
  readonly trial: Trial;
  /** For the option `parallel`. */
  readonly parallel: number;
  clear(): Promise<void>;
  close(): Promise<void>;
} {
  const { parallel = 16, ...rest } = options;
  checkInteger('redisTrials', 'parallel', parallel, 1);
  const queue = redisQueue<object, Awaited<ReturnType<Trial>>>(rest);
  const trial: Trial = ({ signal, ...job }) => queue.run(job, signal);
  return { trial, parallel, clear: queue.clear, close: queue.close };
}

/**
 * Does work of a queue in threads of this process, with the task that a module makes, until it is closed. Run it on as
 * many machines as there are, all with the same module and settings. The work is done in threads, so that the process
 * can tell Redis all the time that it is alive.
 *
 * @throws {OptionError} for unknown options.
 */
export function redisWorker(options: RedisWorkerOptions): {
  /** After what it is at; with `now` at once, and another worker does that. */
  close(how?: { now?: boolean }): Promise<void>;
} {
  const { url, queue, lockSeconds = 30, onError, onReady, ...threads } = options;
  const where = { queue, ...(url === undefined ? {} : { url }) };
  const connection = connectionOf('redisWorker', where);
  const pool = threadPool<unknown, unknown>(threads);
  const work = async ({ data }: { data: unknown }): Promise<Result<unknown>> => {
    try {
      return { output: await pool.run(data) };
    } catch (error) {
      const { name, message, stack = '' } = error as Error;
      return { error: { name, message, stack } };
    }
  };
  const worker = new Worker(queue, work, {
    connection,
    concurrency: pool.threads,
    lockDuration: 1000 * lockSeconds,
    stalledInterval: 1000 * lockSeconds,
    maxStalledCount: 1000, // a machine that dies often is no reason to give up
    skipVersionCheck: true,
  });
  worker.on('error', (error) => onError?.(error));
  worker.getBackend().on('ready', () => onReady?.()); // `ready` of the worker itself comes once
  return {
    async close({ now = false } = {}) {
      await worker.close(now);
      await pool.close();
    },
  };
}
