// Every way to prune single weights and units of LeNet-300-100, on real MNIST: criteria, granularities, schedules,
// regularisers, supermasks; the error before and after training on, beside random and beside doing nothing.
import { parseArgs } from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  activationSparsity,
  type Criterion,
  criteria,
  type FitOptions,
  finalize,
  fit,
  type Granularity,
  gradualPruning,
  groupLasso,
  l0Gates,
  l1Penalty,
  type PruneOptions,
  parametrize,
  prune,
  ratiosForBudget,
  sensitivity,
  sparsitySchedules,
  summarize,
  supermask,
  type WeightTransform,
  withSeed,
} from 'thimble';
import { network } from 'thimble-examples/shared/networks';
import { meanAndSpread, type Row } from 'thimble-examples/shared/table';
import { beginStudy, percent, realMnist, testErrors, training } from './study.ts';

const EPOCHS = 6;
const TUNE = 2;
const RATE = 1.2e-3;
const SPARSITY = 0.95;
const PENALTY_EPOCHS = 8;

const { values } = parseArgs({ options: { output: { type: 'string' } } });
const study = await beginStudy('pruning-methods', values.output);
const { train, validation, test } = await realMnist();
const loss = 'categoricalCrossentropy';

const stepsPerEpoch = Math.ceil(train.size / 128);

/** Errors right after pruning and after training on, and the share of all weights that is not 0. */
interface Outcome {
  before: number;
  after: number;
  left: number;
}

async function dense(seed: number): Promise<tfl.LayersModel> {
  const model = network('lenet300', seed);
  const checkpoint = `${study.output}/dense-${seed}.checkpoint`;
  await fit(model, train, { ...training(seed, EPOCHS, RATE), checkpoint });
  return model;
}

function left(model: tfl.LayersModel): number {
  const { params, nonzero } = summarize(model).total;
  return nonzero / params;
}

async function tuned(
  model: tfl.LayersModel,
  seed: number,
  more: FitOptions = {},
): Promise<Outcome> {
  const before = await testErrors(model, test);
  await fit(model, train, { ...training(seed + 100, TUNE, RATE), ...more });
  return { before, after: await testErrors(model, test), left: left(model) };
}

/** Pruned once, after training. */
const once = (options: PruneOptions) => async (seed: number) => {
  const model = await dense(seed);
  const own = network('lenet300', seed);
  const initial = new Map(
    own.layers.flatMap((layer) =>
      layer.weights
        .filter(({ originalName }) => originalName.endsWith('kernel'))
        .map((weight) => [
          `${layer.name}/kernel`,
          Float32Array.from((weight.read() as tf.Tensor).dataSync()),
        ]),
    ),
  );
  const { needs } = options.criterion ?? { needs: [] };
  await prune(model, {
    data: train,
    loss,
    seed,
    ...(options.criterion?.threshold || options.perLayer ? {} : { sparsity: SPARSITY }),
    ...((needs as readonly string[]).includes('initial') ? { initial } : {}),
    ...options,
  });
  return tuned(model, seed);
};
const by = (criterion: Criterion, more: PruneOptions = {}) =>
  once({ criterion, granularity: 'element', ...more });
const at = (granularity: Granularity, sparsity = 0.75) => once({ granularity, sparsity });

/** Pruned little by little in the epochs of training on. */
const gradual =
  (criterion: Criterion, schedule: (step: number) => number) => async (seed: number) => {
    const model = await dense(seed);
    const every = 20;
    const callback = gradualPruning({ schedule, criterion, granularity: 'element', every });
    return tuned(model, seed, { epochs: 2 * TUNE, callbacks: [callback] });
  };
const ramp = { final: SPARSITY, begin: 0, end: TUNE * stepsPerEpoch };
const cubic = sparsitySchedules.polynomial({ initial: 0, ...ramp });

/** Trained from the start with a transform on the hidden kernels; small entries masked, then trained on. */
const penalised =
  (make: () => WeightTransform, own: PruneOptions, rate = RATE) =>
  async (seed: number) => {
    const model = network('lenet300', seed);
    for (const layer of model.layers.slice(1, 3)) parametrize(layer, { kernel: [make()] });
    await fit(model, train, training(seed, PENALTY_EPOCHS, rate));
    const plain = await finalize(model);
    await prune(plain, own);
    return tuned(plain, seed);
  };

/** As sparse as a budget of a twentieth of the weights asks for, shared out by a scan of each layer. */
async function byBudget(seed: number): Promise<Outcome> {
  const model = await dense(seed);
  const scan = await sensitivity(model, {
    data: validation,
    ratios: [0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99],
    granularity: 'element',
    progress: false,
  });
  const { ratios } = ratiosForBudget(scan, { params: (1 - SPARSITY) * 266_200 + 410 });
  await prune(model, { granularity: 'element', perLayer: ratios });
  return tuned(model, seed);
}

const METHODS: Record<string, (seed: number) => Promise<Outcome>> = {
  'nothing pruned': async (seed) => tuned(await dense(seed), seed),
  random: by(criteria.random()),
  magnitude: by(criteria.magnitude()),
  'magnitude, global': by(criteria.magnitude(), { scope: 'global' }),
  'magnitude, normalised, global': by(criteria.normalized(criteria.magnitude()), {
    scope: 'global',
  }),
  // Each of the 100 units before the output keeps a weight there, which is more than 5 % of 1,000.
  'magnitude, connected': by(criteria.connected(criteria.magnitude(), { firstLayers: ['fc1'] }), {
    perLayer: { fc1: SPARSITY, fc2: SPARSITY, output: 0.85 },
  }),
  'absolute threshold 0.08': by(criteria.threshold({ value: 0.08 })),
  'q std, q = 1.8 (Han)': by(criteria.deviations({ q: 1.8 })),
  'percentile 95': by(criteria.percentile({ percent: 95 })),
  'Taylor of weights': by(criteria.taylorWeight()),
  'SNIP score after training, global': by(criteria.snip(), { scope: 'global' }),
  'magnitude increase': by(criteria.magnitudeIncrease()),
  'initial magnitude': by(criteria.initialMagnitude()),
  travel: by(criteria.travel()),
  'same sign': by(criteria.sameSign()),
  'cubic schedule, magnitude': gradual(criteria.magnitude(), cubic),
  'cubic schedule, movement': gradual(criteria.movement(), cubic),
  'cubic schedule, gradient times weight (MAGNet)': gradual(criteria.gradientTimesWeight(), cubic),
  'cubic schedule, random': gradual(criteria.random(), cubic),
  'exponential schedule, magnitude': gradual(
    criteria.magnitude(),
    sparsitySchedules.exponential({ initial: 0, ...ramp }),
  ),
  'budget by sensitivity': byBudget,
  'elements, 75 %': at('element'),
  'blocks of 8, 75 %': at('block'),
  'inputs, 75 %': at('channel'),
  'neurons, 75 %': at('neuron'),
  '1:4, 75 %': at('1:4'),
  'L1 penalty': penalised(() => l1Penalty({ strength: 2e-5 }), {
    granularity: 'element',
    criterion: criteria.threshold({ value: 0.01 }),
  }),
  'group lasso (SSL), proximal': penalised(
    () => groupLasso({ strength: { channels: 0.5, filters: 0.25 } }),
    { granularity: 'element', criterion: criteria.threshold({ value: 1e-6 }) },
  ),
  // Gates must move far in few steps, so the rate is higher and they begin half open.
  'L0 gates': penalised(
    () => l0Gates({ strength: 1 / train.size, per: 'in', dropRate: 0.5 }),
    { granularity: 'element', criterion: criteria.threshold({ value: 1e-6 }) },
    3 * RATE,
  ),
  'activation sparsity': async (seed) => {
    const model = await dense(seed);
    return tuned(model, seed, { callbacks: [activationSparsity({ strength: 0.01 })] });
  },
  'supermask, signs of the initial weights': supermasked,
};

/** Random weights of one magnitude and their initial signs, never trained: only their mask is. */
async function supermasked(seed: number): Promise<Outcome> {
  const widths = [300, 100, 10];
  const model = withSeed(seed, () =>
    tfl.sequential({
      layers: [
        tfl.layers.flatten({ inputShape: [28, 28, 1] }),
        ...widths.map((units, i) =>
          tfl.layers.dense({
            units,
            useBias: false,
            kernelInitializer: 'glorotNormal',
            activation: i < 2 ? 'relu' : 'softmax',
          }),
        ),
      ],
    }),
  );
  for (const layer of model.layers.slice(1)) {
    const [kernel] = layer.getWeights();
    tf.tidy(() => {
      const deviation = tf.sqrt(tf.moments(kernel!).variance);
      layer.setWeights([tf.mul(tf.sign(kernel!), deviation)]);
    });
    parametrize(layer, { kernel: [supermask({ scale: true, seed })] });
  }
  const before = await testErrors(model, test);
  await fit(model, train, {
    ...training(seed, PENALTY_EPOCHS, 100),
    optimizer: tf.train.sgd(100),
    learningRate: 100,
  });
  return { before, after: await testErrors(model, test), left: left(model) };
}

const results = await study.compare(METHODS, [EPOCHS, TUNE, RATE, SPARSITY, PENALTY_EPOCHS]);
const rows: Row[] = results.map(({ method, outcomes }) => [
  method,
  meanAndSpread(
    outcomes.map(({ left: share }) => 100 * share),
    1,
  ),
  percent(outcomes.map(({ before }) => before)),
  percent(outcomes.map(({ after }) => after)),
]);
await study.finish(
  [['method', 'parameters left %', 'test error before training on %', 'after %'], ...rows],
  {
    data: { source: 'MNIST', train: train.size, validation: validation.size, test: test.size },
    settings: {
      epochs: EPOCHS,
      tune: TUNE,
      rate: RATE,
      sparsity: SPARSITY,
      penaltyEpochs: PENALTY_EPOCHS,
    },
    results,
  },
);
