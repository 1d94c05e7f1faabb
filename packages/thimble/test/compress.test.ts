import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import '@thimble/backend';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  type BatchSource,
  type CompressOptions,
  compress,
  data,
  encode,
  extractWidth,
  fit,
  type LossName,
  load,
  OptionError,
  predictEarly,
  recipes,
  runtime,
  setWidth,
  steps,
  widthOf,
  widthsOf,
  withSeed,
} from 'thimble';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

// Real digits where there are any, drawn ones elsewhere.
const quiet = { progress: false } as const;
let train: data.ImageDataset;
let validation: data.ImageDataset;
let held: data.ImageDataset;
let model: tfl.LayersModel;
let folder: string;

function network(): tfl.Sequential {
  return withSeed(5, () =>
    tfl.sequential({
      layers: [
        tfl.layers.flatten({ inputShape: [28, 28, 1] }),
        tfl.layers.dense({ name: 'fc1', units: 32, activation: 'relu' }),
        tfl.layers.dense({ name: 'fc2', units: 16, activation: 'relu' }),
        tfl.layers.dense({ name: 'output', units: 10, activation: 'softmax' }),
      ],
    }),
  );
}

beforeAll(async () => {
  await tf.setBackend('thimble');
  const source = process.env.THIMBLE_DATA_DIR ? 'auto' : 'synthetic';
  const all = await data.mnist({ source, limit: 2500, onProgress: false });
  [train, validation] = all.train.split(0.2, 1);
  held = all.test.take(500);
  model = network();
  const training = { epochs: 4, batchSize: 32, loss: 'categoricalCrossentropy' } as const;
  await fit(model, train, { ...training, ...quiet });
  folder = await mkdtemp(join(tmpdir(), 'thimble-compress-'));
});
afterAll(() => rm(folder, { recursive: true }));

const parts = () => ({ train, validation, test: held });

/** Compresses, and gives the model back only by what it says. */
async function compressed(options: Omit<CompressOptions, 'data'>) {
  const before = model.getWeights().map((weight) => Array.from(weight.dataSync().slice(0, 50)));
  const result = await compress(model, { data: parts(), ...quiet, ...options });
  const after = model.getWeights().map((weight) => Array.from(weight.dataSync().slice(0, 50)));
  expect(after).toEqual(before);
  return result;
}

function outputs(each: tfl.LayersModel): number[] {
  return tf.tidy(() => {
    const { images } = held.tensors({ limit: 20 });
    return Array.from((each.predict(images) as tf.Tensor).dataSync());
  });
}

test('steps one after the other: the file holds what was made, recipe and figures with it', async () => {
  const started: string[] = [];
  const {
    model: small,
    bytes,
    report,
  } = await compressed({
    steps: [
      steps.prune({
        sparsity: 0.8,
        perLayer: { output: 0.3 },
        rounds: 2,
        fineTune: 1,
        batchSize: 16,
        learningRate: 0.003,
      }),
      steps.cluster({ clusters: 16, epochs: 1 }),
      steps.quantize({ bits: 8 }),
      steps.encode({ labels: [...'0123456789'] }),
    ],
    onStep: ({ name }) => started.push(name),
  });
  expect(started).toEqual(['prune', 'cluster', 'quantize', 'encode']);
  // 784 * 32 + 32 * 16 + 16 * 10 entries of kernels, of which a fifth is left, but 7 tenths of the last 160; 58 biases.
  expect(report.before.params).toBe(25_760 + 58);
  expect(report.steps[0]!.nonzero).toBeLessThanOrEqual(5018 + 102 + 112 + 58);
  expect(report.bytes).toBe(bytes.length);
  expect(report.ratio).toBeCloseTo((4 * 25_818) / bytes.length, 10);
  expect(report.ratio).toBeGreaterThan(15);
  expect(report.before.test!.accuracy).toBeGreaterThan(0.75);
  expect(report.after.test!.accuracy).toBeGreaterThan(report.before.test!.accuracy! - 0.08);

  const file = await runtime.decode(bytes);
  expect(file.labels).toHaveLength(10);
  const notes = JSON.parse(JSON.stringify(file.report));
  expect(notes.recipe).toEqual(JSON.parse(JSON.stringify(report.recipe)));
  expect(notes.after.test).toEqual(report.after.test);
  const kernel = file.graph.weights['fc1/kernel']!.encoding.values;
  expect(kernel).toMatchObject({ type: 'codebook' });

  const again = await load(bytes);
  expect(outputs(again)).toEqual(outputs(small));
  again.dispose();
  small.dispose();
});

test('the recipe in a file makes the same file again', async () => {
  const recipe = recipes.deepCompression({ sparsity: 0.7, rounds: 1, epochs: 1 });
  const first = await compressed({ recipe });
  const { report } = await runtime.decode(first.bytes);
  const written = (report as unknown as { recipe: typeof recipe }).recipe;
  const second = await compressed({ recipe: written });
  expect(second.bytes).toEqual(first.bytes);
  first.model.dispose();
  second.model.dispose();
});

describe('every ready recipe works on a dense network', () => {
  test.each([
    ['lotteryTicket', recipes.lotteryTicket({ sparsity: 0.5, rounds: 1, epochs: 2 }), 0.4],
    ['mobile', recipes.mobile({ ratio: 0.25, epochs: 1 }), 0.7],
    ['binary', recipes.binary({ epochs: 1 }), 0.6],
    ['anytime', recipes.anytime({ epochs: 1, widths: [0.5, 1] }), 0.7],
    ['anytime, of one width', recipes.anytime({ epochs: 1, widths: [1] }), 0.7],
  ])('%s', async (_, recipe, least) => {
    const tensors = tf.memory().numTensors;
    const { model: small, report, bytes } = await compressed({ recipe });
    const { test: scores } = report.after;
    const accuracy = scores!.accuracy ?? scores!.output_accuracy;
    expect(accuracy).toBeGreaterThan(least);
    expect(report.ratio).toBeGreaterThan(1.2);
    const net = await runtime.load(bytes);
    expect(net.outputs.length).toBe(small.outputs.length);
    net.dispose();
    small.dispose();
    expect(tf.memory().numTensors).toBe(tensors);
  });
});

test('a round of pruning that costs too much is taken back, and what is left trained on', async () => {
  const pruned = (maxDrop: number) =>
    compressed({
      steps: [steps.prune({ sparsity: 0.99, rounds: 3, maxDrop, fineTune: 1, batchSize: 16 })],
      folder: join(folder, `drop-${maxDrop}`),
    });
  // A hundredth of 25,760 entries is too little.
  const { model: small, report } = await pruned(0.05);
  const details = report.steps[0]!.details as unknown as {
    takenBack?: boolean;
    rounds: { sparsity: number; accuracy: number }[];
  };
  const rounds = details.rounds.map(({ accuracy }) => accuracy);
  expect(details.takenBack).toBe(true);
  expect(rounds.at(-1)).toBeLessThan(rounds.at(-2)! - 0.05);
  const { sparsity } = details.rounds.at(-2)!;
  expect(report.steps[0]!.nonzero / 25_818).toBeCloseTo(1 - sparsity, 1);
  expect(report.steps[0]!.nonzero).toBeGreaterThan(1000);
  small.dispose();
  const whole = await pruned(0.9);
  expect(whole.report.steps[0]!.details).not.toHaveProperty('takenBack');
  expect(whole.report.steps[0]!.nonzero).toBeLessThan(258 + 59);
  whole.model.dispose();
});

test('anytime: one file for several widths, with an early exit at each of them', async () => {
  const recipe = recipes.anytime({ epochs: 2, widths: [1, 0.5], accuracyDrop: 0.05 });
  const { model: small, bytes, report } = await compressed({ recipe });
  const [slim, exits] = report.steps.map(({ details }) => details) as unknown as [
    { widths: { width: number; macs: number; validation: { accuracy: number } }[] },
    { widths: { width: number; exits: { macs: number; accuracy: number }[]; leave: Leave }[] },
  ];
  interface Leave {
    policy: 'confidence';
    threshold: number;
    macs: number;
    accuracy: number;
  }
  // 784-32-16-10, and 784-16-8-10.
  const macs = [784 * 16 + 16 * 8 + 8 * 10, 784 * 32 + 32 * 16 + 16 * 10];
  expect(slim.widths.map((each) => [each.width, each.macs])).toEqual([
    [0.5, macs[0]],
    [1, macs[1]],
  ]);
  for (const { validation: scores } of slim.widths) expect(scores.accuracy).toBeGreaterThan(0.5);
  const again = await load(bytes);
  expect(widthsOf(again)).toEqual([0.5, 1]);
  expect(widthOf(again)).toBe(1);
  for (const [i, { width, exits: found, leave }] of exits.widths.entries()) {
    setWidth(again, width);
    // A head on the first hidden layer: 16 or 32 times 10.
    const head = 320 * width;
    expect(found.map((exit) => exit.macs)).toEqual([784 * 32 * width + head, macs[i]! + head]);
    expect(found.at(-1)!.accuracy).toBeGreaterThan(0.5);
    expect(leave.accuracy).toBeGreaterThanOrEqual(found.at(-1)!.accuracy - 0.05);
    const { images, labels } = held.tensors();
    const { policy, threshold } = leave;
    const { scores, exits: left } = await predictEarly(again, images, { policy, threshold });
    const right = tf.tidy(() => tf.mean(tf.equal(tf.argMax(scores, -1), tf.argMax(labels, -1))));
    expect(right.dataSync()[0]).toBeGreaterThan(0.35);
    expect(new Set(left)).toContain(0);
    tf.dispose([scores, images, labels, right]);
    // For packed kernels, the plain network of one width.
    const plain = await extractWidth(again, width);
    const net = await runtime.load(await encode(plain, { progress: false }));
    expect(net.outputs.map(({ size }) => size)).toEqual([10, 10]);
    net.dispose();
    plain.dispose();
  }
  again.dispose();
  small.dispose();
});

test('slimmable takes what pruning has left', async () => {
  const { model: small, report } = await compressed({
    steps: [
      steps.prune({ sparsity: 0.5, epochs: 0 }),
      steps.slimmable({ widths: [0.5, 1], epochs: 0 }),
    ],
  });
  expect(report.steps[1]!.nonzero).toBe(report.steps[0]!.nonzero);
  expect(report.steps[1]!.validation).toEqual(report.steps[0]!.validation);
  small.dispose();
});

test.each([
  steps.quantize({ bits: 8, epochs: 1 }),
  steps.removeChannels({ ratio: 0.25 }),
  steps.slimmable({ widths: [0.5, 1], epochs: 1 }),
])('what was pruned stays pruned in $name with training', async (step) => {
  const { model: small, report } = await compressed({
    steps: [steps.prune({ sparsity: 0.8, epochs: 0 }), step],
  });
  expect(report.steps[1]!.nonzero).toBeLessThanOrEqual(report.steps[0]!.nonzero);
  small.dispose();
});

test('what was pruned stays pruned where batch normalisation becomes part of it', async () => {
  const { layers, sequential } = tfl;
  const normed = withSeed(1, () =>
    sequential({
      layers: [
        layers.conv2d({ inputShape: [28, 28, 1], filters: 4, kernelSize: 5, strides: 3 }),
        layers.batchNormalization(),
        layers.flatten(),
        layers.dense({ units: 10, activation: 'softmax' }),
      ],
    }),
  );
  const data = { train: train.take(200), validation: held.take(100) };
  for (const epochs of [0, 1]) {
    const { model: small, report } = await compress(normed, {
      data,
      steps: [
        steps.prune({ sparsity: 0.8, epochs: 0 }),
        steps.quantize({ bits: 8, epochs }),
        steps.train({ epochs: 1 }),
      ],
      ...quiet,
    });
    // A fifth of 100 and 2560 entries of kernels, 14 biases.
    expect(report.after.nonzero).toBeLessThanOrEqual(20 + 512 + 14);
    small.dispose();
  }
  normed.dispose();
});

test('an early exit is put after the layer that does most of the work', async () => {
  const { model: small, report } = await compressed({
    steps: [steps.exits({ epochs: 1, accuracyDrop: 0.05 })],
  });
  const { exits, leave } = report.steps[0]!.details as {
    exits: { name: string; macs: number }[];
    leave: { macs: number; fractions: number[] };
  };
  // fc1 has 25,088 of 25,760 multiply-accumulates, so both thirds are passed there.
  expect(exits.map(({ macs }) => macs)).toEqual([25_088 + 320, 25_760 + 320]);
  expect(leave.macs).toBeGreaterThanOrEqual(25_408);
  expect(leave.fractions.reduce((sum, n) => sum + n, 0)).toBeCloseTo(1, 6);
  small.dispose();
});

test('an aborted run goes on after the step that was finished, and ends as an unbroken one', async () => {
  const list = () => [
    steps.prune({ sparsity: 0.5, rounds: 1, epochs: 1 }),
    steps.cluster({ clusters: 8, epochs: 2 }),
  ];
  const whole = await compressed({ steps: list() });
  const abort = new AbortController();
  const tensors = tf.memory().numTensors;
  const first = compressed({
    steps: list(),
    folder,
    signal: abort.signal,
    progress: ({ task, done }) => {
      if (task === 'epoch 2/2' && done === 5) abort.abort(new Error('enough'));
    },
  });
  await expect(first).rejects.toThrow('enough');
  expect(tf.memory().numTensors).toBe(tensors);
  expect((await readdir(folder)).join()).toMatch(/2-cluster-[0-9a-f]{8}\.checkpoint/);
  const kept: boolean[] = [];
  const second = await compressed({
    steps: list(),
    folder,
    onStep: (report) => kept.push(report.kept),
  });
  expect(kept).toEqual([true, false]);
  expect(second.bytes).toEqual(whole.bytes);
  whole.model.dispose();
  second.model.dispose();
});

test('finished steps are not taken over for other data or another loss', async () => {
  const place = join(folder, 'other');
  const kept = async (data: { train: BatchSource; validation: BatchSource }, loss: LossName) => {
    const seen: boolean[] = [];
    const onStep = (report: { kept: boolean }) => seen.push(report.kept);
    const list = [steps.prune({ sparsity: 0.5, epochs: 0 })];
    const about = { steps: list, folder: place, onStep, loss, ...quiet };
    (await compress(model, { data, ...about })).model.dispose();
    return seen;
  };
  const data = { train: train.take(200), validation: held.take(100) };
  const loss = 'categoricalCrossentropy';
  const tensors = tf.memory().numTensors;
  expect(await kept(data, loss)).toEqual([false]);
  expect(await kept(data, loss)).toEqual([true]);
  expect(await kept({ ...data, train: held.take(200) }, loss)).toEqual([false]);
  expect(await kept({ ...data, validation: train.take(100) }, loss)).toEqual([false]);
  expect(await kept(data, 'meanSquaredError')).toEqual([false]);
  expect(tf.memory().numTensors).toBe(tensors);
});

test('a step of your own', async () => {
  const halve = {
    name: 'halve',
    options: { by: 2 },
    async run({ model: own, note }: Parameters<ReturnType<typeof steps.train>['run']>[0]) {
      tf.tidy(() => own.setWeights(own.getWeights().map((weight) => tf.div(weight, 2))));
      note({ weights: own.getWeights().length });
    },
  };
  const { model: small, report } = await compressed({ steps: [halve] });
  expect(report.steps[0]!.details).toEqual({ weights: 6 });
  const [before, after] = [model, small].map((each) => each.getWeights()[0]!.dataSync()[100]!);
  expect(after).toBe(before! / 2);
  small.dispose();
});

describe('refuses, before anything is done', () => {
  test.each([
    ['neither steps nor recipe', {}, /give either steps/],
    ['an empty list', { steps: [] }, /one or more steps/],
    ['an unknown option', { stepz: [] }, /unknown option "stepz"/],
  ])('%s', async (_, options, message) => {
    await expect(compressed(options as never)).rejects.toThrow(message);
    await expect(compressed(options as never)).rejects.toThrow(OptionError);
  });

  test('a network of which nobody knows what it is for', async () => {
    const linear = tfl.sequential({ layers: [tfl.layers.dense({ units: 2, inputShape: [3] })] });
    const options = { data: { x: new Float32Array(30), y: new Float32Array(20) }, ...quiet };
    await expect(compress(linear, { ...options, steps: [steps.encode()] })).rejects.toThrow(
      /Give the option loss/,
    );
  });
});

test('writing the file shows its progress where the rest does', async () => {
  const tasks = new Set<string>();
  const { model: small } = await compressed({
    steps: [steps.encode()],
    progress: ({ task }) => void tasks.add(task),
  });
  small.dispose();
  expect(tasks).toContain('encoding');
});
