// Networks that spend less on easy images, on distorted MNIST: gated blocks (SkipNet), a policy for blocks (BlockDrop)
// and gated channel groups (runtime neural pruning), each beside the same network with all gates open, trained as long.
import { parseArgs } from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  callbacks,
  copyModel,
  copyValues,
  type data,
  type FitCallback,
  fit,
  type GateDecision,
  gatedBlock,
  gatedConv2d,
  gateUsage,
  losses,
  policyGate,
  watchGates,
  withSeed,
} from 'thimble';
import { meanAndSpread, type Row } from 'thimble-examples/shared/table';
import { rankCorrelation } from './statistics.ts';
import { beginStudy, percent, realMnist, training } from './study.ts';

const { values } = parseArgs({
  options: {
    output: { type: 'string' },
    images: { type: 'string', default: '12000' },
    epochs: { type: 'string', default: '6' },
  },
});
/** Epochs with all gates open, and from there with gates, or with all of them open for the comparison. */
const EPOCHS = Number(values.epochs);
const GATED = Math.ceil((EPOCHS * 4) / 3);
const RATE = 3e-3;
const BATCH = 64;
const CHANNELS = 12;
/** Initial bias of the gates: open. */
const BIAS = 1;
/** Part of the gated multiply-accumulates that is free, and what more costs. */
const COST = { target: 0.65, strength: 1 };
const ALPHA = 0.02;
const GAMMA = 2;
/** Probability of a block in the first epochs of the network that BlockDrop goes on from. */
const KEEP = 0.75;

const study = await beginStudy('sample-difficulty', values.output);
const { train: all, test } = await realMnist(true);
const train = all.take(Number(values.images));

const { activation, batchNormalization, conv2d, dense, globalAveragePooling2d, maxPooling2d } =
  tfl.layers;
type Value = tfl.SymbolicTensor;
const inputShape: [number, number, number] = [28, 28, 1];
const apply = (x: Value, ...layers: tfl.layers.Layer[]) =>
  layers.reduce((value, layer) => layer.apply(value) as Value, x);
/** A short memory: training is short too. */
const norm = () => batchNormalization({ momentum: 0.9 });
const relu = () => activation({ activation: 'relu' });
const conv = (filters: number, strides = 1) =>
  conv2d({
    filters,
    kernelSize: 3,
    strides,
    padding: 'same',
    useBias: false,
    kernelInitializer: 'heNormal',
  });
const block = (filters: number) => [conv(filters), norm(), relu(), conv(filters), norm()];

/** A residual network of six gated blocks of 12 channels at 7 x 7. */
function residual(seed: number, withPolicy: boolean): tfl.LayersModel {
  return withSeed(seed, () => {
    const image = tfl.input({ shape: inputShape });
    let decisions: Value | undefined;
    if (withPolicy) {
      const bias = tfl.initializers.constant({ value: BIAS });
      decisions = apply(
        image,
        conv2d({ name: 'policy_conv1', filters: 8, kernelSize: 5, strides: 4, activation: 'relu' }),
        conv2d({ name: 'policy_conv2', filters: 16, kernelSize: 3, activation: 'relu' }),
        globalAveragePooling2d({ name: 'policy_pool' }),
        dense({ name: 'policy_logits', units: 6, biasInitializer: bias }),
        policyGate({ name: 'policy_gate' }),
      );
    }
    let x = apply(image, conv(CHANNELS, 2), norm(), relu(), conv(CHANNELS, 2), norm(), relu());
    for (let i = 0; i < 6; i++) {
      const layers = block(CHANNELS);
      const name = `block${i}`;
      x = decisions
        ? (gatedBlock({ name, layers, column: i }).apply([x, decisions]) as Value)
        : apply(x, gatedBlock({ name, layers, bias: BIAS }));
    }
    const outputs = apply(
      x,
      relu(),
      globalAveragePooling2d({}),
      dense({ units: 10, activation: 'softmax' }),
    );
    return tfl.model({ inputs: image, outputs });
  });
}

/** A plain convolutional network whose last two convolutions have four gated groups each. */
function grouped(seed: number): tfl.LayersModel {
  return withSeed(seed, () => {
    const image = tfl.input({ shape: inputShape });
    const gated = (name: string, filters: number) =>
      gatedConv2d({
        name,
        filters,
        groups: 4,
        kernelSize: 3,
        padding: 'same',
        activation: 'relu',
        bias: BIAS,
      });
    const outputs = apply(
      image,
      conv(16, 2),
      norm(),
      relu(),
      gated('gated1', 24),
      maxPooling2d({ poolSize: 2 }),
      norm(),
      gated('gated2', 32),
      globalAveragePooling2d({}),
      dense({ units: 10, activation: 'softmax' }),
    );
    return tfl.model({ inputs: image, outputs });
  });
}

/** Keeps all gates open: the network without them. */
const ones = ({ logits, gates }: GateDecision) => (logits ? tf.onesLike(gates) : undefined);
const open = (): FitCallback => callbacks.randomGates({ keep: 1 });

interface Outcome {
  errors: number;
  /** Mean multiply-accumulates per image, and those with all gates open. */
  macs: number;
  total: number;
  /** Of how many images each number of gates was open. */
  histogram: number[];
  /** Rank correlation of the open gates with the loss of the network with all gates open; 0 where all are alike. */
  correlation: number;
}

/** Losses and errors of the images by what `predict` makes of them. */
function tested(
  images: data.ImageDataset,
  predict: (x: tf.Tensor) => tf.Tensor,
): { loss: Float32Array; errors: number } {
  const loss = new Float32Array(images.size);
  let errors = 0;
  for (let first = 0; first < images.size; first += 500) {
    const count = Math.min(500, images.size - first);
    const batch = images.batch(Uint32Array.from({ length: count }, (_, i) => first + i));
    tf.tidy(() => {
      const scores = predict(batch.images);
      loss.set(losses.categoricalCrossentropy(batch.labels, scores).dataSync(), first);
      const right = tf.equal(tf.argMax(scores, -1), tf.argMax(batch.labels, -1));
      errors += count - tf.sum(tf.cast(right, 'float32')).dataSync()[0]!;
    });
    tf.dispose([batch.images, batch.labels]);
  }
  return { loss, errors };
}

const openly = (model: tfl.LayersModel) => (x: tf.Tensor) =>
  watchGates(ones, () => model.predictOnBatch(x) as tf.Tensor);

/** What came of a network with gates, beside the losses with all gates open. */
function measured(model: tfl.LayersModel, difficulty: Float32Array): Outcome {
  const executed: number[] = [];
  let macs = 0;
  let total = { gates: 0, macs: 0 };
  const { errors } = tested(test, (x) => {
    const usage = gateUsage(model, x, { batchSize: 500 });
    executed.push(...usage.executed);
    macs += usage.macs.reduce((sum, n) => sum + n, 0);
    total = usage.total;
    return usage.scores;
  });
  const histogram = new Array(total.gates + 1).fill(0);
  for (const gates of executed) histogram[gates]++;
  const alike = histogram.some((images) => images === executed.length);
  return {
    errors,
    macs: macs / test.size,
    total: total.macs,
    histogram,
    correlation: alike ? 0 : rankCorrelation(executed, difficulty),
  };
}

const options = (seed: number, epochs: number, rate: number, ...hooks: FitCallback[]) => ({
  ...training(seed, epochs, rate),
  batchSize: BATCH,
  callbacks: hooks,
});

/** The first epochs, with gates open at random or always; as the network was when an earlier run got there. */
async function begun(
  model: tfl.LayersModel,
  name: string,
  seed: number,
  keep: number,
): Promise<tfl.LayersModel> {
  await fit(model, train, {
    ...options(seed, EPOCHS, RATE, callbacks.randomGates({ keep })),
    checkpoint: `${study.output}/${name}-${keep}-${seed}.checkpoint`,
  });
  return model;
}

interface Way {
  /** Probability of a gate to be open in the first epochs; default 1. */
  keep?: number;
  learn(model: tfl.LayersModel, seed: number): Promise<void>;
}

/** The network with all gates open trained on, and with gates for as long. */
async function compared(
  name: string,
  make: (seed: number) => tfl.LayersModel,
  ways: Record<string, Way>,
  seed: number,
): Promise<Record<string, Outcome>> {
  const start = await begun(make(seed), name, seed, 1);
  const plain = copyModel(start);
  await fit(plain, train, options(seed + 100, GATED, RATE, open()));
  const { loss, errors } = tested(test, openly(plain));
  const { total } = measured(plain, loss);
  const outcomes: Record<string, Outcome> = {
    'all gates open': { errors, macs: total, total, histogram: [], correlation: 0 },
  };
  const model = copyModel(start);
  for (const [method, { keep = 1, learn }] of Object.entries(ways)) {
    const from = keep === 1 ? start : await begun(make(seed), name, seed, keep);
    copyValues(from, model);
    if (from !== start) from.dispose();
    await learn(model, seed);
    outcomes[method] = measured(model, loss);
  }
  start.dispose();
  plain.dispose();
  model.dispose();
  return outcomes;
}

const { blockDrop, gateCost, reinforcedGates } = callbacks;
const learn = async (model: tfl.LayersModel, seed: number, epochs: number, hook: FitCallback) => {
  await fit(model, train, options(seed + 200, epochs, RATE, hook));
};
const straightThrough: Way = {
  learn: (model, seed) => learn(model, seed, GATED, gateCost(COST)),
};

/** Last part of the training that goes to the second stage of SkipNet and of BlockDrop. */
const SECOND = Math.max(1, Math.round(GATED / 2));
const skipNet: Way = {
  async learn(model, seed) {
    await learn(model, seed, GATED - SECOND, gateCost(COST));
    const second = options(seed + 201, SECOND, RATE / 3, reinforcedGates({ alpha: ALPHA }));
    await fit(model, train, second);
  },
};
const policy: Way = {
  keep: KEEP,
  async learn(model, seed) {
    const hook = () => blockDrop({ gamma: GAMMA, curriculum: false });
    for (const layer of model.layers) layer.trainable = layer.name.startsWith('policy_');
    await learn(model, seed, GATED - SECOND, hook());
    for (const layer of model.layers) layer.trainable = true;
    await learn(model, seed + 1, SECOND, hook());
  },
};

const settings = [train.size, EPOCHS, GATED, RATE, BATCH, CHANNELS, BIAS, COST, ALPHA, GAMMA, KEEP];
const results = await study.compare(
  {
    'gated blocks': (seed) =>
      compared(
        'blocks',
        (s) => residual(s, false),
        {
          'SkipNet, straight-through': straightThrough,
          'SkipNet, then REINFORCE': skipNet,
        },
        seed,
      ),
    policy: (seed) => compared('policy', (s) => residual(s, true), { BlockDrop: policy }, seed),
    'channel groups': (seed) =>
      compared('groups', grouped, { 'gated channel groups': straightThrough }, seed),
  },
  settings,
);

const rows: Row[] = results.flatMap(({ method: net, outcomes }) =>
  Object.keys(outcomes[0]!).map((method) => {
    const each = outcomes.map((outcome) => outcome[method]!);
    const plain = outcomes.map((outcome) => outcome['all gates open']!);
    const lost = each.map(({ errors }, i) => errors - plain[i]!.errors);
    return [
      `${net}: ${method}`,
      percent(each.map(({ errors }) => errors)),
      percent(lost),
      meanAndSpread(
        each.map(({ macs }, i) => (100 * macs) / plain[i]!.total),
        1,
      ),
      meanAndSpread(
        each.map(({ correlation }) => correlation),
        2,
      ),
    ];
  }),
);
await study.finish(
  [['network', 'test error %', 'lost, points', 'mean MACs %', 'rank correlation'], ...rows],
  {
    data: { source: 'distorted MNIST', train: train.size, test: test.size },
    settings: {
      epochs: EPOCHS,
      gated: GATED,
      rate: RATE,
      batch: BATCH,
      cost: COST,
      bias: BIAS,
    },
    reward: { alpha: ALPHA, gamma: GAMMA },
    keep: KEEP,
    results,
  },
);
