// Against a real redis-server; workers are processes that are killed while they work.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NonFiniteError, OptionError } from '@thimble/base';
import {
  type RedisQueue,
  redisQueue,
  redisTrials,
  redisWorker,
  withoutPassword,
} from '@thimble/workers/redis';
import type { RedisOptions } from 'ioredis';
import { searchTrials, type Trial } from 'thimble';
import { build } from 'vite';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { connectionTo } from '../src/redis-url.ts';

const missing = spawnSync('redis-server', ['--version']).status !== 0;
const reason = missing ? ' (skipped: there is no redis-server; apt-get install redis-server)' : '';
const root = fileURLToPath(new URL('..', import.meta.url));
const module = new URL('./tasks.mjs', import.meta.url).href;

describe.skipIf(missing)(`over Redis${reason}`, () => {
  let folder: string;
  let built: string;
  let port: number;
  let server: ChildProcess;
  const url = () => `redis://127.0.0.1:${port}`;
  const processes: ChildProcess[] = [];
  const open: { close(): Promise<void> }[] = [];

  function startServer(): Promise<void> {
    const where = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder];
    const kept = ['--appendonly', 'yes', '--appendfsync', 'always', '--save', ''];
    server = spawn('redis-server', [...where, ...kept], { stdio: ['ignore', 'pipe', 'ignore'] });
    return new Promise((resolve) => {
      server.stdout!.on('data', (text) => {
        if (String(text).includes('Ready to accept')) resolve();
      });
    });
  }

  async function startWorker(queue: string, settings: object): Promise<ChildProcess> {
    const words = [
      join(built, 'worker-process.mjs'),
      url(),
      queue,
      module,
      JSON.stringify(settings),
    ];
    const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
    processes.push(child);
    await new Promise((resolve) => child.stdout!.once('data', resolve));
    return child;
  }

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'thimble-redis-'));
    // Inside the package, so that what is not bundled is found; the thread's file must lie above it.
    built = join(root, '.thimble/redis-test');
    port = await new Promise((resolve) => {
      const probe = createServer().listen(0, '127.0.0.1', () => {
        const { port: free } = probe.address() as { port: number };
        probe.close(() => resolve(free));
      });
    });
    await startServer();
    await build({
      configFile: false,
      logLevel: 'silent',
      ssr: {
        noExternal: [/^@thimble\//],
        resolve: { conditions: ['@thimble/source', 'module', 'node', 'import', 'default'] },
      },
      build: {
        ssr: join(root, 'test/worker-process.ts'),
        outDir: built,
        minify: false,
        rollupOptions: { output: { entryFileNames: 'worker-process.mjs' } },
      },
    });
    await copyFile(join(root, 'thread.mjs'), join(built, '../thread.mjs'));
  });
  afterEach(async () => {
    for (const each of open.splice(0)) await each.close();
    for (const child of processes.splice(0)) child.kill('SIGKILL');
  });
  afterAll(async () => {
    server.kill();
    await rm(folder, { recursive: true });
    await rm(join(root, '.thimble'), { recursive: true, force: true });
  });

  function opened<Input, Output>(queue: string): RedisQueue<Input, Output> {
    const made = redisQueue<Input, Output>({ url: url(), queue });
    open.push(made);
    return made;
  }

  const about = {
    space: { x: { between: [0, 1] } },
    goal: { bytes: 60 },
    trials: 9,
    seed: 2,
    progress: false,
  } as const;
  const here: Trial = async ({ settings: { x } }) => ({
    accuracy: 1 - ((x as number) - 0.7) ** 2,
    bytes: 100 * (x as number),
  });
  const told = ({ trials }: Awaited<ReturnType<typeof searchTrials>>) =>
    trials.map(({ seconds: _, ...each }) => each);

  test('workers killed in mid-trial: nothing is lost, nothing counts twice', async () => {
    const log = join(folder, 'log.txt');
    const settings = { wait: 400, log };
    const first = await startWorker('kills', settings);
    const second = await startWorker('kills', settings);
    const begunOrEnded = async (word: string, { pid }: { pid?: number | undefined } = {}) =>
      (await readFile(log, 'utf8')).match(new RegExp(`^${word} ${pid ?? ''}`, 'gm'))?.length ?? 0;
    /** Kills a worker as soon as it is in the middle of a trial. */
    const killAtWork = async (worker: ChildProcess) => {
      while ((await begunOrEnded('begin', worker)) === (await begunOrEnded('end', worker))) {
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      worker.kill('SIGKILL');
    };
    const trials = redisTrials({ url: url(), queue: 'kills' });
    open.push(trials);
    const done: string[] = [];
    const running = searchTrials({
      ...about,
      trial: trials.trial,
      parallel: trials.parallel,
      onTrial: ({ id }) => {
        done.push(id);
        if (done.length === 1) void killAtWork(first);
        if (done.length === 3) {
          void killAtWork(second).then(() => startWorker('kills', settings));
        }
      },
    });
    const found = await running;
    expect(told(found)).toEqual(told(await searchTrials({ ...about, trial: here })));
    expect(new Set(done).size).toBe(12);
    expect(done).toHaveLength(12);
    // Begun more often than ended: some were killed at work.
    expect(await begunOrEnded('begin')).toBeGreaterThan(12);
    expect(await begunOrEnded('end')).toBeGreaterThanOrEqual(12);
  });

  test('who asks again finds what is done; seeds of a study run once', async () => {
    const log = join(folder, 'seeds.txt');
    open.push(
      redisWorker({
        url: url(),
        queue: 'seeds',
        module,
        settings: { kind: 'seed', log },
        threads: 2,
      }),
    );
    const seeds = [0, 1, 2, 3];
    const study = () => {
      const queue = opened<{ seed: number }, { seed: number; square: number }>('seeds');
      return Promise.all(seeds.map((seed) => queue.run({ seed })));
    };
    const expected = seeds.map((seed) => ({ seed, square: seed * seed }));
    expect(await study()).toEqual(expected);
    expect(await study()).toEqual(expected);
    expect((await readFile(log, 'utf8')).match(/begin/g)).toHaveLength(4);
    await opened('seeds').clear();
    expect(await study()).toEqual(expected);
    expect((await readFile(log, 'utf8')).match(/begin/g)).toHaveLength(8);
  });

  test('Redis away in mid-run: the work goes on when it is back', async () => {
    open.push(
      redisWorker({ url: url(), queue: 'away', module, settings: { wait: 300 }, threads: 1 }),
    );
    const queue = opened<object, { bytes: number }>('away');
    const running = Promise.all([0.1, 0.2, 0.3].map((x) => queue.run({ settings: { x } })));
    await new Promise((resolve) => setTimeout(resolve, 500));
    const gone = new Promise((resolve) => server.once('exit', resolve));
    server.kill('SIGKILL');
    await gone;
    await new Promise((resolve) => setTimeout(resolve, 300));
    await startServer();
    const bytes = (await running).map((each) => each.bytes);
    expect(bytes).toEqual([10, 20, 30].map((n) => expect.closeTo(n, 9)));
  });

  test('Redis away for good in mid-run: an error says so, and the queue closes', async () => {
    const queue = redisQueue<object, unknown>({ url: url(), queue: 'gone', patience: 0.5 });
    const running = Promise.allSettled([1, 2, 3].map((a) => queue.run({ a }))); // nobody does it
    await new Promise((resolve) => setTimeout(resolve, 500));
    const gone = new Promise((resolve) => server.once('exit', resolve));
    server.kill('SIGKILL');
    await gone;
    try {
      for (const { status, reason } of (await running) as PromiseRejectedResult[]) {
        expect([status, String(reason)]).toEqual(['rejected', expect.stringContaining('Start it')]);
      }
      const late = new Promise((resolve) => setTimeout(resolve, 3000, 'still open'));
      expect(await Promise.race([queue.close(), late])).toBeUndefined();
    } finally {
      await startServer();
    }
  });

  test('errors keep their class; an abort and a server that is away end the wait', async () => {
    open.push(
      redisWorker({ url: url(), queue: 'errors', module, settings: { kind: 'nan' }, threads: 1 }),
    );
    await expect(opened('errors').run({ a: 1 })).rejects.toThrow(NonFiniteError);
    const signal = AbortSignal.timeout(300);
    await expect(opened('nobody').run({ a: 1 }, signal)).rejects.toThrow(/timeout/);
    const nowhere = redisQueue({ url: 'redis://127.0.0.1:1', queue: 'none', patience: 0.5 });
    await expect(nowhere.run({ a: 1 })).rejects.toThrow(/has not answered for 0.5 s. Start it/);
    await nowhere.close().catch(() => {});
    expect(() => redisQueue({ queue: 'a:b' })).toThrow(OptionError);
  });
});

test.each([
  'nowhere',
  'localhost:6379', // an address without redis:// must not become one of this machine
  'http://127.0.0.1:6379',
  'redis://127.0.0.1:6379/first',
  'redis://',
])('%s is no address of a server', (url) => {
  expect(() => redisQueue({ queue: 'a', url })).toThrow(/url must be like/);
});

test('passwords are read, and not shown', async () => {
  const { host, port, username, password, db } = connectionTo(
    'test',
    'redis://a%40b:c%25d@[::1]:7000/3',
  ) as RedisOptions;
  expect({ host, port, username, password, db }).toEqual({
    host: '::1',
    port: 7000,
    username: 'a@b',
    password: 'c%d',
    db: 3,
  });
  expect(() => connectionTo('test', 'redis://:c%zz@host')).toThrow(/written as %25/);
  expect(withoutPassword('redis://me:secret@host:7000')).toBe('redis://me:***@host:7000');
  expect(withoutPassword('redis://host:7000')).toBe('redis://host:7000');
  const url = 'redis://:secret@127.0.0.1:1';
  const nowhere = redisQueue({ url, queue: 'none', patience: 0.2 });
  await expect(nowhere.run({ a: 1 })).rejects.toThrow(/Redis at redis:\/\/:\*\*\*@127.0.0.1:1 has/);
  await nowhere.close().catch(() => {});
  expect(() => redisQueue({ url: 'http://:secret@host', queue: 'a' })).toThrow(
    'not "http://:***@host"',
  );
});
