// Compiles the entry points of assembly/ and writes the bytes as JavaScript modules: dist/wasm.js, the kernels of
// training, and dist/inference-wasm.js, those that a page needs to run a packed network, each with plain SIMD and what must
// be edited for relaxed SIMD; dist/decoding-wasm.js, what reads a file. Part of the build; leaves a module alone that is
// newer than the sources.
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { editsOf } from './edits.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const PLAIN = { plain: ['bulk-memory'] };
const BOTH = { plain: ['simd'], relaxed: ['simd', 'relaxed-simd'] };
const targets = {
  'index.ts': ['wasm.js', BOTH],
  'inference.ts': ['inference-wasm.js', BOTH],
  'decoding.ts': ['decoding-wasm.js', PLAIN],
};

function newest() {
  const files = ['assembly', 'scripts'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true }).map((name) => join(root, folder, name)),
  );
  return Math.max(...files.map((file) => statSync(file).mtimeMs));
}

async function compile(asc, entry, ...features) {
  const options = [`assembly/${entry}`, '--baseDir', root, '--outFile', 'kernels.wasm'];
  options.push('-O3', '--converge', '--noAssert', '--runtime', 'stub', '--use', 'abort=');
  options.push('--importMemory', '--noExportMemory');
  for (const feature of features) options.push('--enable', feature);
  let bytes;
  const { error, stderr } = await asc.main(options, {
    writeFile(name, content) {
      if (name.endsWith('.wasm')) bytes = content;
    },
  });
  if (error) throw new Error(`${error.message}\n${stderr.toString()}`);
  return Buffer.from(bytes);
}

const sources = newest();
for (const [entry, [name, builds]] of Object.entries(targets)) {
  const target = join(root, 'dist', name);
  if ((statSync(target, { throwIfNoEntry: false })?.mtimeMs ?? 0) >= sources) continue;
  const asc = await import('assemblyscript/asc');
  const lines = [];
  let plain;
  for (const [build, features] of Object.entries(builds)) {
    const bytes = await compile(asc, entry, ...features);
    const kept = plain ? editsOf(plain, bytes) : bytes;
    plain ??= bytes;
    lines.push(`export const ${build} =\n  '${kept.toString('base64')}';\n`);
  }
  mkdirSync(join(root, 'dist'), { recursive: true });
  writeFileSync(target, lines.join(''));
}
