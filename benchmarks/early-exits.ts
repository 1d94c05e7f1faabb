// BranchyNet's LeNet on MNIST: the plain network trained, then both exits together from there; the thresholds of the
// entropy that are most accurate on validation images; errors, share of images that leave early, and time beside the plain
// network, as models and in the packed runtime.
import { parseArgs } from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  bLeNet,
  chooseThresholds,
  evaluateExits,
  exitCosts,
  fit,
  fitExits,
  lower,
  predictEarly,
  runtime,
} from 'thimble';
import { meanAndSpread, type Row } from 'thimble-examples/shared/table';
import { median } from './statistics.ts';
import { beginStudy, percent, realMnist, testErrors, training } from './study.ts';

const { values } = parseArgs({
  options: {
    output: { type: 'string' },
    images: { type: 'string', default: '55000' },
    epochs: { type: 'string', default: '12' },
  },
});
/** Epochs of the plain network, and of both together from there. */
const EPOCHS = Number(values.epochs);
const JOINT = EPOCHS;
const RATE = 1e-3;
const WEIGHTS = [1, 1];
const BATCHES = [1, 100];
const REPEATS = 7;
/** Images per batch that are timed; fewer one by one. */
const TIMED: Record<number, number> = { 1: 400, 100: 2000 };
const TIMED_PACKED = 2000;

const study = await beginStudy('early-exits', values.output);
const { train: all, validation, test } = await realMnist();
const train = all.take(Number(values.images));

interface Timing {
  /** Images at a time; the packed runtime takes them one by one. */
  batch: number;
  /** Median milliseconds per image: the plain network, early exits, and the ideal. */
  plain: number;
  early: number;
  ideal: number;
}

interface Outcome {
  plainErrors: number;
  /** Of both exits by themselves, after training together. */
  exitErrors: number[];
  errors: number;
  threshold: number;
  /** Share of the test images that leave at each exit. */
  fractions: number[];
  macs: number;
  plainMacs: number;
  timings: Timing[];
  packed: Timing;
}

/** The images in parts; the caller disposes of them. */
function parts(x: tf.Tensor, batch: number): tf.Tensor[] {
  const size = x.shape[0]!;
  return Array.from({ length: Math.floor(size / batch) }, (_, i) => tf.slice(x, i * batch, batch));
}

/** The ways of going through images that are timed; the first exit alone, and both exits for all. */
type Ways<X> = Record<'plain' | 'first' | 'both', (x: X) => unknown> & {
  /** Returns how many images left at the first exit. */
  early(x: X): number | Promise<number>;
};

/**
 * All ways in turn in one process, several times, over parts of `batch` images; the ideal is the time to each exit,
 * weighted by who leaves there.
 */
async function inTurn<X>(ways: Ways<X>, xs: readonly X[], batch: number): Promise<Timing> {
  const count = xs.length * batch;
  let early = 0;
  const runs = {
    ...ways,
    early: async (x: X) => {
      early += await ways.early(x);
    },
  };
  const taken = { plain: [], first: [], both: [], early: [] } as Record<keyof Ways<X>, number[]>;
  for (let repeat = 0; repeat <= REPEATS; repeat++) {
    for (const name of Object.keys(runs) as (keyof Ways<X>)[]) {
      const begun = performance.now();
      for (const x of xs) await runs[name](x);
      if (repeat > 0) taken[name].push((performance.now() - begun) / count); // the first round warms up
    }
  }
  const fraction = early / (count * (REPEATS + 1));
  return {
    batch,
    plain: median(taken.plain),
    early: median(taken.early),
    ideal: fraction * median(taken.first) + (1 - fraction) * median(taken.both),
  };
}

/** How many of some images left at the first exit. */
const firstOf = (exits: Int32Array): number => exits.filter((exit) => exit === 0).length;

async function forward(model: tfl.LayersModel, x: tf.Tensor): Promise<void> {
  const y = model.predict(x, { batchSize: x.shape[0]! }) as tf.Tensor;
  await y.data();
  y.dispose();
}

async function timed(
  plain: tfl.LayersModel,
  branchy: tfl.LayersModel,
  threshold: readonly number[],
  images: tf.Tensor,
  batch: number,
): Promise<Timing> {
  const { inputs, outputs } = branchy;
  const first = tfl.model({ inputs, outputs: outputs[0]! });
  // To the second exit by way of the first: its scores have been computed in vain.
  const both = tfl.model({ inputs, outputs });
  const xs = parts(images, batch);
  const ways: Ways<tf.Tensor> = {
    plain: (x) => forward(plain, x),
    first: (x) => forward(first, x),
    both: async (x) => {
      const answers = both.predict(x, { batchSize: batch }) as tf.Tensor[];
      await answers[1]!.data();
      tf.dispose(answers);
    },
    early: async (x) => {
      const { scores, exits } = await predictEarly(branchy, x, { threshold, batchSize: batch });
      scores.dispose();
      return firstOf(exits);
    },
  };
  const timing = await inTurn(ways, xs, batch);
  tf.dispose(xs);
  return timing;
}

/** As {@link timed}, in the packed runtime, image by image. */
async function timedPacked(
  trunk: tfl.LayersModel,
  branchy: tfl.LayersModel,
  threshold: readonly number[],
  images: tf.Tensor,
): Promise<Timing> {
  const [plain, net] = [await runtime.pack(lower(trunk)), await runtime.pack(lower(branchy))];
  const xs = parts(images, 1);
  const ways: Ways<Float32Array> = {
    plain: (x) => plain.predict(x),
    first: (x) => net.predictEarly(x, { policy: 'confidence', threshold: 0 }),
    both: (x) => net.predict(x),
    early: (x) => firstOf(net.predictEarly(x, { threshold }).exits),
  };
  const timing = await inTurn(
    ways,
    xs.map((x) => x.dataSync() as Float32Array),
    1,
  );
  tf.dispose(xs);
  plain.dispose();
  net.dispose();
  return timing;
}

async function branched(seed: number): Promise<Outcome> {
  const { trunk, branchy } = bLeNet({ seed });
  const quiet = { batchSize: 500, progress: false };
  await fit(trunk, train, {
    ...training(seed, EPOCHS, RATE),
    checkpoint: `${study.output}/plain-${seed}.checkpoint`,
  });
  const plainErrors = await testErrors(trunk, test);
  await fitExits(branchy, train, {
    ...training(seed + 100, JOINT, RATE),
    lossWeights: WEIGHTS,
    checkpoint: `${study.output}/joint-${seed}.checkpoint`,
  });
  // As much as all exits cost, so that accuracy decides, and the cost among equals.
  const [, last] = exitCosts(branchy);
  const [first] = exitCosts(trunk);
  if (!last || !first) throw new Error('B-LeNet has two exits');
  const chosen = await chooseThresholds(branchy, validation, { budget: last.macs, ...quiet });
  const { threshold } = chosen;
  const { exits, early } = await evaluateExits(branchy, test, { threshold, ...quiet });
  const { images, labels } = test.tensors();
  const timings: Timing[] = [];
  for (const batch of BATCHES) {
    const some = tf.slice(images, 0, TIMED[batch]!);
    timings.push(await timed(trunk, branchy, threshold, some, batch));
    some.dispose();
  }
  const some = tf.slice(images, 0, TIMED_PACKED);
  const packed = await timedPacked(trunk, branchy, threshold, some);
  tf.dispose([images, labels, some]);
  branchy.dispose();
  const errorsOf = (right: number) => Math.round((1 - right) * test.size);
  return {
    plainErrors,
    exitErrors: exits.map((exit) => errorsOf(exit.accuracy)),
    errors: errorsOf(early!.accuracy),
    threshold: threshold[0]!,
    fractions: early!.fractions,
    macs: early!.macs,
    plainMacs: first.macs,
    timings,
    packed,
  };
}

const settings = [train.size, EPOCHS, JOINT, RATE, WEIGHTS, BATCHES, REPEATS, TIMED_PACKED];
const [result] = await study.compare({ 'B-LeNet': branched }, settings);
const { outcomes } = result!;
const figures = (value: (outcome: Outcome) => number, digits: number) =>
  meanAndSpread(outcomes.map(value), digits);
const rows: Row[] = [
  ['', 'B-LeNet', 'paper'],
  ['plain network, test error %', percent(outcomes.map((o) => o.plainErrors)), '0.80'],
  ['first exit for all, test error %', percent(outcomes.map((o) => o.exitErrors[0]!)), ''],
  ['last exit for all, test error %', percent(outcomes.map((o) => o.exitErrors[1]!)), ''],
  ['early exits, test error %', percent(outcomes.map((o) => o.errors)), '0.75'],
  ['threshold of the entropy', figures((o) => o.threshold, 3), '0.025'],
  ['leave at the first exit %', figures((o) => 100 * o.fractions[0]!, 1), '94.3'],
  ['multiply-accumulates, part of the plain network', figures((o) => o.macs / o.plainMacs, 3), ''],
  ...BATCHES.flatMap((batch, i) => [
    [
      `times faster than the plain network, batch ${batch}`,
      figures((o) => o.timings[i]!.plain / o.timings[i]!.early, 2),
      batch === 1 ? '5.4' : '',
    ],
    [
      `time over the ideal, batch ${batch}`,
      figures((o) => o.timings[i]!.early / o.timings[i]!.ideal, 2),
      '',
    ],
  ]),
  [
    'times faster than the plain network, packed',
    figures((o) => o.packed.plain / o.packed.early, 2),
    '5.4',
  ],
  ['time over the ideal, packed', figures((o) => o.packed.early / o.packed.ideal, 2), ''],
];
await study.finish(rows, {
  data: { source: 'MNIST', train: train.size, validation: validation.size, test: test.size },
  settings: { epochs: EPOCHS, joint: JOINT, rate: RATE, weights: WEIGHTS },
  results: outcomes,
});
