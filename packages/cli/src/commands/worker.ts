// thimble worker
import type { Context, Outcome } from '../context.ts';
import { loadRedis, QUEUE } from '../redis.ts';

export interface WorkerOptions {
  redis: string;
  queue?: string;
  threads?: number;
}

/** Works until it is interrupted; what it was at is then done by another worker. */
export async function worker(
  { redis: url, queue = QUEUE, threads = 1 }: WorkerOptions,
  { signal, say }: Context,
): Promise<Outcome> {
  const { redisWorker } = await loadRedis();
  let told = '';
  const working = redisWorker({
    url,
    queue,
    threads,
    module: new URL('../queue-module.js', import.meta.url),
    onError: ({ message }) => {
      if (message !== told) say(`Redis at ${url}: ${message}. Trying again.`);
      told = message;
    },
  });
  say(`Works on "${queue}" at ${url}, ${threads} at a time. Ctrl-C ends it.`);
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve());
  });
  await working.close({ now: true });
  return { text: 'Ended.', json: { ended: true } };
}
