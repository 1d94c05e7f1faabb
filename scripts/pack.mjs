// The packages that are published, and their tarballs.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));

/** Every package that is published: its folder, its package.json and the name that npm gives its tarball. */
export const packages = readdirSync(join(root, 'packages'))
  .map((room) => {
    const folder = join(root, 'packages', room);
    const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    const { name, version } = manifest;
    return {
      name,
      folder,
      manifest,
      tarball: `${name.replace('@', '').replace('/', '-')}-${version}.tgz`,
    };
  })
  .filter(({ manifest }) => !manifest.private);

/** Packs all of them into a folder, from what was built last. */
export function packAll(destination) {
  const workspaces = packages.flatMap(({ name }) => ['--workspace', name]);
  execFileSync('npm', ['pack', '--silent', ...workspaces, '--pack-destination', destination], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
    shell: process.platform === 'win32',
  });
}
