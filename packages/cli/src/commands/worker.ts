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
  { signal, say, warn }: Context,
): Promise<Outcome> {
  const { redisWorker, withoutPassword } = await loadRedis();
  const server = `Redis at ${withoutPassword(url)}`;
  let [said, away]: [string, string | undefined] = ['', undefined];
  const working = redisWorker({
    url,
    queue,
    threads,
    module: new URL('../queue-module.js', import.meta.url),
    onError: (error) => {
      const { message, code } = error as NodeJS.ErrnoException;
      const reason = (message || code || error.name).replace(/\.$/, ''); // of several addresses that were tried there is a code alone
      if (reason !== said) warn(`${server}: ${reason}. Trying again.`);
      said = reason;
      if (typeof code === 'string') away = reason; // of the network; a server that is there answers with numbers
    },
    onReady: () => {
      if (away !== undefined) warn(`${server} answers again.`);
      [said, away] = ['', undefined];
    },
  });
  say(`Works on "${queue}", ${server}, ${threads} at a time. Ctrl-C ends it.`);
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve());
  });
  const failed = away !== undefined;
  const text = failed ? `Ended while ${server} was away: ${away}.` : 'Ended.';
  await working.close({ now: true });
  return { text, json: { ended: true, away: away ?? null }, failed };
}
