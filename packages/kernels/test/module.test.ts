import { readFileSync } from 'node:fs';
import { BackendError } from '@thimble/base';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { plain, relaxed } from '#wasm';
import { hasRelaxedSimd, loadKernels } from '../src/index.ts';
import { BUILDS } from './helpers.ts';

const modules = [
  { build: 'plain', bytes: Buffer.from(plain, 'base64') },
  { build: 'relaxed', bytes: Buffer.from(relaxed, 'base64') },
].slice(0, BUILDS.length);

/** What the number of a section of a module stands for. */
const [GLOBAL, START, DATA] = [6, 8, 11];

function sections(bytes: Uint8Array): number[] {
  const ids: number[] = [];
  for (let at = 8; at < bytes.length; ) {
    ids.push(bytes[at++]!);
    let size = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++]!;
      size |= (byte & 127) << shift;
      if (byte < 128) break;
    }
    at += size;
  }
  return ids;
}

describe.each(modules)('the $build module', ({ bytes }) => {
  test('imports the memory and nothing else', () => {
    expect(WebAssembly.Module.imports(new WebAssembly.Module(new Uint8Array(bytes)))).toEqual([
      { module: 'env', name: 'memory', kind: 'memory' },
    ]);
  });

  test('exports functions only, all of them named in the README', () => {
    const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
    const exported = WebAssembly.Module.exports(new WebAssembly.Module(new Uint8Array(bytes)));
    for (const { name, kind } of exported) {
      expect(kind).toBe('function');
      expect(readme).toContain(`\`${name}\``);
    }
  });

  test('has no data, no globals and no start function', () => {
    const found = sections(bytes);
    for (const id of [GLOBAL, START, DATA]) expect(found).not.toContain(id);
  });

  test('is smaller than 45 KB', () => expect(bytes.length).toBeLessThan(45_000));
});

describe('loadKernels', () => {
  afterEach(() => vi.restoreAllMocks());

  test('hasRelaxedSimd says whether the relaxed build is valid here', () => {
    expect(hasRelaxedSimd()).toBe(WebAssembly.validate(Buffer.from(relaxed, 'base64')));
    expect(WebAssembly.validate(Buffer.from(plain, 'base64'))).toBe(true);
  });

  test('the two builds differ', () => {
    expect(plain).not.toBe(relaxed);
  });

  test('takes the relaxed build where the engine has it', async () => {
    const instantiate = vi.spyOn(WebAssembly, 'instantiate');
    const memory = new WebAssembly.Memory({ initial: 1 });
    await loadKernels(memory);
    const [bytes] = instantiate.mock.calls[0] as unknown as [Uint8Array];
    const expected = Buffer.from(hasRelaxedSimd() ? relaxed : plain, 'base64');
    expect(expected.equals(bytes)).toBe(true);
  });

  test('says what is missing where the engine has no SIMD', async () => {
    vi.spyOn(WebAssembly, 'instantiate').mockRejectedValue(new WebAssembly.CompileError('no'));
    const loading = loadKernels(new WebAssembly.Memory({ initial: 1 }));
    await expect(loading).rejects.toThrow(BackendError);
  });

  test.each(BUILDS)('keeps working when the memory has grown, $build', async ({ build }) => {
    const memory = new WebAssembly.Memory({ initial: 1 });
    const { sgd } = await loadKernels(memory, { relaxedSimd: build === 'relaxed' });
    new Float32Array(memory.buffer).set([1, 2, 10, 20]);
    memory.grow(1);
    sgd(0, 8, 2, 0.5);
    expect([...new Float32Array(memory.buffer, 0, 4)]).toEqual([6, 12, 10, 20]);
  });
});
