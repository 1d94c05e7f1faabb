// The command line as a user has it: `thimble compress` with the recipe deepCompression, as it is shipped, on trained
// LeNet-5 networks (or, with --net lenet300, LeNet-300-100) and real MNIST. Then what `thimble inspect` and `thimble report` say of the file, beside a count of
// the library's own: the bytes on disk, the parameters and entries of the network that is read back, the errors that
// it makes. They must be the same; if they are not, this fails.
import { execFile } from 'node:child_process';
import { mkdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { type CompressReport, load, type Report, saveTfjs } from 'thimble';
import type { Row } from 'thimble-examples/shared/table';
import { denseNetwork, PLANS, type Pruned, RATE } from './han-pruning.ts';
import { beginStudy, percent, realMnist, testErrors } from './study.ts';

const RECIPE = 'deepCompression';
/** The program `thimble`, seen from where this file is compiled to. */
const PROGRAM = fileURLToPath(new URL('../../packages/cli/dist/bin.js', import.meta.url));

/** What is said of a file. */
interface Said {
  bytes: number;
  /** All weights and biases as float32, divided by the bytes. */
  ratio: number;
  params: number;
  nonzero: number;
}

/** What is said of a file by one that tried it. */
interface Tried extends Said {
  errors: number;
}

interface Outcome {
  /** Errors of 10,000 test images. */
  before: number;
  errors: number;
  bytes: number;
  ratio: number;
  library: Tried;
  inspect: Said;
  report: Tried;
  seconds: number;
}

const { values } = parseArgs({
  options: { net: { type: 'string', default: 'lenet5' }, output: { type: 'string' } },
});
const net = values.net as Pruned;
const { denseEpochs } = PLANS[net];
const study = await beginStudy(`recipe-${net}`, values.output);
const { train, validation, test } = await realMnist();
const place = { output: study.output, train, validation };

/** Runs the program, and gives back what it says with --json. */
async function thimble<T>(...words: string[]): Promise<T> {
  const { stdout } = await promisify(execFile)(process.execPath, [PROGRAM, ...words, '--json'], {
    maxBuffer: 2 ** 26,
  });
  return JSON.parse(stdout) as T;
}

const figures = ({ params, nonzero }: Pick<Said, 'params' | 'nonzero'>) => ({ params, nonzero });

/** The library's own count: of the file as it lies there, and of the network that is read back from it. */
async function counted(file: string): Promise<Tried> {
  const bytes = await readFile(file);
  const model = await load(bytes);
  const arrays = model.getWeights().map((weight) => weight.dataSync());
  const params = arrays.reduce((sum, { length }) => sum + length, 0);
  const nonzero = arrays.reduce((sum, array) => sum + array.filter((x) => x !== 0).length, 0);
  const errors = await testErrors(model, test);
  model.dispose();
  return { bytes: bytes.length, ratio: (4 * params) / bytes.length, params, nonzero, errors };
}

async function compressed(seed: number): Promise<Outcome> {
  const folder = `${study.output}/${net}-${seed}`;
  const model = await denseNetwork(place, net, seed);
  await mkdir(folder, { recursive: true });
  await saveTfjs(model, `file://${folder}`);
  model.dispose();
  const file = `${folder}.thimble`;
  const data = ['--data', 'mnist'];
  const { steps } = await thimble<CompressReport>(
    ...['compress', folder, '--recipe', RECIPE, ...data, '--seed', `${seed}`],
    ...['--output', file, '--work', `${folder}.work`, '--keep-work'],
  );
  const errors = async (path: string) =>
    (await thimble<{ errors: number }>('eval', path, ...data)).errors;
  const inspected = await thimble<Said & { total: Said }>('inspect', file);
  const quick = ['--robustness', '0', '--maps', '0', '--repeats', '1'];
  const { after } = await thimble<Report>('report', folder, file, ...data, ...quick);
  const library = await counted(file);
  const { bytes, ratio } = inspected;
  const outcome: Outcome = {
    before: await errors(folder),
    errors: await errors(file),
    bytes,
    ratio,
    library,
    inspect: { bytes, ratio, ...figures(inspected.total) },
    report: {
      bytes: after.bytes,
      ratio: after.ratio,
      ...figures(after),
      errors: Math.round((1 - after.accuracy!) * test.size),
    },
    seconds: Math.round(steps.reduce((sum, step) => sum + step.seconds, 0)),
  };
  check(outcome);
  return outcome;
}

/** Fails where two say different things of the same file. */
function check({ library, inspect, report, errors }: Outcome): void {
  const { errors: found, ...rest } = library;
  const same =
    JSON.stringify(inspect) === JSON.stringify(rest) &&
    JSON.stringify(report) === JSON.stringify(library) &&
    errors === found;
  if (same) return;
  throw new Error(`They differ: ${JSON.stringify({ library, inspect, report, errors }, null, 2)}`);
}

const recipe = await thimble('recipe', RECIPE);
const settings = [recipe, denseEpochs, RATE];
const results = await study.compare({ [RECIPE]: compressed }, settings);
const rows: Row[] = results.flatMap(({ outcomes }) =>
  outcomes.map(({ before, errors, bytes, ratio }, i) => [
    `seed ${study.seeds[i]}`,
    percent([before]),
    percent([errors]),
    String(bytes),
    ratio.toFixed(1),
  ]),
);
await study.finish([[net, 'test error before %', 'after %', 'bytes', 'times smaller'], ...rows], {
  data: { source: 'MNIST', train: train.size, validation: validation.size, test: test.size },
  net,
  dense: { epochs: denseEpochs, rate: RATE },
  recipe,
  results,
});
