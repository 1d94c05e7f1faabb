// Networks that spend less on easy images, on distorted MNIST: gated blocks (SkipNet), a policy for blocks (BlockDrop)
// and gated channel groups (runtime neural pruning), each beside the same network with all gates open, trained as long
// from the same start. That one has no teacher; it is the teacher of the others.
import { parseArgs } from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  callbacks,
  copyModel,
  type data,
  type FitCallback,
  fit,
  type GateDecision,
  gateUsage,
  losses,
  type Schedule,
  schedules,
  summarize,
  watchGates,
  withSeed,
} from 'thimble';
import { meanAndSpread, type Row } from 'thimble-examples/shared/table';
import {
  BIAS,
  BLOCK,
  BLOCKS,
  copyTrunk,
  GROUPS,
  grouped,
  LAYER,
  LAYERS,
  residual,
} from './gated-nets.ts';
import { rankCorrelation } from './statistics.ts';
import { beginStudy, percent, realMnist, training } from './study.ts';

const { values } = parseArgs({
  options: {
    output: { type: 'string' },
    images: { type: 'string', default: '20000' },
    epochs: { type: 'string', default: '3' },
  },
});
/** Epochs with all gates open, and from there with gates, or with all of them open for the comparison. */
const EPOCHS = Number(values.epochs);
const GATED = { blocks: Math.ceil((EPOCHS * 4) / 3), groups: 2 * EPOCHS };
const RATE = 3e-3;
const GATED_RATE = 2e-3;
const BATCH = 64;
/** Part of the gated multiply-accumulates that is free in the end (a policy costs something too), what more costs. */
const TARGET = { blocks: 0.62, policy: 0.52, groups: 0.665 };
const STRENGTH = 1;
/** The network with all gates open teaches those with gates: temperature of its answers, their weight in the loss. */
const TEMPERATURE = 2;
const TEACHER = 0.7;
const ALPHA = 0.25;
/** BlockDrop: what a wrong answer costs, and the paper's bound, so that something is always tried. */
const GAMMA = 15;
const BOUND = 0.8;

const study = await beginStudy('sample-difficulty', values.output);
const { train: all, test } = await realMnist(true);
const train = all.take(Number(values.images));

/** Keeps all gates open: the network without them. */
const ones = ({ logits, gates }: GateDecision) => (logits ? tf.onesLike(gates) : undefined);

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

const { cosine } = schedules;
const { blockDrop, distillation, gateCost, randomGates, reinforcedGates } = callbacks;
const trained = (
  model: tfl.LayersModel,
  seed: number,
  epochs: number,
  rate: Schedule,
  hooks: FitCallback[],
  checkpoint?: string,
) =>
  fit(model, train, {
    ...training(seed, epochs, RATE),
    batchSize: BATCH,
    learningRate: rate,
    callbacks: hooks,
    ...(checkpoint ? { checkpoint: `${study.output}/${checkpoint}.checkpoint` } : {}),
  });

/** The same network with gates that open for any image: it predicts so without anybody watching. */
function alwaysOpen(model: tfl.LayersModel): tfl.LayersModel {
  const copy = copyModel(model);
  for (const weight of copy.weights) {
    const [, role] = /_gate\/(kernel|bias)/.exec(weight.originalName) ?? [];
    if (!role) continue;
    tf.tidy(() => {
      weight.write(tf.fill(weight.shape as number[], role === 'bias' ? BIAS : 0));
    });
  }
  return copy;
}

/** Begins the policy as a classifier, for an epoch on the layers that are the trunk's, so that it sees digits. */
async function taughtDigits(model: tfl.LayersModel, seed: number): Promise<void> {
  const hidden = model.getLayer('policy_hidden').output as tfl.SymbolicTensor;
  const digits = () => tfl.layers.dense({ units: 10, activation: 'softmax' }).apply(hidden);
  const outputs = withSeed(seed, digits) as tfl.SymbolicTensor;
  const reader = tfl.model({ inputs: model.inputs, outputs });
  const trunk = model.layers.filter(({ name }) => !name.startsWith('policy'));
  for (const layer of trunk) layer.trainable = false;
  await trained(reader, seed + 300, 1, cosine(RATE), []);
  for (const layer of trunk) layer.trainable = true;
}

interface Way {
  /** A network with other gates; default: the one that all gates were open in. */
  make?(seed: number): tfl.LayersModel;
  learn(model: tfl.LayersModel, seed: number, teacher: FitCallback): Promise<unknown>;
}

/** The network with all gates open trained on, and with gates for as long. */
async function compared(
  name: keyof typeof GATED,
  make: (seed: number) => tfl.LayersModel,
  ways: Record<string, Way>,
  seed: number,
): Promise<Record<string, Outcome>> {
  const start = make(seed);
  const open = randomGates({ keep: 1 });
  await trained(
    start,
    seed,
    EPOCHS,
    cosine(RATE),
    [open],
    `${name}-${seed}-${train.size}-${EPOCHS}`,
  );
  const plain = copyModel(start);
  await trained(
    plain,
    seed + 100,
    GATED[name],
    cosine(GATED_RATE),
    [open],
    `${name}-open-${seed}-${train.size}-${GATED[name]}`,
  );
  const { loss, errors } = tested(test, openly(plain));
  const total = summarize(plain).total.macs;
  const outcomes: Record<string, Outcome> = {
    'all gates open': { errors, macs: total, total, histogram: [], correlation: 0 },
  };
  const teacher = alwaysOpen(plain);
  const taught = distillation({ teacher, temperature: TEMPERATURE, alpha: TEACHER });
  for (const [method, way] of Object.entries(ways)) {
    outcomes[method] = await study.once(`${method}, seed ${seed}`, settings, async () => {
      const model = way.make?.(seed) ?? copyModel(start);
      if (way.make) copyTrunk(start, model);
      await way.learn(model, seed, taught);
      const outcome = measured(model, loss);
      model.dispose();
      return outcome;
    });
  }
  for (const model of [start, plain, teacher]) model.dispose();
  return outcomes;
}

/** The target comes down from 1 in the first half, so that gates of a trained network close gently. */
function cost(last: number): FitCallback {
  const target: Schedule = ({ step, stepsPerEpoch, epochs }) =>
    Math.max(last, 1 - (1 - last) * ((2 * step) / (stepsPerEpoch * epochs)));
  return gateCost({ target, strength: STRENGTH });
}

const straightThrough = (name: keyof typeof GATED): Way => ({
  learn: (model, seed, teacher) =>
    trained(model, seed + 200, GATED[name], cosine(GATED_RATE), [teacher, cost(TARGET[name])]),
});

/** Last part of the training that goes to policy gradients; its rate goes on where the first part's ended. */
const SECOND = Math.max(1, Math.round(GATED.blocks / 4));
const SECOND_RATES = { reinforce: GATED_RATE / 3, blockDrop: 0.75 * GATED_RATE };
function thenRewarded(last: number, final: number, rewarded: () => FitCallback): Way {
  return {
    async learn(model, seed, teacher) {
      const rate = cosine(GATED_RATE, { final });
      await trained(model, seed + 200, GATED.blocks - SECOND, rate, [teacher, cost(last)]);
      await trained(model, seed + 201, SECOND, cosine(final), [teacher, rewarded()]);
    },
  };
}

const settings = [
  [train.size, EPOCHS, GATED, RATE, GATED_RATE, BATCH, BLOCKS, BLOCK, LAYERS, LAYER, GROUPS],
  [BIAS, TARGET, STRENGTH, TEMPERATURE, TEACHER, SECOND, SECOND_RATES, ALPHA, GAMMA, BOUND],
];
const results = await study.compare(
  {
    'gated blocks': (seed) =>
      compared(
        'blocks',
        (s) => residual(s, false),
        {
          'SkipNet, straight-through': straightThrough('blocks'),
          'SkipNet, then REINFORCE': thenRewarded(TARGET.blocks, SECOND_RATES.reinforce, () =>
            reinforcedGates({ alpha: ALPHA }),
          ),
          'BlockDrop, begun straight-through': {
            make: (s) => residual(s, true),
            async learn(model, s, teacher) {
              await taughtDigits(model, s);
              const rewarded = blockDrop({ gamma: GAMMA, bound: BOUND, curriculum: false });
              const way = thenRewarded(TARGET.policy, SECOND_RATES.blockDrop, () => rewarded);
              await way.learn(model, s, teacher);
            },
          },
        },
        seed,
      ),
    'channel groups': (seed) =>
      compared('groups', grouped, { 'gated channel groups': straightThrough('groups') }, seed),
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
      rewarded: SECOND,
      rates: [RATE, GATED_RATE, SECOND_RATES],
      batch: BATCH,
      blocks: { blocks: BLOCKS, channels: BLOCK },
      groups: { layers: LAYERS, channels: LAYER, groups: GROUPS },
      bias: BIAS,
      cost: { target: TARGET, strength: STRENGTH },
      teacher: { temperature: TEMPERATURE, alpha: TEACHER },
    },
    reward: { alpha: ALPHA, gamma: GAMMA, bound: BOUND },
    results,
  },
);
