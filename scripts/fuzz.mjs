// Runs the differential and the leak tests of the backend, or the files that are not to be trusted, for longer
// than `npm test` does.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const HELP = `npm run fuzz -- [options]

Compares every op on the backend "thimble" with the backend "cpu" on random examples, and trains every
layer for 1,000 steps to see that nothing leaks. With --only files instead: reads 100,000 mutated .thimble
files (a fifth of them again for the packed runtime) and as many mutated ONNX files, and loads and disposes of a model
10,000 times.

  --runs <n>   examples per case (default 300)
  --seed <n>   where the examples start (default: another one every time; it is printed)
  --only <s>   only the test files whose path contains this, for example "convolution"; "files" for files
  --help       this text

A failure prints its seed and its smallest example; the same seed and runs give it again.`;

function fail(message) {
  console.error(`${message}\n\n${HELP}`);
  process.exit(1);
}

function options() {
  try {
    return parseArgs({
      options: {
        runs: { type: 'string', default: '300' },
        seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
        only: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    return fail(error.message);
  }
}

const { runs, seed, only, help } = options();
if (help) {
  console.log(HELP);
  process.exit(0);
}
if (!/^[1-9]\d*$/.test(runs)) fail(`--runs takes a whole number from 1 on, not "${runs}".`);
if (!/^\d+$/.test(seed)) fail(`--seed takes a whole number from 0 on, not "${seed}".`);

const root = fileURLToPath(new URL('..', import.meta.url));
const thimbleFiles = only === 'files';
const files = thimbleFiles
  ? ['test/fuzz', 'test/packed-fuzz', 'test/onnx-fuzz', 'test/loads']
  : only
    ? [only]
    : ['test/differential', 'test/leaks'];
const project = thimbleFiles ? 'io' : 'backend';
const count = thimbleFiles ? '100000 files' : `${runs} examples per case`;
console.log(`${count} from seed ${seed}: ${files.join(', ')}`);
const args = ['run', '--config', 'vitest.workspace.ts', '--project', project, ...files];
const { status } = spawnSync('npx', ['vitest', ...args], {
  cwd: root,
  stdio: 'inherit',
  shell: process.platform === 'win32',
  env: {
    ...process.env,
    THIMBLE_FUZZ_RUNS: runs,
    THIMBLE_FUZZ_SEED: seed,
    ...(thimbleFiles ? { THIMBLE_FUZZ_FILES: '100000', THIMBLE_LOADS: '10000' } : {}),
  },
});
process.exit(status ?? 1);
