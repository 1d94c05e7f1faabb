// How hard the data sets are: test errors of two nets on MNIST, on distorted MNIST and on synthetic digits.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Sequential } from '@tensorflow/tfjs-layers';
import { startThimble } from '@thimble/backend';
import { data, evaluate, fit, schedules } from 'thimble';
import { convTeacher, mlp } from 'thimble-examples/mnist-distillation/models';
import { describeRun } from 'thimble-examples/shared/run-record';
import { meanAndSpread, type Row, textTable } from 'thimble-examples/shared/table';

const EPOCHS = 5;
const SEEDS = [0, 1, 2];
const QUIET = { onProgress: false } as const;

const DATA: Record<string, () => Promise<data.TrainAndTest>> = {
  'distorted MNIST': () => data.mnist({ distort: true, ...QUIET }),
  MNIST: () => data.mnist(QUIET),
  'synthetic digits': () => data.syntheticDigits(QUIET),
};

const NETS: Record<string, (seed: number) => Sequential> = {
  'conv 16-32, dense 128': convTeacher,
  'dense 300-100': (seed) => mlp(seed, { name: 'dense', hidden: [300, 100] }),
};

const { values } = parseArgs({ options: { output: { type: 'string' } } });
const output = values.output ?? join('output', 'difficulty');

async function errors(
  make: (seed: number) => Sequential,
  seed: number,
  { train, test }: data.TrainAndTest,
): Promise<number> {
  const model = make(seed);
  await fit(model, train, {
    epochs: EPOCHS,
    batchSize: 128,
    optimizer: 'adam',
    loss: 'categoricalCrossentropyFromLogits',
    learningRate: schedules.cosine(2e-3),
    seed,
  });
  const counted = await evaluate(model, test, { metrics: ['errors'], batchSize: 500 });
  model.dispose();
  return counted.errors!;
}

await startThimble();
const run = describeRun('npm run reproduce -- difficulty');
const results = [];
for (const [name, load] of Object.entries(DATA)) {
  const sets = await load();
  if (sets.train.synthetic !== (name === 'synthetic digits')) {
    throw new Error(`${name} is needed: ${sets.train.source}`);
  }
  for (const [net, make] of Object.entries(NETS)) {
    const counts: number[] = [];
    for (const seed of SEEDS) counts.push(await errors(make, seed, sets));
    results.push({ data: name, net, train: sets.train.size, test: sets.test.size, errors: counts });
    console.log(`${name}, ${net}: ${counts.join(', ')} errors of ${sets.test.size}`);
  }
}
const rows: Row[] = results.map((result) => {
  const percent = result.errors.map((count) => (100 * count) / result.test);
  return [result.data, result.net, meanAndSpread(percent, 2)];
});
console.log(textTable([['data', 'net', 'test error %'], ...rows]));
await mkdir(output, { recursive: true });
const record = { run, epochs: EPOCHS, seeds: SEEDS, results };
await writeFile(join(output, 'result.json'), `${JSON.stringify(record, null, 2)}\n`);
