// Weights pruned one by one on real MNIST: Han's iterative pruning to a twelfth on LeNet-300-100 or, with
// --net lenet5, LeNet-5; SNIP at initialisation; each beside random pruning and beside doing nothing, also with
// the dropout and for the time that the pruned network is trained on.
import { parseArgs } from 'node:util';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import {
  type Criterion,
  criteria,
  type FitOptions,
  fit,
  type Granularity,
  iterativePruning,
  prune,
  type Schedule,
  schedules,
  summarize,
} from 'thimble';
import { type NetworkName, network } from 'thimble-examples/shared/networks';
import type { Row } from 'thimble-examples/shared/table';
import { beginStudy, percent, realMnist, testErrors } from './study.ts';

interface Plan {
  denseEpochs: number;
  rounds: number;
  /** Epochs of training after each round but the last, and after the last. */
  roundEpochs: number;
  lastEpochs: number;
  /** Share of each layer that is left in the end (Han et al., table 4). */
  left: Record<string, number>;
  /** Dropout before the dense layers while pruning and after; default none. */
  drop?: number;
}

const PLANS: Partial<Record<NetworkName, Plan>> = {
  lenet300: {
    denseEpochs: 20,
    rounds: 6,
    roundEpochs: 2,
    lastEpochs: 14,
    left: { fc1: 0.08, fc2: 0.09, output: 0.26 },
    drop: 0.1,
  },
  lenet5: {
    denseEpochs: 8,
    rounds: 6,
    roundEpochs: 1,
    lastEpochs: 7,
    left: { conv1: 0.66, conv2: 0.12, fc1: 0.08, output: 0.19 },
  },
};
const RATE = 1.2e-3;
/** Networks that begin with a twentieth of their weights learn slowly: longer and at a higher rate. */
const SPARSE = { epochs: 30, rate: 4e-3 };
interface Outcome {
  errors: number;
  /** Share of the weights, biases apart, that is left. */
  left: number;
}

const { values } = parseArgs({
  options: { net: { type: 'string', default: 'lenet300' }, output: { type: 'string' } },
});
const net = values.net as 'lenet300' | 'lenet5';
const study = await beginStudy(
  net === 'lenet5' ? 'unstructured-pruning-lenet5' : 'unstructured-pruning',
  values.output,
);
const { train, validation, test } = await realMnist();

const training = (seed: number, epochs: number, rate: number): FitOptions => ({
  epochs,
  batchSize: 60,
  optimizer: 'adam',
  learningRate: schedules.cosine(rate),
  loss: 'categoricalCrossentropy',
  metrics: ['accuracy'],
  validationData: validation,
  validationBatchSize: 1000,
  seed,
  progress: false,
});

async function outcome(model: LayersModel): Promise<Outcome> {
  const kernels = summarize(model).layers.filter(({ params }) => params > 0);
  const biases = model.layers.reduce((sum, { weights }) => {
    const bias = weights.find(({ originalName }) => originalName.endsWith('bias'));
    return sum + (bias ? bias.shape.reduce<number>((n, d) => n * (d ?? 1), 1) : 0);
  }, 0);
  const sum = (key: 'params' | 'nonzero') => kernels.reduce((n, row) => n + row[key], 0) - biases;
  return { errors: await testErrors(model, test), left: sum('nonzero') / sum('params') };
}

/** The dense network of a seed; trained once more where it is needed again. */
async function dense(name: NetworkName, seed: number): Promise<LayersModel> {
  const model = network(name, seed);
  const { denseEpochs } = PLANS[name]!;
  const checkpoint = `${study.output}/dense-${name}-${seed}.checkpoint`;
  await fit(model, train, { ...training(seed, denseEpochs, RATE), checkpoint });
  return model;
}

/** The full rate while there is pruning, then half a cosine wave down to 0. */
function held(rate: number, until: number): Schedule {
  return ({ step, stepsPerEpoch, epochs }) => {
    const done = Math.max(0, step / stepsPerEpoch - until) / (epochs - until);
    return (rate * (1 + Math.cos(Math.PI * done))) / 2;
  };
}

/** The dense network of a seed trained on as the pruned ones are, with a callback that prunes it or without. */
async function retrained(
  name: NetworkName,
  seed: number,
  callbacks: FitOptions['callbacks'] = [],
): Promise<Outcome> {
  const { rounds, roundEpochs, lastEpochs, drop } = PLANS[name]!;
  const model = network(name, seed, drop);
  model.setWeights((await dense(name, seed)).getWeights());
  const pruning = (rounds - 1) * roundEpochs;
  await fit(model, train, {
    ...training(seed + 100, pruning + lastEpochs, RATE),
    learningRate: held(RATE, pruning),
    callbacks,
  });
  return outcome(model);
}

async function iterated(
  name: NetworkName,
  seed: number,
  criterion: Criterion,
  granularity: Granularity,
): Promise<Outcome> {
  const { rounds, roundEpochs, left } = PLANS[name]!;
  const fraction = (share: number) => 1 - share ** (1 / rounds);
  const callback = iterativePruning({
    rounds,
    fraction: fraction(0.08),
    perLayer: Object.fromEntries(Object.entries(left).map(([k, v]) => [k, fraction(v)])),
    fineTuneEpochs: roundEpochs,
    criterion,
    granularity,
    seed,
  });
  return retrained(name, seed, [callback]);
}

async function atInitialisation(name: NetworkName, seed: number, criterion: Criterion) {
  const model = network(name, seed);
  await prune(model, {
    criterion,
    granularity: 'element',
    scope: 'global',
    sparsity: 0.95,
    data: train,
    loss: 'categoricalCrossentropy',
    seed,
  });
  await fit(model, train, training(seed, SPARSE.epochs, SPARSE.rate));
  return outcome(model);
}

const METHODS: Record<string, (name: NetworkName, seed: number) => Promise<Outcome>> = {
  dense: async (name, seed) => outcome(await dense(name, seed)),
  'dense, trained on as long': (name, seed) => retrained(name, seed),
  'magnitude, iterative (Han)': (name, seed) =>
    iterated(name, seed, criteria.magnitude(), 'element'),
  'random, iterative': (name, seed) => iterated(name, seed, criteria.random(), 'element'),
  'magnitude, blocks, iterative': (name, seed) =>
    iterated(name, seed, criteria.magnitude(), 'block'),
};

/** Pruned before training. */
const AT_INITIALISATION: typeof METHODS = {
  'SNIP at initialisation, 95 %': (name, seed) => atInitialisation(name, seed, criteria.snip()),
  'random at initialisation, 95 %': (name, seed) => atInitialisation(name, seed, criteria.random()),
};

/** What LeNet-5, which takes ten times as long, leaves out. */
const SMALL_ONLY = /random|blocks|as long/;

const named = (methods: typeof METHODS) =>
  Object.fromEntries(
    Object.entries(methods)
      .filter(([method]) => net !== 'lenet5' || !SMALL_ONLY.test(method))
      .map(([method, run]) => [`${net}, ${method}`, (seed: number) => run(net, seed)]),
  );
const results = await study.compare(named(METHODS), [PLANS[net], RATE]);
if (net !== 'lenet5') {
  results.push(...(await study.compare(named(AT_INITIALISATION), [SPARSE])));
}
const rows: Row[] = results.map(({ method, outcomes }) => [
  method,
  (100 * outcomes[0]!.left).toFixed(2),
  percent(outcomes.map(({ errors }) => errors)),
  outcomes.map(({ errors }) => errors).join(', '),
]);
await study.finish([['method', 'weights left %', 'test error %', 'errors'], ...rows], {
  net,
  data: { source: 'MNIST', train: train.size, validation: validation.size, test: test.size },
  plan: PLANS[net],
  rate: RATE,
  ...(net === 'lenet5' ? {} : { atInitialisation: SPARSE }),
  results,
});
