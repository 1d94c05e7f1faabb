import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = resolve(fileURLToPath(import.meta.url), '../../../..');
const text = (path: string) => readFileSync(join(root, path), 'utf8');

/** Every README and the programs of the examples. */
function documents(): string[] {
  const inside = (folder: string, name: string) =>
    readdirSync(join(root, folder)).map((room) => `${folder}/${room}/${name}`);
  return [
    'README.md',
    'CONTRIBUTING.md',
    ...inside('packages', 'README.md'),
    ...inside('examples', 'main.ts'),
  ].filter((path) => existsSync(join(root, path)));
}

it('names only scripts and experiments that there are', () => {
  const { scripts } = JSON.parse(text('package.json')) as { scripts: Record<string, string> };
  const experiments = text('benchmarks/reproduce.ts');
  const unknown = documents().flatMap((path) => {
    const commands = [
      ...text(path).matchAll(/npm run ([a-z][a-z:-]*[a-z])(?:\s+-- ([a-z][\w-]+))?/g),
    ];
    return commands
      .filter(([, script, name]) => {
        if (!(script! in scripts)) return true;
        return (
          script === 'reproduce' &&
          name !== undefined &&
          !new RegExp(`^ {2}'?${name}'?: \\{`, 'm').test(experiments)
        );
      })
      .map(([command]) => `${path}: ${command}`);
  });
  expect(unknown).toEqual([]);
});
