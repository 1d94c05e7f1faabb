// How small the files of LeNet-300-100 and LeNet-5 become on real MNIST: Deep Compression's own pipeline (its
// kept shares and bits, gaps and Huffman codes), and ours: pruned further with the dense network as the
// teacher, clustered to fewer values, biases in 8 bits, arithmetic codes. Errors are those of the network
// that is read back from the file; ratios are against all weights and biases as float32, header included.
import { mkdir, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import {
  callbacks,
  clusterWeights,
  copyValues,
  criteria,
  type EncodeOptions,
  encodeWithReport,
  fakeQuant,
  fit,
  iterativePruning,
  layerFromConfig,
  load,
  parametrize,
} from 'thimble';
import type { Row } from 'thimble-examples/shared/table';
import { denseNetwork, fractions, PLANS as HAN, held, type Pruned, RATE } from './han-pruning.ts';
import { beginStudy, percent, realMnist, testErrors, training } from './study.ts';

/** How a network is pruned, clustered and trained in between. */
interface Plan {
  /** Share of each kernel that is left. */
  left: Record<string, number>;
  rounds: number;
  /** Epochs after each round but the last, and after the last. */
  roundEpochs: number;
  lastEpochs: number;
  /** Shared values of each kernel, and epochs of training them. */
  clusters: Record<string, number>;
  tuneEpochs: number;
  /** Weight of the dense network's answers in the loss; 0: none. */
  teacher: number;
  /** Bits of the biases; 32: as they are. */
  biasBits: number;
  /** L2 on the kernels while they are pruned and trained on: lambda in `lambda sum w^2`. */
  decay: number;
}

interface Plans {
  /** Tables 2 and 3 of Han, Mao, Dally, "Deep Compression", 2016. */
  deepCompression: Plan;
  ours: Plan;
}

const PLANS: Record<Pruned, Plans> = {
  lenet300: {
    deepCompression: {
      left: { fc1: 0.08, fc2: 0.09, output: 0.26 },
      rounds: 6,
      roundEpochs: 1,
      lastEpochs: 14,
      clusters: { fc1: 63, fc2: 63, output: 63 },
      tuneEpochs: 6,
      teacher: 0,
      biasBits: 32,
      decay: 1e-4,
    },
    ours: {
      left: { fc1: 0.033, fc2: 0.075, output: 0.3 },
      rounds: 10,
      roundEpochs: 2,
      lastEpochs: 20,
      clusters: { fc1: 15, fc2: 15, output: 15 },
      tuneEpochs: 8,
      teacher: 0.9,
      biasBits: 8,
      decay: 0,
    },
  },
  lenet5: {
    deepCompression: {
      left: { conv1: 0.66, conv2: 0.12, fc1: 0.08, output: 0.19 },
      rounds: 5,
      roundEpochs: 1,
      lastEpochs: 4,
      clusters: { conv1: 255, conv2: 255, fc1: 31, output: 31 },
      tuneEpochs: 2,
      teacher: 0,
      biasBits: 32,
      decay: 1e-4,
    },
    ours: {
      left: { conv1: 0.5, conv2: 0.07, fc1: 0.009, output: 0.12 },
      rounds: 9,
      roundEpochs: 1,
      lastEpochs: 5,
      clusters: { conv1: 31, conv2: 15, fc1: 15, output: 15 },
      tuneEpochs: 3,
      teacher: 0.9,
      biasBits: 8,
      decay: 0,
    },
  },
};
/** For what is trained after clustering. */
const TUNE_RATE = 3e-4;
const TEMPERATURE = 3;
const BATCH = 60;

const { values } = parseArgs({
  options: {
    net: { type: 'string', default: 'both' },
    /** A share of all epochs and rounds, to try it out. */
    scale: { type: 'string', default: '1' },
    output: { type: 'string' },
  },
});
const nets: Pruned[] = values.net === 'both' ? ['lenet300', 'lenet5'] : [values.net as Pruned];
const scale = Number(values.scale);
const study = await beginStudy('file-size', values.output);
const { train, validation, test } = await realMnist();
const files = `${study.output}/files`;
await mkdir(files, { recursive: true });

const scaled = (epochs: number) => Math.max(1, Math.round(epochs * scale));

const place = { output: study.output, train, validation };

const dense = (net: Pruned, seed: number): Promise<LayersModel> =>
  denseNetwork(place, net, seed, scaled(HAN[net].denseEpochs));

/** A network whose kernels are drawn towards 0 in training, with the weights of a given one. */
function withDecay(model: LayersModel, decay: number): LayersModel {
  const config = JSON.parse(JSON.stringify(model.getConfig()));
  for (const layer of config.layers) {
    if (!('kernelRegularizer' in layer.config)) continue;
    layer.config.kernelRegularizer = { className: 'L1L2', config: { l1: 0, l2: decay } };
  }
  const copy = layerFromConfig(model.getClassName(), config) as LayersModel;
  copyValues(model, copy);
  model.dispose();
  return copy;
}

async function compressed(
  net: Pruned,
  plan: Plan,
  name: string,
  seed: number,
): Promise<LayersModel> {
  const trained = await dense(net, seed);
  const model = plan.decay > 0 ? withDecay(trained, plan.decay) : trained;
  const teacher = plan.teacher > 0 ? await dense(net, seed) : undefined;
  const taught = teacher
    ? [callbacks.distillation({ teacher, temperature: TEMPERATURE, alpha: plan.teacher })]
    : [];
  const rounds = scaled(plan.rounds);
  const pruning = iterativePruning({
    rounds,
    ...fractions(0.5, plan.left, rounds),
    fineTuneEpochs: plan.roundEpochs,
    criterion: criteria.magnitude(),
    granularity: 'element',
    seed,
  });
  const until = (rounds - 1) * plan.roundEpochs;
  const epochs = until + Math.max(plan.roundEpochs, scaled(plan.lastEpochs));
  await fit(model, train, {
    ...training(seed + 100, epochs, RATE),
    batchSize: BATCH,
    learningRate: held(RATE, until),
    callbacks: [pruning, ...taught],
    checkpoint: `${study.output}/${name}-${net}-${epochs}-${seed}.checkpoint`,
  });
  for (const layer of model.layers.filter((each) => each.name in plan.left)) {
    clusterWeights(layer, { clusters: plan.clusters[layer.name]! });
    if (plan.biasBits < 32) {
      parametrize(layer, { bias: [fakeQuant({ bits: plan.biasBits, symmetric: true })] });
    }
  }
  await fit(model, train, {
    ...training(seed + 200, scaled(plan.tuneEpochs), TUNE_RATE),
    batchSize: BATCH,
    callbacks: taught,
  });
  teacher?.dispose();
  return model;
}

interface Outcome {
  errors: number;
  bytes: number;
  header: number;
  ratio: number;
  weights: { name: string; layout: string; nonzero: number; fillers: number; bytes: number }[];
}

/** The file, and the errors of what is read back from it. */
async function outcome(
  model: LayersModel,
  name: string,
  seed: number,
  options: EncodeOptions,
): Promise<Outcome> {
  const { bytes, header, ratio, weights } = await encodeWithReport(model, options);
  await writeFile(`${files}/${name.replace(/\W+/g, '-')}-${seed}.thimble`, bytes);
  const again = await load(bytes);
  const errors = await testErrors(again, test);
  again.dispose();
  return {
    errors,
    bytes: bytes.length,
    header,
    ratio: Number(ratio.toFixed(2)),
    weights: weights.map(({ name: weight, layout, nonzero, fillers, bytes: taken }) => ({
      name: weight,
      layout,
      nonzero,
      fillers,
      bytes: taken,
    })),
  };
}

/** Each network is trained once for all ways to write it. */
async function outcomes(net: Pruned, seed: number): Promise<Record<string, Outcome>> {
  const { deepCompression, ours } = PLANS[net];
  const key = (name: string) => `${net}, ${name}`;
  const found: Record<string, Outcome> = {};
  const write = async (model: LayersModel, ways: Record<string, EncodeOptions>): Promise<void> => {
    for (const [name, options] of Object.entries(ways)) {
      found[key(name)] = await outcome(model, key(name), seed, options);
    }
    model.dispose();
  };
  await write(await dense(net, seed), { 'dense, float32': { entropy: 'none' } });
  await write(await compressed(net, deepCompression, 'deep-compression', seed), {
    'Deep Compression, no entropy code': { entropy: 'none', indexBits: 5 },
    'Deep Compression, Huffman, 5 bits an index': { entropy: 'huffman', indexBits: 5 },
    'Deep Compression, Huffman': { entropy: 'huffman' },
    'Deep Compression, arithmetic': {},
  });
  await write(await compressed(net, ours, 'ours', seed), {
    'ours, Huffman': { entropy: 'huffman' },
    'ours, arithmetic': {},
    'ours, arithmetic, lambda 0.003': { lambda: 0.003 },
  });
  return found;
}

const methods: Record<string, Outcome[]> = {};
for (const net of nets) {
  for (const seed of study.seeds) {
    const settings = [PLANS[net], HAN[net].denseEpochs, RATE, TUNE_RATE, TEMPERATURE, scale];
    const found = await study.once(`${net}, seed ${seed}`, settings, () => outcomes(net, seed));
    for (const [name, result] of Object.entries(found)) {
      methods[name] = [...(methods[name] ?? []), result];
    }
  }
}

const results = Object.entries(methods).map(([method, found]) => ({ method, outcomes: found }));
const rows: Row[] = results.map(({ method, outcomes: found }) => [
  method,
  found.map(({ bytes }) => bytes).join(', '),
  found.map(({ ratio }) => ratio.toFixed(1)).join(', '),
  percent(found.map(({ errors }) => errors)),
  found.map(({ errors }) => errors).join(', '),
]);
await study.finish(
  [['network, file', 'bytes', 'times smaller than float32', 'test error %', 'errors'], ...rows],
  {
    data: { source: 'MNIST', train: train.size, validation: validation.size, test: test.size },
    settings: { plans: PLANS, rate: RATE, tuneRate: TUNE_RATE, temperature: TEMPERATURE, scale },
    results,
  },
);
