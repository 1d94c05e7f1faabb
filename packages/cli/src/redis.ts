// The queue of work in Redis, where its packages are installed.
import { UsageError } from './failure.ts';

/** The queue that `thimble search --redis` and `thimble worker` use, unless they are told otherwise. */
export const QUEUE = 'thimble-search';

/** @throws {UsageError} saying what to install. */
export async function loadRedis(): Promise<typeof import('@thimble/workers/redis')> {
  try {
    return await import('@thimble/workers/redis');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new UsageError('Work over Redis needs two packages more: npm install bullmq ioredis.');
  }
}
