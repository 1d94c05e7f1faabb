// Every test loads tfjs and the backend anew: which backend starts first is what is tested.
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, test, vi } from 'vitest';

const require = createRequire(import.meta.url);

type Core = typeof import('@tensorflow/tfjs-core');
type Backend = typeof import('../src/index.ts');

let tf: Core;
let backend: Backend;
let wasm: typeof import('@tensorflow/tfjs-backend-wasm');

/** tfjs keeps its engine on the global object, and its modules in Node's own cache: drop both. */
async function load(): Promise<void> {
  for (const path of Object.keys(require.cache)) {
    if (path.includes('@tensorflow')) delete require.cache[path];
  }
  vi.resetModules();
  for (const key of ['_tfengine', '_tfGlobals']) Reflect.deleteProperty(globalThis, key);
  const core = require('@tensorflow/tfjs-core');
  const stock = require('@tensorflow/tfjs-backend-wasm');
  vi.doMock('@tensorflow/tfjs-core', () => ({ ...core, default: core }));
  vi.doMock('@tensorflow/tfjs-backend-wasm', () => ({ ...stock, default: stock }));
  tf = core;
  wasm = stock;
  backend = await import('../src/index.ts');
}

beforeEach(load);

/** A product under the given backend. */
function product(): number[] {
  return tf.tidy(() =>
    Array.from(tf.matMul(tf.tensor2d([[1, 2]]), tf.tensor2d([[3, 4]]), false, true).dataSync()),
  );
}

test('thimble starts on its own, and wasm then shares its instance', async () => {
  expect(await tf.setBackend('thimble')).toBe(true);
  const instance = tf.backend();
  expect(instance instanceof wasm.BackendWasm).toBe(true);
  expect(product()).toEqual([11]);
  expect(await tf.setBackend('wasm')).toBe(true);
  expect(tf.backend() === instance).toBe(true);
  expect(product()).toEqual([11]);
  expect(await tf.setBackend('thimble')).toBe(true);
  expect(product()).toEqual([11]);
});

test('thimble takes over an instance that wasm started', async () => {
  expect(await tf.setBackend('wasm')).toBe(true);
  const instance = tf.backend();
  expect(product()).toEqual([11]);
  expect(await tf.setBackend('thimble')).toBe(true);
  expect(tf.backend() === instance).toBe(true);
  expect(product()).toEqual([11]);
});

test('tensors move between both names without a copy', async () => {
  await tf.setBackend('wasm');
  const made = tf.tensor1d([1, 2, 3]);
  const address = () =>
    (tf.backend() as InstanceType<typeof wasm.BackendWasm>).getMemoryOffset(made.dataId);
  const before = address();
  await tf.setBackend('thimble');
  const doubled = tf.add(made, made);
  expect(Array.from(doubled.dataSync())).toEqual([2, 4, 6]);
  expect(address()).toBe(before);
  await tf.setBackend('wasm');
  expect(Array.from(tf.add(doubled, made).dataSync())).toEqual([3, 6, 9]);
});

test('the stock kernels stay as they are under wasm', async () => {
  const names = (name: string) => tf.getKernelsForBackend(name).map(({ kernelName }) => kernelName);
  expect(names('wasm')).not.toContain('Conv2DBackpropFilter');
  expect(names('thimble')).toEqual(expect.arrayContaining(names('wasm')));
  expect(names('thimble')).toContain('Conv2DBackpropFilter');
  expect(tf.getKernel('MaxPoolGrad', 'wasm')).not.toBe(tf.getKernel('MaxPoolGrad', 'thimble'));
  expect(tf.getKernel('Add', 'wasm').kernelFunc).toBe(tf.getKernel('Add', 'thimble').kernelFunc);
});

test('two starts at once end with one instance', async () => {
  const both = await Promise.all([tf.setBackend('thimble'), tf.setBackend('thimble')]);
  expect(both.at(-1)).toBe(true);
  const instance = tf.backend();
  await tf.setBackend('wasm');
  expect(tf.backend() === instance).toBe(true);
  expect(product()).toEqual([11]);
});

test('wasm set while thimble is starting gets the same instance', async () => {
  const first = backend.startThimble();
  const second = tf.setBackend('wasm');
  await expect(first).rejects.toThrow(/Another backend was set while "thimble" was starting/);
  expect(await second).toBe(true);
  expect(product()).toEqual([11]);
  const instance = tf.backend();
  await backend.startThimble();
  expect(tf.backend() === instance).toBe(true);
  expect(product()).toEqual([11]);
});

test('thimble is never chosen by tf.ready() on its own', async () => {
  await tf.ready();
  expect(tf.getBackend()).toBe('wasm');
});

test('importing twice registers once', async () => {
  const before = tf.getKernelsForBackend('thimble').length;
  vi.resetModules();
  await import('../src/index.ts');
  expect(tf.getKernelsForBackend('thimble')).toHaveLength(before);
});

/** What was printed to the console so far, which the test then answers for. */
function takePrinted(): string {
  const spies = [vi.mocked(console.warn), vi.mocked(console.error)];
  const printed = spies.flatMap((spy) => spy.mock.calls).join('\n');
  for (const spy of spies) spy.mockClear();
  return printed;
}

test('a wasm file that is not where setWasmPaths says is a BackendError with the remedy', async () => {
  wasm.setWasmPaths('/no/such/folder/');
  const { BackendError } = await import('@thimble/base');
  const error = await backend.startThimble().catch((reason) => reason);
  expect(error).toBeInstanceOf(BackendError);
  expect(error.message).toMatch(/cannot start.*setWasmPaths\(\)/);
  expect(takePrinted()).toMatch(/BackendError.*setWasmPaths\(\)/);
});

test('a start that failed can be tried again', async () => {
  const folder = `${mkdtempSync(join(tmpdir(), 'thimble-start-'))}/`;
  wasm.setWasmPaths(folder);
  await expect(backend.startThimble()).rejects.toThrow(/cannot start/);
  expect(takePrinted()).toMatch(/ENOENT/);
  const file = 'tfjs-backend-wasm-simd.wasm';
  copyFileSync(require.resolve(`@tensorflow/tfjs-backend-wasm/dist/${file}`), folder + file);
  await backend.startThimble();
  expect(product()).toEqual([11]);
  rmSync(folder, { recursive: true });
});

test('a removed wasm backend is a BackendError', async () => {
  tf.removeBackend('wasm');
  await expect(backend.startThimble()).rejects.toThrow(/Do not call removeBackend\("wasm"\)/);
  expect(takePrinted()).toMatch(/removeBackend/);
});
