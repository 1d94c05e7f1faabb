// Transfer learning on real MNIST: a convolutional network that has seen many images of the digits 0 to 4 learns 5 to 9
// from few, by its features alone, trained on as a whole, or unfrozen in stages; beside the same network from scratch.
import { parseArgs } from 'node:util';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  type FitOptions,
  fit,
  schedules,
  stagedUnfreezing,
  transferModel,
  withSeed,
} from 'thimble';
import { meanAndSpread, type Row } from 'thimble-examples/shared/table';
import { beginStudy, realMnist, testErrors, training } from './study.ts';

const { values } = parseArgs({ options: { output: { type: 'string' } } });
/** Images of the digits 5 to 9 that are seen. */
const IMAGES = [50, 200];
const STEPS = 400;
const RATE = 2e-3;
/** Of layers that were trained before. */
const TUNE_RATE = 5e-4;
const BEFORE = { epochs: 3, rate: 2e-3 };

const study = await beginStudy('transfer', values.output);
const { train: all, test: tests } = await realMnist();
const small = all.filter((label) => label < 5);
const large = all.filter((label) => label >= 5);
const test = tests.filter((label) => label >= 5);

const head = () => tfl.layers.dense({ name: 'head', units: 10, activation: 'softmax' });

function network(seed: number): tfl.LayersModel {
  const relu = { padding: 'same', strides: 2, activation: 'relu' } as const;
  const first = { filters: 16, kernelSize: 5, inputShape: [28, 28, 1] };
  return withSeed(seed, () =>
    tfl.sequential({
      layers: [
        tfl.layers.conv2d({ name: 'conv1', ...first, ...relu }),
        tfl.layers.conv2d({ name: 'conv2', filters: 32, kernelSize: 3, ...relu }),
        tfl.layers.flatten({ name: 'flat' }),
        tfl.layers.dense({ name: 'hidden', units: 128, activation: 'relu' }),
        head(),
      ],
    }),
  );
}

/** The network of a seed that knows 0 to 4; trained once. */
async function trained(seed: number): Promise<tfl.LayersModel> {
  const model = network(seed);
  await fit(model, small, {
    ...training(seed, BEFORE.epochs, BEFORE.rate),
    checkpoint: `${study.output}/small-digits-${seed}.checkpoint`,
  });
  return model;
}

/** Batches of 25 images: as many epochs as make the same number of steps for any number of images. */
const batchSize = 25;
const epochsOf = (images: number) => (STEPS * batchSize) / images;

type Way = (seed: number, images: number) => Promise<[tfl.LayersModel, Partial<FitOptions>]>;
const taken =
  (trainable: boolean, after = 'hidden') =>
  async (seed: number): Promise<tfl.LayersModel> => {
    const before = await trained(seed);
    const head10 = withSeed(seed + 100, head);
    const model = transferModel(before, { after, head: [head10], trainable });
    before.dispose();
    return model;
  };

const rate = { learningRate: schedules.cosine(TUNE_RATE) };
const WAYS: Record<string, Way> = {
  'from scratch': async (seed) => [network(seed), {}],
  'features kept, a new head': async (seed) => [await taken(false)(seed), {}],
  'features of the convolutions, a new head': async (seed) => [
    await taken(false, 'flat')(seed),
    {},
  ],
  'all trained on': async (seed) => [await taken(true)(seed), rate],
  'unfrozen in stages': async (seed, images) => {
    const every = Math.floor(epochsOf(images) / 4);
    return [await taken(false)(seed), { ...rate, callbacks: [stagedUnfreezing({ every })] }];
  },
};

interface Outcome {
  errors: number;
}
const methods: Record<string, (seed: number) => Promise<Outcome>> = {};
for (const images of IMAGES) {
  const seen = large.take(images);
  for (const [name, way] of Object.entries(WAYS)) {
    methods[`${name}, ${images} images`] = async (seed) => {
      const [model, more] = await way(seed, images);
      await fit(model, seen, { ...training(seed, epochsOf(images), RATE), batchSize, ...more });
      const errors = await testErrors(model, test);
      model.dispose();
      return { errors };
    };
  }
}
const results = await study.compare(methods, [STEPS, RATE, TUNE_RATE, BEFORE]);

const rows: Row[] = results.map(({ method, outcomes }) => [
  method,
  meanAndSpread(
    outcomes.map(({ errors }) => (100 * errors) / test.size),
    2,
  ),
  outcomes.map(({ errors }) => errors).join(', '),
]);
await study.finish([['method', 'test error %', 'errors'], ...rows], {
  data: { source: 'MNIST, digits 5 to 9', before: small.size, images: IMAGES, test: test.size },
  settings: { steps: STEPS, batchSize, rate: RATE, tuneRate: TUNE_RATE, before: BEFORE },
  results,
});
