// Compiles assembly/ twice, with plain and with relaxed SIMD, and writes the bytes as a JavaScript module,
// dist/wasm.js. Part of the build; does nothing where the module is newer than the sources.
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const target = join(root, 'dist/wasm.js');

function newest() {
  const files = readdirSync(join(root, 'assembly')).map((name) => join(root, 'assembly', name));
  return Math.max(
    ...[...files, fileURLToPath(import.meta.url)].map((file) => statSync(file).mtimeMs),
  );
}

async function compile(asc, ...features) {
  const options = ['assembly/index.ts', '--baseDir', root, '--outFile', 'kernels.wasm'];
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
  return Buffer.from(bytes).toString('base64');
}

if ((statSync(target, { throwIfNoEntry: false })?.mtimeMs ?? 0) < newest()) {
  const asc = await import('assemblyscript/asc');
  const plain = await compile(asc, 'simd');
  const relaxed = await compile(asc, 'simd', 'relaxed-simd');
  mkdirSync(join(root, 'dist'), { recursive: true });
  writeFileSync(
    target,
    `export const plain =\n  '${plain}';\nexport const relaxed =\n  '${relaxed}';\n`,
  );
}
