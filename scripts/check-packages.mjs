// Whether every package is ready to be published: what package.json, README and tarball hold, publint, are the
// types wrong, sizes below the ceilings of package-sizes.json. `--write` measures the ceilings anew.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import { problemKindInfo } from '@arethetypeswrong/core/problems';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { build } from 'vite';
import { packAll, packages, root } from './pack.mjs';

const { values: options } = parseArgs({ options: { write: { type: 'boolean', default: false } } });
const sizesFile = fileURLToPath(new URL('package-sizes.json', import.meta.url));
const ceilings = JSON.parse(readFileSync(sizesFile, 'utf8'));

/** The packages are ES modules alone: CommonJS requires them (Node 20.19), and Node 10's resolution knows no exports. */
const IGNORED = ['node10', 'node16-cjs'];

/** What is wrong with package.json, README and licence. */
function manifestProblems({ folder, manifest }) {
  const problems = [];
  for (const field of ['description', 'type', 'sideEffects', 'files', 'exports']) {
    if (!(field in manifest)) problems.push(`package.json has no "${field}".`);
  }
  if (!(manifest.keywords?.length >= 3)) problems.push('package.json has fewer than 3 keywords.');
  if (manifest.license !== 'Apache-2.0') problems.push('package.json must say Apache-2.0.');
  if (manifest.engines?.node !== '>=20.19') problems.push('package.json must say node >=20.19.');
  for (const [path, entry] of Object.entries(manifest.exports ?? {})) {
    if (typeof entry === 'object' && !entry.types)
      problems.push(`exports["${path}"] has no types.`);
  }
  const read = (path) => readFileSync(join(folder, path), 'utf8');
  if (read('LICENSE') !== readFileSync(join(root, 'LICENSE'), 'utf8')) {
    problems.push('its LICENSE is not a copy of the one at the root.');
  }
  const [, reasons = ''] = read('README.md').split('\n## Dependencies\n');
  const needed = { ...manifest.dependencies, ...manifest.peerDependencies };
  for (const name of Object.keys(needed)) {
    const said =
      reasons.includes(name) || (name.startsWith('@tensorflow/') && /TensorFlow\.js/.test(reasons));
    if (!said)
      problems.push(`its README does not say under Dependencies why "${name}" is a dependency.`);
  }
  return problems;
}

/** Files that have no business in a tarball. */
function tarballProblems(contents) {
  const base = `/node_modules/${contents.packageName}/`;
  const files = contents.listFiles().map((file) => file.slice(base.length));
  const problems = files
    .filter((file) => /(^|\/)(test|node_modules|\.[^/]+)(\/|$)|\.test\.|\.tsbuildinfo$/.test(file))
    .map((file) => `its tarball holds ${file}.`);
  for (const file of ['LICENSE', 'README.md']) {
    if (!files.includes(file)) problems.push(`its tarball has no ${file}.`);
  }
  return problems;
}

async function publintProblems({ manifest }, tarball) {
  const data = tarball.buffer.slice(tarball.byteOffset, tarball.byteOffset + tarball.byteLength);
  const { messages } = await publint({ pack: { tarball: data }, strict: true });
  return messages.map(
    (message) => `publint: ${formatMessage(message, manifest, { color: false })}`,
  );
}

async function typeProblems(contents) {
  const { types, problems } = await checkPackage(contents);
  if (!types) return ['are the types wrong: it has none.'];
  const counted = problems.filter(({ resolutionKind }) => !IGNORED.includes(resolutionKind));
  const told = counted.map(({ kind, entrypoint = '' }) =>
    `are the types wrong: ${problemKindInfo[kind].shortDescription} ${entrypoint}`.trim(),
  );
  return [...new Set(told)];
}

/** Bytes of a module as a page loads it: minified, gzipped, TensorFlow.js outside. */
async function bundleBytes(code) {
  const entry = '\0entry';
  const { output } = await build({
    root,
    configFile: false,
    logLevel: 'error',
    plugins: [
      {
        name: 'entry',
        enforce: 'pre',
        resolveId: (id) => (id === entry ? id : undefined),
        load: (id) => (id === entry ? code : undefined),
      },
    ],
    build: {
      write: false,
      target: 'es2022',
      rolldownOptions: {
        input: entry,
        preserveEntrySignatures: 'strict',
        external: [/^@tensorflow\//],
        output: { codeSplitting: false },
      },
    },
  });
  return output.reduce((sum, { code: text = '' }) => sum + gzipSync(text).length, 0);
}

/** What is measured of a package: its tarball, a bundle of all of it, and one for each export in `one`. */
async function measure({ name }, tarball) {
  const { bundle, one } = ceilings[name] ?? { bundle: 0 };
  const sizes = { tarball: tarball.length };
  if (bundle !== undefined) sizes.bundle = await bundleBytes(`export * from '${name}';`);
  for (const each of Object.keys(one ?? {})) {
    sizes.one ??= {};
    sizes.one[each] = await bundleBytes(`export { ${each} } from '${name}';`);
  }
  return sizes;
}

const count = (bytes) => bytes.toLocaleString('en-US');

function sizeProblems(name, sizes) {
  const allowed = ceilings[name];
  if (!allowed) return ['scripts/package-sizes.json has no ceilings for it.'];
  const rows = [
    ['its tarball', sizes.tarball, allowed.tarball],
    ['a bundle of it', sizes.bundle, allowed.bundle],
    ...Object.entries(sizes.one ?? {}).map(([each, bytes]) => [
      `a bundle of its "${each}" alone`,
      bytes,
      allowed.one[each],
    ]),
  ];
  return rows
    .filter(([, bytes, ceiling]) => bytes > ceiling)
    .map(
      ([what, bytes, ceiling]) =>
        `${what} has ${count(bytes)} bytes, ${count(bytes - ceiling)} above its ceiling of ${count(ceiling)}. Find out what came in; if it is worth that, raise the ceiling in scripts/package-sizes.json.`,
    );
}

/** A tenth above what was measured, in round figures. */
const ceilingOf = (bytes) => Math.ceil((1.1 * bytes) / 500) * 500;

const folder = mkdtempSync(join(tmpdir(), 'thimble-packages-'));
const problems = [];
const measured = {};
try {
  packAll(folder);
  for (const each of packages) {
    const tarball = readFileSync(join(folder, each.tarball));
    const contents = createPackageFromTarballData(new Uint8Array(tarball));
    const sizes = await measure(each, tarball);
    const { bundle, one } = sizes;
    measured[each.name] = {
      tarball: ceilingOf(sizes.tarball),
      ...(bundle === undefined ? {} : { bundle: ceilingOf(bundle) }),
      ...(one === undefined
        ? {}
        : { one: Object.fromEntries(Object.entries(one).map(([k, v]) => [k, ceilingOf(v)])) }),
    };
    const found = [
      ...manifestProblems(each),
      ...tarballProblems(contents),
      ...(await publintProblems(each, tarball)),
      ...(await typeProblems(contents)),
      ...(options.write ? [] : sizeProblems(each.name, sizes)),
    ];
    problems.push(...found.map((problem) => `${each.name}: ${problem}`));
    const parts = [`tarball ${count(sizes.tarball)}`];
    if (bundle !== undefined) parts.push(`all of it in a page ${count(bundle)}`);
    for (const [name, bytes] of Object.entries(one ?? {})) {
      parts.push(`${name} alone ${count(bytes)}`);
    }
    console.log(`${found.length > 0 ? '✗' : '✓'} ${each.name}: ${parts.join(', ')} bytes`);
  }
} finally {
  rmSync(folder, { recursive: true });
}
if (options.write) writeFileSync(sizesFile, `${JSON.stringify(measured, null, 2)}\n`);
if (problems.length > 0) {
  console.error(`\nNot ready to be published:\n  ${problems.join('\n  ')}`);
  process.exit(1);
}
console.log(`${packages.length} packages are ready to be published.`);
