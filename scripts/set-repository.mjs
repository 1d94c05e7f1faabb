// Writes into every package.json the repository that a workflow runs in. npm asks for it with provenance, and
// compares it with the one that the package comes from. Part of a release; not committed.
import { writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { packages, root } from './pack.mjs';

const { GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: repository } = process.env;
if (!server || !repository) {
  console.error(
    'GITHUB_SERVER_URL and GITHUB_REPOSITORY are not set. Releases are made by .github/workflows/release.yml.',
  );
  process.exit(1);
}
const url = `git+${server}/${repository}.git`;
for (const { folder, manifest } of packages) {
  const directory = relative(root, folder).replaceAll('\\', '/');
  const complete = { ...manifest, repository: { type: 'git', url, directory } };
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(complete, null, 2)}\n`);
}
