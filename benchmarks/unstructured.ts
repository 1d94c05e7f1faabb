// Weights pruned one by one on real MNIST: Han's iterative pruning to a twelfth on LeNet-300-100 or, with
// --net lenet5, LeNet-5; SNIP at initialisation; each beside random pruning and beside doing nothing, also with
// the dropout and for the time that the pruned network is trained on.
import { parseArgs } from 'node:util';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { type Criterion, criteria, fit, prune, summarize } from 'thimble';
import { network } from 'thimble-examples/shared/networks';
import type { Row } from 'thimble-examples/shared/table';
import {
  denseNetwork,
  iterated,
  PLANS,
  type Pruned,
  RATE,
  retrained,
  trainingOn,
} from './han-pruning.ts';
import { beginStudy, percent, realMnist, testErrors } from './study.ts';

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
const net = values.net as Pruned;
const study = await beginStudy(
  net === 'lenet5' ? 'unstructured-pruning-lenet5' : 'unstructured-pruning',
  values.output,
);
const { train, validation, test } = await realMnist();

const place = { output: study.output, train, validation };

async function outcome(model: LayersModel): Promise<Outcome> {
  const kernels = summarize(model).layers.filter(({ params }) => params > 0);
  const biases = model.layers.reduce((sum, { weights }) => {
    const bias = weights.find(({ originalName }) => originalName.endsWith('bias'));
    return sum + (bias ? bias.shape.reduce<number>((n, d) => n * (d ?? 1), 1) : 0);
  }, 0);
  const sum = (key: 'params' | 'nonzero') => kernels.reduce((n, row) => n + row[key], 0) - biases;
  return { errors: await testErrors(model, test), left: sum('nonzero') / sum('params') };
}

async function atInitialisation(name: Pruned, seed: number, criterion: Criterion) {
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
  await fit(model, train, trainingOn(place, seed, SPARSE.epochs, SPARSE.rate));
  return outcome(model);
}

const METHODS: Record<string, (name: Pruned, seed: number) => Promise<Outcome>> = {
  dense: async (name, seed) => outcome(await denseNetwork(place, name, seed)),
  'dense, trained on as long': async (name, seed) => outcome(await retrained(place, name, seed)),
  'magnitude, iterative (Han)': async (name, seed) =>
    outcome(await iterated(place, name, seed, criteria.magnitude(), 'element')),
  'random, iterative': async (name, seed) =>
    outcome(await iterated(place, name, seed, criteria.random(), 'element')),
  'magnitude, blocks, iterative': async (name, seed) =>
    outcome(await iterated(place, name, seed, criteria.magnitude(), 'block')),
};

/** Pruned before training. */
const AT_INITIALISATION: typeof METHODS = {
  'SNIP at initialisation, 95 %': (name, seed) => atInitialisation(name, seed, criteria.snip()),
  'random at initialisation, 95 %': (name, seed) => atInitialisation(name, seed, criteria.random()),
};

/** What LeNet-5, which takes ten times as long, leaves out. */
const SMALL_ONLY = /blocks/;

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
