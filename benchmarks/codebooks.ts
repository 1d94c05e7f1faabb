// Shared weights on real MNIST: LeNet-300-100 pruned to a twelfth, its kernels clustered to 64, 32 and 16 values,
// trained and not; INQ with 5 bits; uniform quantisation with as many bits; each beside the float network. HashedNets: an
// eighth of the weights shared out at random, beside a plain network of as many.
import { parseArgs } from 'node:util';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  clusterWeights,
  criteria,
  type FitOptions,
  fakeQuant,
  fit,
  hashed,
  incrementalQuantization,
  parametrize,
  summarize,
  withSeed,
} from 'thimble';
import { network } from 'thimble-examples/shared/networks';
import type { Row } from 'thimble-examples/shared/table';
import { denseNetwork, iterated, PLANS, RATE, trainingOn } from './han-pruning.ts';
import { beginStudy, percent, realMnist, testErrors } from './study.ts';

/** For what is trained after pruning. */
const TUNE_RATE = 3e-4;

const { values } = parseArgs({
  options: { tune: { type: 'string', default: '6' }, output: { type: 'string' } },
});
const tune = Number(values.tune);
const study = await beginStudy('shared-weights', values.output);
const { train, validation, test } = await realMnist();

const place = { output: study.output, train, validation };

interface Outcome {
  /** Errors before and after what was quantised is trained on. */
  before: number;
  after: number;
  bytes: number;
}

/** Pruned by Han's rounds; trained once, and read from its checkpoint where it is needed again. */
const pruned = (seed: number): Promise<LayersModel> =>
  iterated(
    place,
    'lenet300',
    seed,
    criteria.magnitude(),
    'element',
    `${study.output}/pruned-${seed}.checkpoint`,
  );

/** What a network comes to that is then trained on as `more` says, or not at all. */
async function outcome(model: LayersModel, seed: number, more?: FitOptions): Promise<Outcome> {
  const before = await testErrors(model, test);
  if (more) await fit(model, train, { ...trainingOn(place, seed + 200, tune, TUNE_RATE), ...more });
  const after = more ? await testErrors(model, test) : before;
  return { before, after, bytes: summarize(model).total.bytes };
}

const clustered = (clusters: number, train: boolean) => async (seed: number) => {
  const model = await pruned(seed);
  clusterWeights(model, { clusters });
  return outcome(model, seed, train ? {} : undefined);
};

const uniform = (bits: number) => async (seed: number) => {
  const model = await pruned(seed);
  for (const layer of model.layers.filter(({ name }) => name in PLANS.lenet300.left)) {
    const transform = fakeQuant({ bits, symmetric: true, narrowRange: true });
    parametrize(layer, { kernel: [transform] });
  }
  return outcome(model, seed, {});
};

/** 784-41-14-10, with an eighth of the weights of LeNet-300-100. */
function narrow(seed: number): LayersModel {
  const { dense, flatten } = tfl.layers;
  const layer = (units: number) => dense({ units, activation: 'relu' });
  return withSeed(seed, () =>
    tfl.sequential({
      layers: [
        flatten({ inputShape: [28, 28, 1] }),
        layer(41),
        layer(14),
        dense({ units: 10, activation: 'softmax' }),
      ],
    }),
  );
}

const methods: Record<string, (seed: number) => Promise<Outcome>> = {
  'float, dense': async (seed) => outcome(await denseNetwork(place, 'lenet300', seed), seed),
  'float, pruned': async (seed) => outcome(await pruned(seed), seed),
  'float, pruned, trained on': async (seed) => outcome(await pruned(seed), seed, {}),
};
for (const bits of [6, 5, 4]) {
  const clusters = 2 ** bits;
  methods[`${clusters} shared weights, not trained`] = clustered(clusters, false);
  methods[`${clusters} shared weights, trained`] = clustered(clusters, true);
  methods[`uniform, ${bits} bits, trained`] = uniform(bits);
}
methods['INQ, 5 bits'] = async (seed) => {
  const epochsPerPortion = Math.max(1, Math.round(tune / 3));
  return outcome(await pruned(seed), seed, {
    epochs: 3 * epochsPerPortion,
    learningRate: TUNE_RATE,
    callbacks: [incrementalQuantization({ bits: 5, epochsPerPortion })],
  });
};

/** What is trained from the start as the dense network is. */
const fresh = (make: (seed: number) => LayersModel) => async (seed: number) => {
  const model = make(seed);
  await fit(model, train, trainingOn(place, seed, PLANS.lenet300.denseEpochs, RATE));
  return outcome(model, seed);
};
methods['hashed to an eighth'] = fresh((seed) => {
  const model = network('lenet300', seed);
  for (const [i, name] of Object.keys(PLANS.lenet300.left).entries()) {
    parametrize(model.getLayer(name), { kernel: [hashed({ ratio: 1 / 8, seed: i })] });
  }
  return model;
});
methods['a plain network of as many weights'] = fresh(narrow);

const results = await study.compare(methods, [PLANS.lenet300, TUNE_RATE, tune]);
const rows: Row[] = results.map(({ method, outcomes }) => [
  method,
  (outcomes.reduce((sum, { bytes }) => sum + bytes, 0) / outcomes.length).toFixed(0),
  percent(outcomes.map(({ before }) => before)),
  percent(outcomes.map(({ after }) => after)),
  outcomes.map(({ after }) => after).join(', '),
]);
await study.finish(
  [['weights', 'bytes', 'test error before training on %', 'after %', 'errors'], ...rows],
  {
    data: { source: 'MNIST', train: train.size, validation: validation.size, test: test.size },
    plan: PLANS.lenet300,
    settings: { tuneRate: TUNE_RATE, tune },
    results,
  },
);
