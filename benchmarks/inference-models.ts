// Trains the networks of `npm run bench -- inference` on distorted MNIST, prunes them, and writes them as .thimble
// files to benchmarks/models, floats in half precision. The dense network teaches the pruned ones. Each network goes on from its checkpoint.
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import {
  callbacks,
  criteria,
  type data,
  encode,
  type FitOptions,
  fit,
  load,
  schedules,
  sparsitySchedules,
  summarize,
} from 'thimble';
import type { Row } from 'thimble-examples/shared/table';
import {
  enlarged,
  isPruned,
  MODELS,
  NETS,
  type Net,
  PRUNINGS,
  type Pruning,
  XNOR,
} from './inference-nets.ts';
import { beginStudy, realMnist, testErrors } from './study.ts';

const { values } = parseArgs({
  options: { output: { type: 'string' }, only: { type: 'string', multiple: true } },
});
const nets = NETS.filter(({ name }) => values.only?.includes(name) ?? true);
const study = await beginStudy('inference-models', values.output);
const digits = await realMnist(true);
await mkdir(MODELS, { recursive: true });

/** The dense network teaches what is pruned: temperature of its answers and their weight in the loss. */
const TEMPERATURE = 3;
const TEACHER = 0.9;

interface Outcome {
  errors: number;
  bytes: number;
  nonzero: number;
  parameters: number;
}

function training(net: Net, epochs: number, rate: number, checkpoint: string): FitOptions {
  return {
    epochs,
    batchSize: net.batchSize,
    optimizer: 'adam',
    learningRate: schedules.cosine(rate),
    loss: 'categoricalCrossentropy',
    seed: 0,
    checkpoint: `${study.output}/${checkpoint}-${net.images}-${epochs}.checkpoint`,
  };
}

/** What a pruning adds to the training of a network. */
function pruning({ sparsity, granularity }: Pruning, initial: number, end: number) {
  return callbacks.gradualPruning({
    schedule: sparsitySchedules.polynomial({ initial, final: sparsity, begin: 0, end }),
    criterion: criteria.magnitude(),
    granularity,
    targets: isPruned,
    every: Math.max(1, Math.round(end / 20)),
    end,
  });
}

async function trained(net: Net, form: string, train: data.ImageDataset): Promise<LayersModel> {
  if (form === 'xnor') {
    const model = XNOR[net.name]!();
    await fit(model, train, training(net, net.xnorEpochs!, net.rate, `${net.name}-xnor`));
    return model;
  }
  if (form === 'dense') {
    const model = net.make();
    await fit(model, train, training(net, net.epochs, net.rate, `${net.name}-dense`));
    return model;
  }
  const plan = PRUNINGS.find(({ name }) => name === form)!;
  const before = PRUNINGS.find(({ name }) => name === plan.from)?.sparsity ?? 0;
  const steps = Math.ceil(train.size / net.batchSize) * net.pruneEpochs;
  const teacher = await trained(net, 'dense', train);
  const model = await trained(net, plan.from, train);
  await fit(model, train, {
    ...training(net, net.pruneEpochs, net.pruneRate, `${net.name}-${form}`),
    callbacks: [
      pruning(plan, before, Math.round(steps * net.pruneShare)),
      callbacks.distillation({ teacher, temperature: TEMPERATURE, alpha: TEACHER }),
    ],
  });
  teacher.dispose();
  return model;
}

/** Trains a network in a form and writes its file; the errors are those of what is read back. */
async function outcome(net: Net, form: string, train: data.ImageDataset, test: data.ImageDataset) {
  const model = await trained(net, form, train);
  const bytes = await encode(model, {
    weights: form === 'xnor' ? { output: 'float16' } : 'float16',
  });
  await writeFile(`${study.output}/${net.name}-${form}.thimble`, bytes);
  const again = await load(bytes);
  const { nonzero, params: parameters } = summarize(again).total;
  const errors = await testErrors(again, test);
  again.dispose();
  model.dispose();
  return { errors, bytes: bytes.length, nonzero, parameters } satisfies Outcome;
}

const results: (Outcome & { net: string; form: string })[] = [];
for (const net of nets) {
  const train = digits.train.take(net.images);
  const sized = (part: data.ImageDataset) => (net.side === 28 ? part : enlarged(part, net.side));
  let parts: Record<'train' | 'test', data.ImageDataset> | undefined;
  const forms = ['dense', ...PRUNINGS.map(({ name }) => name), ...(net.xnorEpochs ? ['xnor'] : [])];
  for (const form of forms) {
    const found = await study.once(
      `${net.name}, ${form}`,
      [net, PRUNINGS, TEMPERATURE, TEACHER],
      () => {
        parts ??= { train: sized(train), test: sized(digits.test) };
        return outcome(net, form, parts.train, parts.test);
      },
    );
    await copyFile(
      `${study.output}/${net.name}-${form}.thimble`,
      `${MODELS}${net.name}-${form}.thimble`,
    );
    results.push({ net: net.title, form, ...found });
  }
}

const rows: Row[] = results.map(({ net, form, errors, bytes, nonzero, parameters }) => [
  `${net}, ${form}`,
  `${(errors / 100).toFixed(2)}`,
  `${nonzero} of ${parameters}`,
  String(bytes),
]);
await study.finish(
  [['network', 'test error %', 'weights not zero', 'bytes of the file'], ...rows],
  {
    data: { source: 'distorted MNIST', train: digits.train.size, test: digits.test.size },
    settings: { nets: NETS, prunings: PRUNINGS, temperature: TEMPERATURE, teacher: TEACHER },
    results,
  },
);
