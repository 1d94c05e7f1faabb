// thimble worker where Redis is away; what it does where Redis is there is in commands.test.ts.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createServer } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { main } from '../src/index.ts';

/** A port that nothing listens at. */
function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => resolve(port));
    });
  });
}

/** Starts the command; `until` waits for words on standard error. */
function start(port: number, ...more: string[]) {
  const abort = new AbortController();
  onTestFinished(() => abort.abort());
  const said = { out: '', err: '' };
  let heard = () => {};
  const code = main(['worker', '--redis', `redis://127.0.0.1:${port}`, ...more], {
    out: (text) => {
      said.out += text;
    },
    err: (text) => {
      said.err += text;
      heard();
    },
    signal: abort.signal,
  });
  const until = (words: string) =>
    new Promise<void>((resolve) => {
      heard = () => said.err.includes(words) && resolve();
      heard();
    });
  const end = () => {
    abort.abort();
    return code;
  };
  return { said, until, end };
}

test.each([[[]], [['--quiet']]])('says with %j in a sentence that Redis is away', async (more) => {
  const port = await freePort();
  const { said, until, end } = start(port, ...more);
  await until('Trying again.');
  expect(await end()).toBe(1);
  expect(said.err).toContain(`Redis at redis://127.0.0.1:${port}: connect ECONNREFUSED`);
  expect(said.out).toMatch(/^Ended while Redis at .* was away: connect ECONNREFUSED/);
});

test('says it in JSON with --json', async () => {
  const port = await freePort();
  const { said, until, end } = start(port, '--json');
  await until('Trying again.');
  expect(await end()).toBe(1);
  const reason = `connect ECONNREFUSED 127.0.0.1:${port}`;
  const warning = `Redis at redis://127.0.0.1:${port}: ${reason}. Trying again.`;
  expect(
    said.err
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)),
  ).toEqual([{ warning }]);
  expect(JSON.parse(said.out)).toEqual({ ended: true, away: reason });
});

const missing = spawnSync('redis-server', ['--version']).status !== 0;
test.skipIf(missing)(
  'goes on when Redis is there, and says so (needs redis-server)',
  async () => {
    const port = await freePort();
    const servers: ChildProcess[] = [];
    const serve = () => {
      const words = ['--port', `${port}`, '--bind', '127.0.0.1', '--save', ''];
      servers.push(spawn('redis-server', words, { stdio: 'ignore' }));
    };
    onTestFinished(() => void servers.at(-1)?.kill('SIGKILL'));
    const { said, until, end } = start(port, '--quiet');
    for (let times = 1; times <= 2; times++) {
      said.err = '';
      await until('Trying again.');
      serve();
      await until('answers again.');
      if (times === 2) break;
      servers.at(-1)!.kill('SIGKILL');
    }
    expect(await end()).toBe(0);
    expect(said.out).toBe('Ended.\n');
  },
  30_000,
);
