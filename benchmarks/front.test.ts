// What `npm run bench` and `npm run reproduce` do with words that they do not know. As built.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const built = (name: string) => fileURLToPath(new URL(`./dist/${name}.js`, import.meta.url));

function run(program: string, ...words: string[]) {
  const { NODE_OPTIONS: _, ...env } = process.env;
  const { status, stdout, stderr } = spawnSync(process.execPath, [built(program), ...words], {
    env,
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

describe.skipIf(!existsSync(built('bench')))('(needs a build)', () => {
  test.each([
    ['bench', [], 0, ''],
    ['bench', ['--help'], 0, ''],
    ['bench', ['nonsense'], 1, 'There is no benchmark "nonsense".'],
    ['bench', ['toString'], 1, 'There is no benchmark "toString".'],
    ['bench', ['size', '--repeats', 'x'], 1, '--repeats must be a whole number from 1 on, not x.'],
    ['bench', ['--nonsense'], 1, "Unknown option '--nonsense'"],
    ['reproduce', [], 0, ''],
    ['reproduce', ['--help'], 0, ''],
    ['reproduce', ['nonsense'], 1, 'There is no experiment "nonsense".'],
    ['reproduce', ['constructor'], 1, 'There is no experiment "constructor".'],
    ['reproduce', ['search', '--seeds'], 1, 'search takes nothing more, not "--seeds".'],
  ])('%s %j ends with %i', (program, words, code, message) => {
    const { status, stdout, stderr } = run(program, ...words);
    expect(status).toBe(code);
    expect(stdout).toContain(`npm run ${program} -- NAME`);
    expect(stderr).toContain(message);
    expect(stderr).not.toMatch(/^\s+at /m);
    if (message === '') expect(stderr).toBe('');
  });
});
