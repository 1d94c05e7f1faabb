// Fails the build when a package imports what it may not (house.json is the whole truth, see
// ARCHITECTURE.md), or imports something that its package.json or tsconfig.json does not declare.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const house = JSON.parse(readFileSync(join(root, 'scripts/house.json'), 'utf8'));
const problems = [];

function sources(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name));
}

/** The names of the packages that a source file imports, relative and builtin ones left out. */
function importsOf(file) {
  const text = readFileSync(file, 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
  const pattern =
    /^\s*(?:import|export)\b[^'"`;]*?from\s*['"]([^'"]+)['"]|\bimport\s*\(?\s*['"]([^'"]+)['"]/gm;
  return [...text.matchAll(pattern)]
    .map((match) => match[1] ?? match[2])
    .filter(
      (name) => !/^[.#]/.test(name) && !name.startsWith('node:') && !builtinModules.includes(name),
    )
    .map((name) =>
      name
        .split('/')
        .slice(0, name.startsWith('@') ? 2 : 1)
        .join('/'),
    );
}

for (const room of readdirSync(join(root, 'packages'))) {
  const folder = join(root, 'packages', room);
  const allowed = house[room];
  if (!allowed) {
    problems.push(`packages/${room} is not in scripts/house.json`);
    continue;
  }
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const declared = { ...manifest.dependencies, ...manifest.peerDependencies };
  const references =
    JSON.parse(readFileSync(join(folder, 'tsconfig.json'), 'utf8')).references ?? [];
  const referenced = references.map(({ path }) => path.split('/').at(-1));
  for (const file of sources(join(folder, 'src'))) {
    const where = relative(root, file);
    for (const name of importsOf(file)) {
      const sibling = name === 'thimble' ? 'thimble' : name.match(/^@thimble\/(.+)$/)?.[1];
      if (sibling) {
        if (!allowed.includes(sibling) && !allowed.includes('*')) {
          problems.push(
            `${where} imports ${name}: ${room} may import ${allowed.join(', ') || 'nothing'}`,
          );
        }
        if (!referenced.includes(sibling)) {
          problems.push(
            `${where} imports ${name}: add it to the references of packages/${room}/tsconfig.json`,
          );
        }
      } else if (name.startsWith('@tensorflow/') && !allowed.includes('tfjs')) {
        problems.push(`${where} imports ${name}: ${room} must not depend on TensorFlow.js`);
      }
      if (!(name in declared)) {
        problems.push(
          `${where} imports ${name}, which packages/${room}/package.json does not declare`,
        );
      }
    }
  }
}

if (problems.length > 0) {
  console.error(`The house rules are broken:\n  ${[...new Set(problems)].join('\n  ')}`);
  process.exit(1);
}
