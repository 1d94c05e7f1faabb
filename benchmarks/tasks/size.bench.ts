// What a page downloads: each runtime as it is bundled for a page, and the networks in each format.
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { data } from 'thimble';
import { count } from 'thimble-examples/shared/table';
import { build } from 'vite';
import { filesOf, isTrained } from '../inference-files.ts';
import { enlarged, NETS } from '../inference-nets.ts';
import { installPeers, ownFolder, peerFolder } from '../peers/install.ts';
import type { Measured, Task } from '../task.ts';

const FOLDER = 'output/bench-size';
const PEER = peerFolder('');
const WASM = `${ownFolder('@tensorflow/tfjs-backend-wasm')}/dist/tfjs-backend-wasm-simd.wasm`;
const TFJS =
  "export { setBackend, tensor, tidy } from '@tensorflow/tfjs-core';\n" +
  "export { loadLayersModel } from '@tensorflow/tfjs-layers';\n";

/** What a runtime consists of: a program to bundle, and files that are fetched as they are. */
const RUNTIMES: Record<string, { program?: string; files: string[] }> = {
  Thimble: { program: "export { load } from '@thimble/runtime';\n", files: [] },
  'tfjs cpu': { program: `${TFJS}import '@tensorflow/tfjs-backend-cpu';\n`, files: [] },
  'tfjs wasm': {
    program: `${TFJS}export { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';\n`,
    files: [WASM],
  },
  'onnxruntime-web': {
    files: [
      join(PEER, 'onnxruntime-web/dist/ort.wasm.min.mjs'),
      join(PEER, 'onnxruntime-web/dist/ort-wasm-simd-threaded.mjs'),
      join(PEER, 'onnxruntime-web/dist/ort-wasm-simd-threaded.wasm'),
    ],
  },
  'LiteRT.js': {
    program: `export { loadLiteRt, loadAndCompile, Tensor } from '${PEER}/@litertjs/core/dist/index.js';\n`,
    files: [
      join(PEER, '@litertjs/core/wasm/litert_wasm_internal.js'),
      join(PEER, '@litertjs/core/wasm/litert_wasm_internal.wasm'),
    ],
  },
};

/** Bytes as they are and compressed, each file for itself. */
interface Size {
  raw: number;
  gzip: number;
  brotli: number;
}

function sizeOf(files: readonly Uint8Array[]): Size {
  const sum = (of: (bytes: Uint8Array) => Uint8Array) =>
    files.reduce((bytes, file) => bytes + of(file).length, 0);
  return {
    raw: sum((bytes) => bytes),
    gzip: sum((bytes) => gzipSync(bytes, { level: 9 })),
    brotli: sum((bytes) => brotliCompressSync(bytes)),
  };
}

/** A program and all it imports as one minified file for a page, with the WebAssembly that is inside. */
async function bundled(name: string, program: string): Promise<Uint8Array[]> {
  const input = resolve(FOLDER, `${name.replace(/\W+/g, '-')}.js`);
  await writeFile(input, program);
  const made = await build({
    configFile: false,
    logLevel: 'error',
    build: {
      write: false,
      target: 'esnext',
      minify: true,
      rolldownOptions: { input, preserveEntrySignatures: 'strict', output: { format: 'es' } },
    },
  });
  const outputs = Array.isArray(made) ? made : [made];
  return outputs.flatMap((one) =>
    'output' in one
      ? one.output.map((part) => Buffer.from(part.type === 'chunk' ? part.code : part.source))
      : [],
  );
}

/** The bytes of a file, or of all files of a folder. */
async function contents(path: string): Promise<Uint8Array[]> {
  if (!(await stat(path)).isDirectory()) return [await readFile(path)];
  const names = await readdir(path);
  return Promise.all(names.map((name) => readFile(join(path, name))));
}

interface Row {
  network: string;
  runtime: string;
  form: string;
  model: Size;
  /** Runtime and network together; absent for what does not run on a page. */
  page?: Size;
}

const plus = (a: Size, b: Size): Size => ({
  raw: a.raw + b.raw,
  gzip: a.gzip + b.gzip,
  brotli: a.brotli + b.brotli,
});

async function run(): Promise<Measured> {
  const failed = installPeers();
  if (failed) console.log(`The peers could not be installed: ${failed}`);
  await mkdir(FOLDER, { recursive: true });
  const runtimes: Record<string, Size> = {};
  const errors: Record<string, string> = {};
  for (const [name, { program, files }] of Object.entries(RUNTIMES)) {
    console.log(`${name}: bundling and compressing ...`);
    try {
      const parts = program === undefined ? [] : await bundled(name, program);
      for (const file of files) parts.push(...(await contents(file)));
      runtimes[name] = sizeOf(parts);
    } catch (error) {
      errors[name] = error instanceof Error ? error.message.split('\n')[0]! : String(error);
    }
  }
  const digits = await data.mnist({ distort: true, limit: 500 });
  const rows: Row[] = [];
  for (const net of NETS) {
    if (!(await isTrained(net))) continue;
    console.log(`${net.title}: writing its files ...`);
    const sized = (part: data.ImageDataset) => (net.side === 28 ? part : enlarged(part, net.side));
    const parts = { train: sized(digits.train), test: sized(digits.test) };
    const { title, forms } = await filesOf(net, FOLDER, parts);
    for (const { runtime, form: name, halves, path } of forms) {
      const form = halves ? `${name}, stored as f16` : name;
      const files = await contents(path).catch(() => undefined);
      if (!files || runtime === 'tfjs cpu') continue; // has the files of tfjs wasm
      const model = sizeOf(files);
      const own = runtimes[runtime];
      const page = own && plus(own, model);
      rows.push({ network: title, runtime, form, model, ...(page ? { page } : {}) });
    }
  }
  const cells = (size: Size | undefined): string[] =>
    size ? [size.raw, size.gzip, size.brotli].map(count) : ['-', '-', '-'];
  const empty = ['-', '-', '-'];
  const table = [
    ['', 'bytes', 'gzip', 'brotli', 'with runtime', 'gzip', 'brotli'],
    ...Object.entries(runtimes).map(([name, size]) => [
      `runtime: ${name}`,
      ...cells(size),
      ...empty,
    ]),
    ...Object.entries(errors).map(([name, why]) => [
      `runtime: ${name}: ${why}`,
      ...empty,
      ...empty,
    ]),
    ...rows.map(({ network, runtime, form, model, page }) => [
      `${network}, ${runtime} ${form}`,
      ...cells(model),
      ...cells(page),
    ]),
  ];
  return { table, figures: { runtimes, errors, rows } };
}

export const size: Task = {
  about: 'bytes that a page downloads: runtime and network, raw, gzip and brotli, beside peers',
  run,
};
