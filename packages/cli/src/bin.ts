#!/usr/bin/env node
// The program `thimble`.
import { setFlagsFromString } from 'node:v8';
import { main } from './main.ts';

// Relaxed SIMD, which the kernels use where the engine has it: Node 22 does, Node 20 has it behind a flag that
// Node 22 no longer knows.
if (Number(process.versions.node.split('.')[0]) < 22) {
  setFlagsFromString('--experimental-wasm-relaxed-simd');
}
const abort = new AbortController();
// The first interrupt stops the work where it can go on from, the second one at once.
process.once('SIGINT', () => abort.abort());
process.once('SIGTERM', () => abort.abort());
// Whoever reads the output may stop, as `head` does; a file that takes it may be full.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit();
  process.stderr.write(`The output cannot be written: ${error.message}.\n`);
  process.exit(1);
});
process.stderr.on('error', () => {});
process.exitCode = await main(process.argv.slice(2), {
  out: (text) => {
    process.stdout.write(text);
  },
  err: (text) => {
    process.stderr.write(text);
  },
  signal: abort.signal,
});
