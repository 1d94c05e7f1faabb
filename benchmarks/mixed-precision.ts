// Bits for each layer under a number of bytes: the depthwise-separable network on distorted MNIST, kernels rounded after
// training and trained on, with bits chosen by measured losses, by the Hessian or by chance, beside the same bits for all
// layers; and fewer and fewer bits while it trains, beside few from the start.
import { parseArgs } from 'node:util';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import {
  type BitSensitivity,
  bitsForBudget,
  fit,
  gradualBits,
  quantizeByBits,
  Random,
  sensitivityBits,
  summarize,
} from 'thimble';
import type { Row } from 'thimble-examples/shared/table';
import { SEPARABLE, separableNetwork } from './separable-network.ts';
import { beginStudy, percent, realMnist, testErrors, training } from './study.ts';

const { values } = parseArgs({ options: { output: { type: 'string' } } });
/** Epochs of training on after rounding, and of training with fewer and fewer bits. */
const TUNE = 4;
const GRADUAL = 8;
const RATE = 3e-3;
/** Bits that a layer may get, and those whose bytes are the budgets. */
const BITS = [2, 3, 4, 6, 8];
const BUDGETS = [3, 4];

const study = await beginStudy('mixed-precision', values.output);
const { train: all, test } = await realMnist(true);
const train = all.take(SEPARABLE.images);
const trained = (seed: number): Promise<LayersModel> => separableNetwork(all, study.output, seed);

/** Layers with a kernel. */
const quantised = (model: LayersModel) =>
  model.layers.filter((layer) =>
    layer.weights.some(({ originalName }) => /ernel/.test(originalName)),
  );
const alike = (model: LayersModel, bits: number) =>
  Object.fromEntries(quantised(model).map(({ name }) => [name, bits]));

async function bytesOf(bits: number): Promise<number> {
  const model = await trained(0);
  quantizeByBits(model, alike(model, bits));
  const { bytes } = summarize(model).total;
  model.dispose();
  return bytes;
}

interface Outcome {
  errors: number;
  tuned: number;
  bytes: number;
  bits?: Record<string, number>;
}

/** The network with the bits that `choose` finds, before and after it is trained on. */
const rounded =
  (choose: (model: LayersModel, seed: number) => Promise<Record<string, number>>) =>
  async (seed: number): Promise<Outcome> => {
    const model = await trained(seed);
    const bits = await choose(model, seed);
    quantizeByBits(model, bits);
    const { bytes } = summarize(model).total;
    const errors = await testErrors(model, test);
    await fit(model, train, training(seed + 100, TUNE, RATE));
    const tuned = await testErrors(model, test);
    model.dispose();
    return { errors, tuned, bytes, bits };
  };

type Scan = (model: LayersModel, seed: number) => Promise<BitSensitivity>;
const scans: Record<string, Scan> = {
  'by chance': async (model, seed) => {
    const scan = await sensitivityBits(model, {
      data: train.take(100),
      bits: BITS,
      progress: false,
    });
    const random = new Random(seed, 'sensitivity');
    const weights = new Map<string, number>();
    for (const { layer } of scan.rows)
      if (!weights.has(layer)) weights.set(layer, random.uniform());
    // The error of rounding falls by four with every bit; how much it hurts is drawn.
    const rows = scan.rows.map((row) => ({
      ...row,
      rise: weights.get(row.layer)! * 4 ** -row.bits,
    }));
    return { ...scan, rows };
  },
  'by measured loss': (model) =>
    sensitivityBits(model, { data: train.take(2000), bits: BITS, progress: false }),
  'by Hessian': (model, seed) =>
    sensitivityBits(model, {
      data: train,
      bits: BITS,
      method: 'hessian',
      probes: 16,
      examples: 1000,
      seed,
      progress: false,
    }),
};

const METHODS: Record<string, (seed: number) => Promise<Outcome>> = {};
for (const budget of BUDGETS) {
  const bytes = await bytesOf(budget);
  METHODS[`${budget} bits in all layers`] = rounded(async (model) => alike(model, budget));
  for (const [name, scan] of Object.entries(scans)) {
    METHODS[`as many bytes, ${name}, ${budget} bits`] = rounded(
      async (model, seed) => bitsForBudget(await scan(model, seed), { bytes }).bits,
    );
  }
}
const inStages = (stages: { epoch: number; bits: number }[]) => async (seed: number) => {
  const model = await trained(seed);
  const callbacks = [gradualBits({ stages })];
  await fit(model, train, { ...training(seed + 100, GRADUAL, RATE), callbacks });
  const errors = await testErrors(model, test);
  const { bytes } = summarize(model).total;
  model.dispose();
  return { errors, tuned: errors, bytes };
};
METHODS['2 bits for 8 epochs'] = inStages([{ epoch: 0, bits: 2 }]);
METHODS['8, 4, 3, 2 bits for 2 epochs each'] = inStages(
  [8, 4, 3, 2].map((bits, i) => ({ epoch: 2 * i, bits })),
);

const settings = [SEPARABLE, TUNE, GRADUAL, RATE, BITS];
const results = await study.compare(METHODS, settings);
const rows: Row[] = results.map(({ method, outcomes }) => [
  method,
  String(outcomes[0]!.bytes),
  percent(outcomes.map(({ errors }) => errors)),
  percent(outcomes.map(({ tuned }) => tuned)),
]);
await study.finish([['bits', 'bytes', 'test error %', 'trained on %'], ...rows], {
  data: { source: 'distorted MNIST', train: train.size, test: test.size },
  settings: { ...SEPARABLE, tune: TUNE, gradual: GRADUAL, rate: RATE, bits: BITS },
  results,
});
