// Writes dist/tfjs-wasm.js: tfjs's own wasm file as a JavaScript module, for browsers. Part of the build.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const require = createRequire(import.meta.url);
const manifest = require.resolve('@tensorflow/tfjs-backend-wasm/package.json');
const { version } = JSON.parse(readFileSync(manifest, 'utf8'));
const bytes = readFileSync(join(dirname(manifest), 'dist/tfjs-backend-wasm-simd.wasm'));
const simd = gzipSync(bytes, { level: 9 }).toString('base64');

const dist = fileURLToPath(new URL('../dist/', import.meta.url));
mkdirSync(dist, { recursive: true });
writeFileSync(
  join(dist, 'tfjs-wasm.js'),
  `export const version = '${version}';\nexport const simd =\n  '${simd}';\n`,
);
