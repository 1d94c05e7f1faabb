// The rules that keep the packages apart: `npm run build` must fail on an import against them.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';

const scripts = fileURLToPath(new URL('../../../scripts', import.meta.url));
let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'thimble-house-'));
  cpSync(scripts, join(root, 'scripts'), { recursive: true });
});
afterEach(() => rmSync(root, { recursive: true }));

interface Room {
  code: string;
  dependencies?: string[];
  references?: string[];
}

function write(name: string, { code, dependencies = [], references = [] }: Room): void {
  const folder = join(root, 'packages', name);
  mkdirSync(join(folder, 'src'), { recursive: true });
  const manifest = { dependencies: Object.fromEntries(dependencies.map((d) => [d, '*'])) };
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest));
  const config = { references: references.map((room) => ({ path: `../${room}` })) };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
  writeFileSync(join(folder, 'src/index.ts'), code);
}

function check(): { status: number | null; message: string } {
  const { status, stderr } = spawnSync(process.execPath, [join(root, 'scripts/check-house.mjs')], {
    encoding: 'utf8',
  });
  return { status, message: stderr };
}

const both = {
  dependencies: ['@thimble/core', '@thimble/pruning'],
  references: ['core', 'pruning'],
};

test('an arrow that the house has is allowed', () => {
  write('pruning', { ...both, code: "import { fit } from '@thimble/core';\nfit();\n" });
  expect(check()).toEqual({ status: 0, message: '' });
});

test.each([
  ['core', "import { mask } from '@thimble/pruning';", 'core may import base, graph, tfjs'],
  ['quantization', "export * from '@thimble/pruning';", 'quantization may import base, core, tfjs'],
  ['quantization', "await import('@thimble/pruning');", 'quantization may import base, core, tfjs'],
  ['base', "import * as tf from '@tensorflow/tfjs-core';", 'must not depend on TensorFlow.js'],
])('%s: %s fails', (room, code, message) => {
  write(room, { ...both, code });
  const result = check();
  expect(result.status).toBe(1);
  expect(result.message).toContain(message);
});

test('an import that package.json or tsconfig.json does not declare fails', () => {
  write('pruning', { code: "import { fit } from '@thimble/core';\n" });
  expect(check().message).toMatch(/which packages\/pruning\/package.json does not declare/);
  expect(check().message).toMatch(/add it to the references of packages\/pruning\/tsconfig.json/);
});

test('a package that is not in the house fails', () => {
  write('attic', { code: '' });
  expect(check().message).toContain('packages/attic is not in scripts/house.json');
});
