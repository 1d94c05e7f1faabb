import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { Random, withSeed } from '@thimble/base';
import {
  finalize,
  fit,
  parametrize,
  registerTransform,
  type StepContext,
  schedules,
  summarize,
  type ThimbleCallback,
  type WeightTransform,
  walkLayers,
} from '@thimble/core';
import {
  blockDrop,
  type GateDecision,
  gateCost,
  gatedBlock,
  gatedConv2d,
  gateUsage,
  policyGate,
  randomGates,
  reinforcedGates,
  watchGates,
} from '@thimble/dynamic';
import {
  describeLayerContract,
  expectNoLeaks,
  savedAndLoaded,
  snapshot,
  useCpu,
} from '@thimble/testing';
import { describe, expect, it } from 'vitest';
import { examples, rowsThrough } from './networks.ts';

useCpu();

const { conv2d, dense } = tfl.layers;
const skip = { skip: 'a hard gate has no finite differences; the closed form follows' };

describeLayerContract('gatedBlock', {
  make: () =>
    gatedBlock({
      name: 'gated',
      layers: [dense({ units: 4, activation: 'tanh' })],
      noise: false,
      hidden: 3,
    }),
  inputShape: [4],
  gradients: skip,
});
describeLayerContract('gatedBlock of convolutions', {
  make: () =>
    gatedBlock({
      name: 'gated',
      layers: [
        conv2d({ filters: 2, kernelSize: 3, padding: 'same' }),
        tfl.layers.batchNormalization({}),
      ],
      noise: false,
      bias: 0,
    }),
  inputShape: [4, 4, 2],
  gradients: skip,
});
describeLayerContract('gatedConv2d', {
  make: () =>
    gatedConv2d({ name: 'gated', filters: 4, kernelSize: 2, groups: 2, noise: false, bias: 0 }),
  inputShape: [3, 3, 2],
  gradients: skip,
});

/** A block on 4 inputs that opens where the first input is above 0, and the dense layer inside it. */
function byFirstInput(noise = false) {
  const inside = dense({ name: 'inside', units: 4, activation: 'tanh' });
  const model = withSeed(2, () =>
    tfl.sequential({
      layers: [
        gatedBlock({ name: 'block', layers: [inside], hidden: 0, bias: 0, noise, inputShape: [4] }),
        dense({ name: 'scores', units: 3, activation: 'softmax' }),
      ],
    }),
  );
  const gate = walkLayers(model).find(({ name }) => name === 'block_gate')!;
  gate.setWeights([tf.tensor2d([[1], [0], [0], [0]]), tf.zeros([1])]);
  return { model, inside, gate };
}

const signs = (values: number[]) =>
  tf.tensor2d(
    values.flatMap((v, i) => [v, 0.3, -0.1 * i, 0.5]),
    [values.length, 4],
  );

describe('gatedBlock', () => {
  it('is x + F(x) where the gate is open, else x; the same masked as split', () => {
    const { model, inside } = byFirstInput();
    const block = model.layers[0]!;
    for (const values of [
      [1, -1, 2, -0.5, -3],
      [1, 2],
      [-1, -2],
    ]) {
      const x = signs(values);
      const split = (block.apply(x) as tf.Tensor).arraySync() as number[][];
      const masked = (block.apply(x, { training: true }) as tf.Tensor).arraySync() as number[][];
      const plain = x.arraySync() as number[][];
      const branch = (inside.apply(x) as tf.Tensor).arraySync() as number[][];
      plain.forEach((row, i) => {
        row.forEach((v, k) => {
          const wanted = v + (values[i]! > 0 ? branch[i]![k]! : 0);
          expect(split[i]![k]).toBeCloseTo(wanted, 5);
          expect(masked[i]![k]).toBeCloseTo(wanted, 5);
        });
      });
    }
  });

  it('computes its layers for the samples alone that take it', async () => {
    const { model, inside } = byFirstInput();
    const through = (values: number[]) =>
      rowsThrough([inside], () => tf.dispose(model.predict(signs(values))));
    expect(await through([1, -1, 2, -0.5, -3])).toEqual({ inside: 2 });
    expect(await through([-1, -1])).toEqual({ inside: 0 });
    expect(await through([1, 1])).toEqual({ inside: 2 });
  });

  it('has the straight-through gradient: that of a sigmoid', () => {
    const { model, inside, gate } = byFirstInput();
    const block = model.layers[0]!;
    const x = signs([1.2, -0.4]);
    const bias = gate.weights[1]!.read() as tf.Variable;
    const { grads } = tf.variableGrads(
      () => tf.sum(tf.square(block.apply(x, { training: true }) as tf.Tensor)) as tf.Scalar,
      [bias],
    );
    const y = (block.apply(x, { training: true }) as tf.Tensor).arraySync() as number[][];
    const branch = (inside.apply(x) as tf.Tensor).arraySync() as number[][];
    const wanted = [1.2, -0.4].reduce((sum, l, i) => {
      const s = 1 / (1 + Math.exp(-l));
      return sum + y[i]!.reduce((dot, v, k) => dot + 2 * v * branch[i]![k]!, 0) * s * (1 - s);
    }, 0);
    expect(Object.values(grads)[0]!.dataSync()[0]).toBeCloseTo(wanted, 4);
  });

  it('opens with the probability of its logit in training, and by its sign afterwards', () => {
    const { model, gate } = byFirstInput(true);
    gate.setWeights([tf.zeros([4, 1]), tf.tensor1d([1])]);
    const open = (training: boolean) => {
      let sum = 0;
      const note = ({ gates }: GateDecision) => {
        sum = tf.sum(gates).dataSync()[0]!;
        return undefined;
      };
      tf.tidy(
        () =>
          void watchGates(note, () => model.layers[0]!.apply(tf.zeros([4000, 4]), { training })),
      );
      return sum / 4000;
    };
    // sigmoid(1) = 0.731; four standard deviations of 4000 draws are 0.028.
    expect(Math.abs(open(true) - 0.731)).toBeLessThan(0.028);
    expect(open(false)).toBe(1);
  });

  it('trains the same way with the same seed, and other than with another', async () => {
    const run = async (seed: number) => {
      const { model } = byFirstInput(true);
      const xs = tf.randomUniform([16, 4], -1, 1, 'float32', 3);
      const { ys } = examples(16);
      const loss = 'categoricalCrossentropy';
      await fit(
        model,
        { xs, ys },
        { epochs: 3, batchSize: 8, loss, seed, progress: false, callbacks: [gateCost()] },
      );
      return snapshot(model);
    };
    const first = await run(1);
    expect(await run(1)).toEqual(first);
    expect(await run(2)).not.toEqual(first);
  });

  const doubling: WeightTransform = {
    getClassName: () => 'TestDoubling',
    getConfig: () => ({}),
    build: () => ({}),
    apply: (w) => tf.mul(w, 2),
    bake: (w) => tf.mul(w, 2),
    encoding: () => ({}),
  };
  registerTransform('TestDoubling', () => doubling as never);

  it('lets transforms into its layers, saves them, and finalizes', async () => {
    const { model, inside } = byFirstInput();
    const x = signs([1, -1, 2]);
    const read = (m: tfl.LayersModel) => (m.predict(x) as tf.Tensor).arraySync();
    const before = read(model);
    parametrize(inside, { kernel: [doubling as never] });
    expect(read(model)).not.toEqual(before);
    const loaded = await savedAndLoaded(model);
    expect(read(loaded)).toEqual(read(model));
    expect(snapshot(loaded)).toEqual(snapshot(model));
    expect(read(await finalize(model))).toEqual(read(model));
  });

  it('counts all of its layers, and names what is wrong', () => {
    const { model } = byFirstInput();
    expect(summarize(model).total.macs).toBe(4 * 4 + 4 * 1 + 4 * 3);
    expect(() => gatedBlock({ layers: [] })).toThrow(/at least one/);
    const wrong = gatedBlock({ name: 'wrong', layers: [dense({ units: 3 })] });
    expect(() => wrong.apply(tf.zeros([2, 4]))).toThrow(/"wrong".*\[3\] of \[4\]/);
    expect(() => gatedConv2d({ filters: 5, groups: 2, kernelSize: 3 })).toThrow(/do not divide/);
  });

  it('leaves no tensor behind', async () => {
    const { model } = byFirstInput(true);
    const x = signs([1, -1, 2]);
    const { ys } = examples(3);
    for (const callback of [gateCost(), reinforcedGates(), randomGates(), blockDrop()]) {
      await expectNoLeaks(async () => {
        const options = {
          epochs: 1,
          loss: 'categoricalCrossentropy',
          optimizer: 'sgd',
          progress: false,
        } as const;
        await fit(model, { xs: x, ys }, { ...options, callbacks: [callback] });
        tf.dispose(model.predict(x));
        gateUsage(model, x).scores.dispose();
      });
    }
  });
});

describe('gatedConv2d', () => {
  it('is the whole convolution with closed groups at zero, computed for those alone that want them', async () => {
    const model = withSeed(5, () =>
      tfl.sequential({
        layers: [
          gatedConv2d({
            name: 'gated',
            filters: 4,
            kernelSize: 2,
            groups: 2,
            activation: 'relu',
            hidden: 0,
            inputShape: [3, 3, 1],
          }),
        ],
      }),
    );
    const layers = walkLayers(model);
    // Group 0 opens for bright images, group 1 for dark ones.
    layers
      .find(({ name }) => name === 'gated_gate')!
      .setWeights([tf.tensor2d([[1, -1]]), tf.zeros([2])]);
    const convs = layers.filter((layer) => layer.getClassName() === 'Conv2D');
    const x = tf.stack([tf.fill([3, 3, 1], 1), tf.fill([3, 3, 1], -1), tf.fill([3, 3, 1], 0.5)]);
    let split = tf.zeros([1]);
    const rows = await rowsThrough(convs, () => {
      split = model.predict(x) as tf.Tensor;
    });
    expect(Object.values(rows)).toEqual([2, 1]);
    const whole = tf.conv2d(
      x as tf.Tensor4D,
      tf.concat(
        convs.map((conv) => conv.getWeights()[0]!),
        3,
      ) as tf.Tensor4D,
      1,
      'valid',
    );
    const open = tf.tensor4d([1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0], [3, 1, 1, 4]);
    const wanted = tf.mul(tf.relu(whole), open).dataSync();
    split.dataSync().forEach((v, i) => void expect(v).toBeCloseTo(wanted[i]!, 5));
    const masked = (model.layers[0]!.call(x, {}) as tf.Tensor).dataSync();
    expect(Array.from(masked)).toEqual(Array.from(split.dataSync()));
  });
});

/** A policy of two decisions from 4 inputs, two blocks, and scores; the logits are the first two inputs. */
function policyNet() {
  const x = tfl.input({ shape: [4] });
  const policy = dense({ name: 'policy', units: 2 });
  const decisions = policyGate({ name: 'gate' }).apply(policy.apply(x)) as tfl.SymbolicTensor;
  const block = (column: number) =>
    gatedBlock({
      name: `block${column}`,
      layers: [dense({ name: `inside${column}`, units: 4 })],
      column,
    });
  const y = block(0).apply([x, decisions]) as tfl.SymbolicTensor;
  const z = block(1).apply([y, decisions]) as tfl.SymbolicTensor;
  const outputs = dense({ name: 'scores', units: 3, activation: 'softmax' }).apply(
    z,
  ) as tfl.SymbolicTensor;
  const model = tfl.model({ inputs: x, outputs });
  policy.setWeights([
    tf.tensor2d([
      [1, 0],
      [0, 1],
      [0, 0],
      [0, 0],
    ]),
    tf.zeros([2]),
  ]);
  return { model, policy };
}

const twoLogits = tf.tidy(() => [
  [1, -1, 0.2, 0],
  [-1, -1, 0.1, 1],
  [2, 0.5, 0, 0],
]);

describe('policyGate', () => {
  it('decides for blocks, which are computed for the samples alone that it sends there', async () => {
    const { model } = withSeed(3, policyNet);
    const inside = walkLayers(model).filter(({ name }) => name.startsWith('inside'));
    const x = tf.tensor2d(twoLogits);
    expect(await rowsThrough(inside, () => tf.dispose(model.predict(x)))).toEqual({
      inside0: 2,
      inside1: 1,
    });
    const usage = gateUsage(model, x, { batchSize: 2 });
    expect(Array.from(usage.executed)).toEqual([1, 0, 2]);
    // policy 4*2, blocks 16 each, scores 12.
    expect(usage.total).toEqual({ gates: 2, macs: 52 });
    expect(Array.from(usage.macs)).toEqual([36, 20, 52]);
    expect(Array.from(usage.scores.dataSync())).toEqual(
      Array.from((model.predict(x) as tf.Tensor).dataSync()),
    );
    const loaded = await savedAndLoaded(model);
    expect(Array.from(gateUsage(loaded, x).executed)).toEqual([1, 0, 2]);
  });

  it('is refused where nothing is gated', () => {
    const plain = tfl.sequential({ layers: [dense({ units: 2, inputShape: [4] })] });
    expect(() => gateUsage(plain, tf.zeros([1, 4]))).toThrow(/no gated layers/);
  });
});

/** One step's loss and gradients with a callback, and the gates that it had the network use. */
function stepWith(callback: ThimbleCallback, { epoch = 0, step = 0 } = {}) {
  const { model, policy } = withSeed(3, policyNet);
  const xs = [tf.tensor2d(twoLogits)];
  const ys = [
    tf.tensor2d([
      [1, 0, 0],
      [0, 1, 0],
      [0, 0, 1],
    ]),
  ];
  const context = {
    model,
    variables: [],
    step,
    epoch,
    batch: { xs, ys, indices: new Uint32Array(3), size: 3 },
    random: (key: string) => new Random('test', step, key),
    resetOptimizer() {},
  } as StepContext;
  let gates: number[][] = [];
  let scores: number[][] = [];
  const bias = policy.weights[1]!.read() as tf.Variable;
  const spread = tf.tensor1d([1, 2, 4]);
  const { value, grads } = tf.variableGrads(() => {
    const run = () => [model.call(xs, { training: true })].flat() as tf.Tensor[];
    const outputs = watchGates(
      ({ gates: seen, logits }) => {
        if (logits) gates = seen.arraySync() as number[][]; // the last pass is the one that was drawn
        return undefined;
      },
      () => callback.forward!(run, context),
    );
    scores = outputs[0]!.arraySync() as number[][];
    // A callback without a loss of its own: one that depends on the gates where they are left alone.
    const base = tf.sum(tf.mul(bias, 0)) as tf.Scalar; // gradients need a way to the bias
    const own = tf.add(base, tf.sum(tf.mul(outputs[0]!, spread))) as tf.Scalar;
    return callback.loss?.(base, outputs, context) ?? own;
  }, [bias]);
  return {
    model,
    gates,
    scores,
    loss: value.dataSync()[0]!,
    gradient: Array.from(Object.values(grads)[0]!.dataSync()),
  };
}

const sigmoid = (z: number) => 1 / (1 + Math.exp(-z));
const labelOf = [0, 1, 2];

describe('gateCost', () => {
  it('adds what open gates cost above the target', async () => {
    const { model } = byFirstInput();
    const xs = signs([1, -1, 2, 3]);
    const { ys } = examples(4);
    const loss = 'categoricalCrossentropy';
    const losses = async (callbacks: ThimbleCallback[], epochs = 1) => {
      const options = {
        epochs,
        loss,
        batchSize: 4,
        learningRate: 0,
        optimizer: 'sgd',
        progress: false,
      } as const;
      return (await fit(model, { xs, ys }, { ...options, callbacks })).logs.loss!;
    };
    const at = async (callbacks: ThimbleCallback[]) => (await losses(callbacks))[0]!;
    const plain = await at([]);
    // Three of four samples take the one block there is.
    expect(await at([gateCost({ strength: 2 })])).toBeCloseTo(plain + 2 * 0.75, 5);
    expect(await at([gateCost({ strength: 2, target: 0.5 })])).toBeCloseTo(plain + 2 * 0.25, 5);
    expect(await at([gateCost({ target: 0.9 })])).toBeCloseTo(plain, 5);
    // One step an epoch: the target comes down from 1 by a quarter a step, the strength is the number of the epoch.
    const target = schedules.linear(1);
    const descending = await losses([gateCost({ target })], 4);
    for (const [i, over] of [0, 0, 0.25, 0.5].entries()) {
      expect(descending[i]).toBeCloseTo(plain + over, 5);
    }
    const growing = await losses([gateCost({ strength: ({ epoch }) => epoch })], 3);
    for (const epoch of [0, 1, 2]) expect(growing[epoch]).toBeCloseTo(plain + 0.75 * epoch, 5);
    expect(() => gateCost({ strength: -1 })).toThrow(/strength/);
    expect(() => gateCost({ target: 2 })).toThrow(/target/);
    const none = tfl.sequential({
      layers: [dense({ units: 3, inputShape: [4], activation: 'softmax' })],
    });
    await expect(
      fit(none, { xs, ys }, { loss, callbacks: [gateCost()], progress: false }),
    ).rejects.toThrow(expect.objectContaining({ name: 'NoMatchError' }));
  });
});

describe('reinforcedGates', () => {
  it('has the gradient of REINFORCE with the mean reward as baseline', () => {
    const alpha = 0.4;
    const temperature = 0.5;
    let told = 0;
    for (let step = 0; step < 5; step++) {
      const { gates, scores, gradient } = stepWith(reinforcedGates({ alpha, temperature }), {
        step,
      });
      // Both blocks cost the same.
      const rewards = gates.map(
        ([a, b], i) => Math.log(scores[i]![labelOf[i]!]!) - alpha * ((a! + b!) / 2),
      );
      const mean = rewards.reduce((x, y) => x + y) / 3;
      // d log p(g) / d logit = (g - sigmoid(logit / T)) / T; the bias sums over the samples.
      const wanted = [0, 1].map((k) =>
        gates.reduce((sum, row, i) => {
          const p = sigmoid(twoLogits[i]![k]! / temperature);
          return sum - ((rewards[i]! - mean) * (row[k]! - p)) / temperature / 3;
        }, 0),
      );
      gradient.forEach((g, k) => void expect(g).toBeCloseTo(wanted[k]!, 4));
      told += Math.abs(wanted[0]!);
    }
    expect(told).toBeGreaterThan(0.01);
  });

  it('closes a block that only costs, and leaves open one that helps', async () => {
    const learned = async (kernel: number) => {
      const inside = dense({ units: 4, useBias: false, trainable: false });
      const model = withSeed(2, () =>
        tfl.sequential({
          layers: [
            gatedBlock({ layers: [inside], hidden: 0, bias: 0, inputShape: [4] }),
            dense({
              name: 'fixed',
              units: 3,
              activation: 'softmax',
              useBias: false,
              trainable: false,
            }),
          ],
        }),
      );
      inside.setWeights([tf.mul(tf.eye(4), kernel)]);
      model.getLayer('fixed').setWeights([
        tf.tensor2d([
          [1, 0, 0],
          [0, 1, 0],
          [0, 0, 1],
          [0, 0, 0],
        ]),
      ]);
      const xs = tf.tensor2d([
        [1, 0, 0, 0],
        [0, 1, 0, 0],
        [0, 0, 1, 0],
      ]);
      const ys = tf.eye(3);
      await fit(
        model,
        { xs, ys },
        {
          epochs: 60,
          learningRate: 0.1,
          loss: 'categoricalCrossentropy',
          callbacks: [reinforcedGates({ alpha: 0.1 })],
          progress: false,
        },
      );
      return gateUsage(model, xs).executed.reduce((a, b) => a + b);
    };
    expect(await learned(5)).toBe(3); // six times the right logit
    expect(await learned(0)).toBe(0); // nothing
  });
});

describe('randomGates', () => {
  it('opens gates with its probability in training, all of them with 1, and leaves them alone', () => {
    const open = (keep: number) => {
      let sum = 0;
      for (let step = 0; step < 100; step++) {
        const { gates, gradient } = stepWith(randomGates({ keep }), { step });
        sum += gates.flat().reduce((a, b) => a + b);
        expect(gradient).toEqual([0, 0]);
      }
      return sum / 600;
    };
    // Four standard deviations of 600 draws are 0.075.
    expect(Math.abs(open(0.7) - 0.7)).toBeLessThan(0.075);
    expect(open(1)).toBe(1);
  });

  it('is refused where nothing is gated, and out of range', async () => {
    const plain = tfl.sequential({ layers: [dense({ units: 3, inputShape: [6] })] });
    const fitting = fit(plain, examples(3), {
      loss: 'categoricalCrossentropy',
      callbacks: [randomGates()],
      progress: false,
    });
    await expect(fitting).rejects.toThrow(/randomGates.*no gated layers/);
    expect(() => randomGates({ keep: 1.1 })).toThrow(/keep/);
  });
});

describe('blockDrop', () => {
  it('has the gradient of its reward beside that of the likelier decisions', () => {
    const gamma = 2;
    const bound = 0.9;
    let told = 0;
    for (let step = 0; step < 5; step++) {
      const { model, gates, scores, gradient } = stepWith(
        blockDrop({ gamma, bound, curriculum: false }),
        { step },
      );
      const right = (rows: number[][]) => rows.map((row, i) => row.indexOf(Math.max(...row)) === i);
      const reward = (ok: boolean, open: number) => (ok ? 1 - (open / 2) ** 2 : -gamma);
      const greedy = right(
        (model.predict(tf.tensor2d(twoLogits)) as tf.Tensor).arraySync() as number[][],
      );
      const taken = right(scores);
      const likelier = twoLogits.map(([a, b]) => (a! > 0 ? 1 : 0) + (b! > 0 ? 1 : 0));
      const wanted = [0, 1].map((k) =>
        gates.reduce((sum, row, i) => {
          const s = sigmoid(twoLogits[i]![k]!);
          const p = bound * s + (1 - bound) * (1 - s);
          const advantage = reward(taken[i]!, row[0]! + row[1]!) - reward(greedy[i]!, likelier[i]!);
          const slope = (2 * bound - 1) * s * (1 - s);
          return sum - (advantage * slope * (row[k]! ? 1 / p : -1 / (1 - p))) / 3;
        }, 0),
      );
      gradient.forEach((g, k) => void expect(g).toBeCloseTo(wanted[k]!, 4));
      told += Math.abs(wanted[0]!);
    }
    expect(told).toBeGreaterThan(0.01);
  });

  it('holds all blocks but the last open in the first epoch', () => {
    const first = Array.from(
      { length: 8 },
      (_, step) => stepWith(blockDrop(), { step }).gates,
    ).flat();
    expect(first.every(([a]) => a === 1)).toBe(true);
    expect(first.some(([, b]) => b === 0)).toBe(true);
    const second = Array.from(
      { length: 8 },
      (_, step) => stepWith(blockDrop(), { step, epoch: 1 }).gates,
    );
    expect(second.flat().some(([a]) => a === 0)).toBe(true);
    expect(() => blockDrop({ bound: 0.2 })).toThrow(/bound/);
    expect(() => blockDrop({ gama: 1 } as never)).toThrow(/gama/);
  });
});
