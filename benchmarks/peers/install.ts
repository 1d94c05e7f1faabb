// The peers' packages: where they lie, and their installation when a benchmark needs them.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

// Compiled to benchmarks/dist/peers; the package lies beside the source.
const FOLDER = fileURLToPath(new URL('../../peers/', import.meta.url));
const require = createRequire(`${FOLDER}package.json`);

/**
 * Installs the peers where they are missing. Their installation scripts do not run: onnxruntime-node's would
 * download a library for graphics cards, which is not needed.
 *
 * @returns what went wrong; undefined where they are there.
 */
export function installPeers(): string | undefined {
  if (existsSync(`${FOLDER}node_modules/.package-lock.json`)) return undefined;
  console.log('Installing the peers into benchmarks/peers (about 110 MB to download) ...');
  const { status, stderr } = spawnSync('npm', ['ci', '--ignore-scripts', '--prefix', FOLDER], {
    stdio: ['ignore', 'inherit', 'pipe'],
    encoding: 'utf8',
    shell: process.platform === 'win32',
  });
  return status === 0 ? undefined : `npm ci failed: ${(stderr ?? '').trim().split('\n').at(-1)}`;
}

/** The folder of a peer's package. */
export function peerFolder(name: string): string {
  return join(FOLDER, 'node_modules', name);
}

/** The version of an installed peer. */
export function peerVersion(name: string): string {
  return JSON.parse(readFileSync(join(peerFolder(name), 'package.json'), 'utf8')).version;
}

/** Loads an ES module of a peer, by its path in node_modules. */
export function importPeer(path: string): Promise<Record<string, unknown>> {
  return import(pathToFileURL(join(FOLDER, 'node_modules', path)).href);
}

/** Loads a CommonJS package of a peer. */
export function requirePeer(name: string): unknown {
  return require(name);
}

/** The folder of a package that the repository itself depends on. */
export function ownFolder(name: string): string {
  const path = createRequire(import.meta.url).resolve(`${name}/package.json`);
  return dirname(path);
}
