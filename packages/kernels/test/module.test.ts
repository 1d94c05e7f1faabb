import { readFileSync } from 'node:fs';
import { BackendError } from '@thimble/base';
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { plain, relaxed } from '#wasm';
import { editsOf } from '../scripts/edits.mjs';
import { hasRelaxedSimd, loadKernels } from '../src/index.ts';
import { decodeModule } from '../src/module.ts';
import { BUILDS } from './helpers.ts';

const modules = [
  { build: 'plain', bytes: decodeModule(plain) },
  { build: 'relaxed', bytes: decodeModule(plain, relaxed) },
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
    expect(hasRelaxedSimd()).toBe(WebAssembly.validate(decodeModule(plain, relaxed)));
    expect(WebAssembly.validate(decodeModule(plain))).toBe(true);
  });

  test('the relaxed build is a few edits of the plain one', () => {
    expect(decodeModule(plain, relaxed)).not.toEqual(decodeModule(plain));
    expect(relaxed.length).toBeLessThan(plain.length / 10);
  });

  test('edits make any build of any other', () =>
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 400, max: 2 }),
        fc.uint8Array({ maxLength: 400, max: 2 }),
        fc.nat(400),
        (old, other, cut) => {
          const made = Buffer.concat([old.subarray(cut), other, old.subarray(0, cut)]);
          const [before, edits] = [Buffer.from(old), editsOf(Buffer.from(old), made)];
          const got = decodeModule(before.toString('base64'), edits.toString('base64'));
          expect([...got]).toEqual([...made]);
        },
      ),
      { seed: 7, numRuns: 200 },
    ));

  test('takes the relaxed build where the engine has it', async () => {
    const instantiate = vi.spyOn(WebAssembly, 'instantiate');
    const memory = new WebAssembly.Memory({ initial: 1 });
    await loadKernels(memory);
    const [bytes] = instantiate.mock.calls[0] as unknown as [Uint8Array];
    const expected = decodeModule(plain, hasRelaxedSimd() ? relaxed : undefined);
    expect(Buffer.from(expected).equals(bytes)).toBe(true);
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
