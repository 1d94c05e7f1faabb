import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { withSeed } from '@thimble/base';
import {
  fit,
  parametrize,
  registerTransform,
  summarize,
  type WeightTransform,
  walkLayers,
} from '@thimble/core';
import {
  bLeNet,
  chooseThresholds,
  earlyExitHead,
  earlyExits,
  evaluateExits,
  exitCosts,
  fitExits,
  forEveryExit,
  predictEarly,
} from '@thimble/dynamic';
import {
  describeLayerContract,
  expectNoLeaks,
  savedAndLoaded,
  smallModel,
  snapshot,
  useCpu,
} from '@thimble/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { examples, residual, rowsThrough } from './networks.ts';

useCpu();

const twoExits = (activation?: 'softmax' | 'linear') =>
  withSeed(8, () => earlyExits(residual(activation), { after: ['a', 'c'] }));

/** The outputs of a model as rows, by exit. */
function tables(model: tfl.LayersModel, x: tf.Tensor): number[][][] {
  return tf.tidy(() => [model.predict(x)].flat().map((y) => y.arraySync() as number[][]));
}
const softmax = (row: number[]) => {
  const powers = row.map((z) => Math.exp(z));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((p) => p / sum);
};
const entropy = (row: number[]) => -row.reduce((sum, p) => sum + p * Math.log(p), 0);
const argmax = (row: number[]) => row.indexOf(Math.max(...row));

describe('earlyExits', () => {
  it('gives one output per exit, the last one the trunk as it was', () => {
    const model = residual();
    const { xs } = examples(5);
    const [before] = tables(model, xs);
    const branchy = earlyExits(model, { after: ['a', 'c'], head: { hidden: 2 } });
    expect(branchy.outputNames).toEqual(['exit1', 'exit2', 'output']);
    expect(tables(branchy, xs)[2]).toEqual(before);
    expect(branchy.layers.map(({ name }) => name)).toContain('exit2_hidden');
  });

  it('ends heads as the trunk ends', () => {
    const { xs } = examples(4);
    for (const row of tables(twoExits('softmax'), xs)[0]!) {
      expect(row.reduce((a, b) => a + b)).toBeCloseTo(1, 5);
    }
    const sums = tables(twoExits('linear'), xs)[0]!.map((row) => row.reduce((a, b) => a + b));
    expect(sums.some((sum) => Math.abs(sum - 1) > 0.01)).toBe(true);
  });

  it('comes back from a saved model', async () => {
    const branchy = twoExits();
    const { xs } = examples(5);
    const loaded = await savedAndLoaded(branchy);
    expect(loaded.outputNames).toEqual(branchy.outputNames);
    expect(tables(loaded, xs)).toEqual(tables(branchy, xs));
    const early = await predictEarly(loaded, xs, { threshold: 1 });
    expect(Array.from(early.exits)).toEqual(
      Array.from((await predictEarly(branchy, xs, { threshold: 1 })).exits),
    );
  });

  it('takes a Sequential, and pools images as asked', () => {
    const image = () =>
      tfl.sequential({
        layers: [
          tfl.layers.conv2d({ name: 'conv', filters: 4, kernelSize: 3, inputShape: [8, 8, 1] }),
          tfl.layers.flatten(),
          tfl.layers.dense({ name: 'end', units: 3 }),
        ],
      });
    const weightsOf = (pooling: 'flatten' | 'average') => {
      const branchy = earlyExits(image(), { after: ['conv'], head: { pooling } });
      return branchy.getLayer('exit1').countParams();
    };
    expect(weightsOf('flatten')).toBe(6 * 6 * 4 * 3 + 3);
    expect(weightsOf('average')).toBe(4 * 3 + 3);
  });

  it('names what is wrong', () => {
    const make = (after: string[], model: tfl.LayersModel = residual()) =>
      earlyExits(model, { after });
    expect(() => make(['nowhere'])).toThrow(/no layer "nowhere".*Layers: a, b, sum, c, d, output/);
    expect(() => make(['nowhere'])).toThrow(expect.objectContaining({ name: 'NoMatchError' }));
    expect(() => make([])).toThrow(/at least one/);
    expect(() => make(['a', 'a'])).toThrow(/twice/);
    expect(() => make(['output'])).toThrow(/exit already/);
    expect(() => make(['c', 'a'])).toThrow(/"c" before "a"/);
    expect(() => make(['a'], twoExits())).toThrow(/3 outputs/);
    expect(() => earlyExits(residual(), { after: ['a'], heads: {} } as never)).toThrow(/"heads"/);
    expect(() => earlyExits(residual(), { after: ['a'], head: { hidden: 0 } })).toThrow(/hidden/);
    const x = tfl.input({ shape: [4] });
    const shared = tfl.layers.dense({ name: 'shared', units: 4 });
    const twice = shared.apply(shared.apply(x)) as tfl.SymbolicTensor;
    const y = tfl.layers.dense({ units: 2 }).apply(twice) as tfl.SymbolicTensor;
    expect(() => make(['shared'], tfl.model({ inputs: x, outputs: y }))).toThrow(/several times/);
  });

  it('counts what leads to each exit, heads on the way included', () => {
    // Residual: a 30, exit1 15; b 25, c 20, exit2 12; d 16, output 12.
    expect(exitCosts(twoExits())).toEqual([
      { name: 'exit1', macs: 45 },
      { name: 'exit2', macs: 45 + 57 },
      { name: 'output', macs: 45 + 57 + 28 },
    ]);
    // B-LeNet by hand. conv1 30*30*5*25; branch 15*15*10*45 + 8*8*10*10; conv2 17*17*10*125;
    // conv3 11*11*20*250; 720*84 + 84*10.
    const first = 112_500 + 101_250 + 6_400;
    expect(exitCosts(bLeNet().branchy).map(({ macs }) => macs)).toEqual([
      first,
      first + 361_250 + 605_000 + 60_480 + 840,
    ]);
  });
});

describe.each(['softmax', 'linear'] as const)(
  'predictEarly on outputs that are %s',
  (activation) => {
    const SIZE = 30;
    let branchy: tfl.LayersModel;
    let xs: tf.Tensor2D;
    let table: number[][][];
    let probabilities: number[][][];
    beforeAll(async () => {
      branchy = twoExits(activation);
      const data = examples(90);
      await fitExits(branchy, data, {
        epochs: 10,
        batchSize: 10,
        learningRate: 0.01,
        progress: false,
      });
      ({ xs } = examples(SIZE, 2));
      table = tables(branchy, xs);
      probabilities = table.map((rows) =>
        rows.map((row) => (activation === 'linear' ? softmax(row) : row)),
      );
    });

    /** By the whole outputs of all exits: where each sample must leave. */
    const expected = (sure: (row: number[], exit: number) => boolean) =>
      Array.from({ length: SIZE }, (_, i) => {
        const exit = probabilities.slice(0, -1).findIndex((rows, e) => sure(rows[i]!, e));
        return exit < 0 ? probabilities.length - 1 : exit;
      });

    async function check(options: Parameters<typeof predictEarly>[2], exits: number[]) {
      expect(new Set(exits).size, 'a test that tells exits apart').toBe(3);
      const early = await predictEarly(branchy, xs, options);
      expect(Array.from(early.exits)).toEqual(exits);
      const scores = early.scores.arraySync();
      exits.forEach((exit, i) => {
        scores[i]!.forEach((score, k) => void expect(score).toBeCloseTo(table[exit]![i]![k]!, 5));
      });
    }

    it('leaves by entropy, with one threshold or one for each exit', async () => {
      await check(
        { policy: 'entropy', threshold: 0.7 },
        expected((row) => entropy(row) < 0.7),
      );
      const each = [0.4, 0.8];
      await check(
        { threshold: each },
        expected((row, exit) => entropy(row) < each[exit]!),
      );
    });

    it('leaves by confidence, in batches of any size', async () => {
      const exits = expected((row) => Math.max(...row) >= 0.7);
      for (const batchSize of [1, 7, 100]) {
        await check({ policy: 'confidence', threshold: 0.7, batchSize }, exits);
      }
    });

    it('computes for every sample only what leads to its exit', async () => {
      let exits: Int32Array = new Int32Array();
      const rows = await rowsThrough(branchy.layers.slice(1), async () => {
        ({ exits } = await predictEarly(branchy, xs, { threshold: 0.7, batchSize: 8 }));
      });
      const beyond = (exit: number) => exits.filter((e) => e > exit).length;
      expect(beyond(0)).toBeLessThan(SIZE);
      expect(rows).toEqual({
        a: SIZE,
        exit1: SIZE,
        b: beyond(0),
        sum: beyond(0),
        c: beyond(0),
        exit2: beyond(0),
        d: beyond(1),
        output: beyond(1),
      });
      // Nothing runs behind the first exit when all leave there.
      const none = await rowsThrough([branchy.getLayer('b')], () =>
        predictEarly(branchy, xs, { threshold: 9 }),
      );
      expect(none).toEqual({ b: 0 });
    });

    it('leaves no tensor behind', async () => {
      await expectNoLeaks(async () => {
        (await predictEarly(branchy, xs, { threshold: 0.7, batchSize: 8 })).scores.dispose();
      });
    });

    it('says in evaluateExits what it would do', async () => {
      const ys = tf.tidy(() => examples(SIZE, 2).ys.clone());
      const labels = (ys.arraySync() as number[][]).map(argmax);
      const { exits, early } = await evaluateExits(
        branchy,
        { xs, ys },
        { policy: 'confidence', threshold: 0.7, progress: false, batchSize: 11 },
      );
      exits.forEach(({ accuracy }, e) => {
        const right = table[e]!.filter((row, i) => argmax(row) === labels[i]).length;
        expect(accuracy).toBeCloseTo(right / SIZE, 10);
      });
      const done = await predictEarly(branchy, xs, { policy: 'confidence', threshold: 0.7 });
      const scores = done.scores.arraySync();
      expect(early!.accuracy).toBeCloseTo(
        scores.filter((row, i) => argmax(row) === labels[i]).length / SIZE,
        10,
      );
      expect(early!.fractions).toEqual(
        [0, 1, 2].map((e) => done.exits.filter((x) => x === e).length / SIZE),
      );
      const costs = [45, 102, 130];
      const mean = done.exits.reduce((sum, e) => sum + costs[e]!, 0) / SIZE;
      expect(early!.macs).toBeCloseTo(mean, 6);
    });
  },
);

describe('predictEarly', () => {
  it('waits by patience until as many exits agree', async () => {
    // Five outputs of one input each: the class that an exit gives is written into its bias.
    const classes = [0, 1, 1, 1, 2];
    const x = tfl.input({ shape: [1] });
    const outputs = classes.map((_, i) =>
      tfl.layers.dense({ name: `exit${i}`, units: 3, kernelInitializer: 'zeros' }).apply(x),
    ) as tfl.SymbolicTensor[];
    const model = tfl.model({ inputs: x, outputs });
    classes.forEach((k, i) => {
      const bias = tf.tidy(() => tf.cast(tf.oneHot(tf.tensor1d([k], 'int32'), 3), 'float32'));
      model.getLayer(`exit${i}`).setWeights([tf.zeros([1, 3]), tf.reshape(bias, [3])]);
    });
    const leavesAt = async (threshold: number) =>
      (await predictEarly(model, tf.zeros([1, 1]), { policy: 'patience', threshold })).exits[0];
    expect(await leavesAt(1)).toBe(2);
    expect(await leavesAt(2)).toBe(3);
    expect(await leavesAt(3)).toBe(4);
  });

  it('names what is wrong', async () => {
    const branchy = twoExits();
    const { xs } = examples(4);
    const run = (options: object, x: tf.Tensor = xs) => predictEarly(branchy, x, options as never);
    await expect(run({ policy: 'luck', threshold: 1 })).rejects.toThrow(
      /entropy, confidence, patience, not "luck"/,
    );
    await expect(run({ threshold: -1 })).rejects.toThrow(/threshold/);
    await expect(run({ threshold: [1] })).rejects.toThrow(/2 numbers/);
    await expect(run({})).rejects.toThrow(/threshold/);
    await expect(run({ policy: 'patience', threshold: 1.5 })).rejects.toThrow(/whole number/);
    await expect(run({ threshold: 1 }, tf.zeros([4, 5]))).rejects.toThrow(/\[4, 5\].*\[\?, 6\]/);
    await expect(run({ threshold: 1, depth: 1 })).rejects.toThrow(/"depth"/);
    await expect(run({ threshold: 1, signal: AbortSignal.abort() })).rejects.toThrow(/abort/i);
  });
});

describe('fitExits', () => {
  it('weighs the losses of the exits, and fit does the same with labels for every exit', async () => {
    const data = examples(24);
    const training = {
      epochs: 2,
      batchSize: 8,
      lossWeights: [1, 0.3, 0.5],
      seed: 3,
      progress: false,
    };
    const [a, b] = [twoExits(), twoExits()];
    const { logs } = await fitExits(a, data, {
      ...training,
      validationData: data,
      metrics: ['accuracy'],
    });
    const weighted =
      logs.exit1_loss![1]! + 0.3 * logs.exit2_loss![1]! + 0.5 * logs.output_loss![1]!;
    expect(logs.loss![1]).toBeCloseTo(weighted, 5);
    expect(logs.val_exit2_accuracy).toHaveLength(2);
    await fit(
      b,
      { xs: data.xs, ys: [data.ys, data.ys, data.ys] },
      { ...training, loss: 'categoricalCrossentropy' },
    );
    expect(snapshot(b)).toEqual(snapshot(a));
  });

  it('trains heads alone on a trunk that stands still, normalisation and dropout too', async () => {
    const norm = tfl.layers.batchNormalization({ name: 'norm' });
    const drop = tfl.layers.dropout({ name: 'drop', rate: 0.5 });
    const branchy = earlyExits(residual('softmax', [norm, drop]), { after: ['c'] });
    const data = examples(24);
    const before = snapshot(branchy);
    const output = tables(branchy, data.xs)[1];
    const training = { epochs: 2, batchSize: 8, progress: false, trunk: 'frozen' } as const;
    const { logs } = await fitExits(branchy, data, training);
    const after = snapshot(branchy);
    for (const name of Object.keys(before)) {
      if (name.startsWith('exit')) expect(after[name], name).not.toEqual(before[name]);
      else expect(after[name], name).toEqual(before[name]);
    }
    expect(tables(branchy, data.xs)[1]).toEqual(output);
    // No dropout and no batch statistics on the way to the last exit, so its loss does not change.
    expect(logs.output_loss![1]).toBeCloseTo(logs.output_loss![0]!, 6);
    expect(branchy.layers.slice(1).every(({ trainable }) => trainable)).toBe(true);
    expect(branchy.layers.some((layer) => Object.hasOwn(layer, 'call'))).toBe(false);
    const x = tfl.input({ shape: [6] });
    const only = tfl.model({
      inputs: x,
      outputs: tfl.layers.dense({ units: 3 }).apply(x) as tfl.SymbolicTensor,
    });
    await expect(fitExits(only, data, training)).rejects.toThrow(/no head/);
  });

  it('leaves no tensor behind', async () => {
    const branchy = twoExits();
    const data = examples(8);
    await expectNoLeaks(() =>
      fitExits(branchy, data, { epochs: 1, optimizer: 'sgd', progress: false }),
    );
  });

  it('keeps labels that are there for every exit', async () => {
    const { xs, ys } = examples(6);
    const branchy = twoExits();
    const source = await forEveryExit(branchy, { xs, ys: [ys, ys, ys] });
    const { ys: drawn } = source.batch([1, 2]) as { ys: tf.Tensor[] };
    expect(drawn.map(({ shape }) => shape)).toEqual([
      [2, 3],
      [2, 3],
      [2, 3],
    ]);
  });
});

describe('chooseThresholds', () => {
  const SIZE = 40;
  let branchy: tfl.LayersModel;
  let data: { xs: tf.Tensor2D; ys: tf.Tensor2D };
  beforeAll(async () => {
    branchy = withSeed(8, () => earlyExits(residual(), { after: ['a'] }));
    await fitExits(branchy, examples(120), {
      epochs: 15,
      batchSize: 10,
      learningRate: 0.01,
      progress: false,
    });
    data = examples(SIZE, 2);
  });

  /** Every threshold that makes a difference for two exits, tried on the outputs. */
  function every(measure: (row: number[]) => number, below: boolean) {
    const [first, last] = tables(branchy, data.xs) as [number[][], number[][]];
    const labels = (data.ys.arraySync() as number[][]).map(argmax);
    const measures = first.map(measure);
    return [...measures, -1, 9].map((threshold) => {
      const early = measures.map((m) => (below ? m < threshold : m >= threshold));
      const right = labels.filter(
        (label, i) => argmax((early[i] ? first : last)[i]!) === label,
      ).length;
      const leaving = early.filter(Boolean).length;
      const [one, two] = exitCosts(branchy).map(({ macs }) => macs) as [number, number];
      return {
        accuracy: right / SIZE,
        macs: (leaving * one + (SIZE - leaving) * two) / SIZE,
      };
    });
  }

  it.each([
    ['entropy', entropy, true],
    ['confidence', (row: number[]) => Math.max(...row), false],
  ] as const)(
    'finds the best by %s, as a search through all of them does',
    async (policy, measure, below) => {
      const all = every(measure, below);
      const [one, two] = exitCosts(branchy).map(({ macs }) => macs) as [number, number];
      const budget = one + 0.4 * (two - one);
      const within = all.filter(({ macs }) => macs <= budget);
      const byBudget = await chooseThresholds(branchy, data, { policy, budget, progress: false });
      expect(byBudget.macs).toBeLessThanOrEqual(budget);
      expect(byBudget.accuracy).toBeCloseTo(Math.max(...within.map((r) => r.accuracy)), 10);
      const accuracy = Math.max(...all.map((r) => r.accuracy)) - 2 / SIZE;
      const enough = all.filter((r) => r.accuracy >= accuracy);
      const byAccuracy = await chooseThresholds(branchy, data, {
        policy,
        accuracy,
        progress: false,
      });
      expect(byAccuracy.accuracy).toBeGreaterThanOrEqual(accuracy);
      expect(byAccuracy.macs).toBeCloseTo(Math.min(...enough.map((r) => r.macs)), 6);
      // What it promises is what predictEarly does.
      const { threshold, fractions } = byAccuracy;
      const { exits } = await predictEarly(branchy, data.xs, { policy, threshold });
      expect(fractions).toEqual([0, 1].map((e) => exits.filter((x) => x === e).length / SIZE));
    },
  );

  it('promises what predictEarly does, whatever the budget', async () => {
    const [one, two] = exitCosts(branchy).map(({ macs }) => macs) as [number, number];
    for (let leaving = 1; leaving < SIZE; leaving++) {
      const budget = (leaving * one + (SIZE - leaving) * two) / SIZE + 1e-6;
      const options = { policy: 'entropy', budget, progress: false } as const;
      const { threshold, fractions } = await chooseThresholds(branchy, data, options);
      const { exits } = await predictEarly(branchy, data.xs, { threshold });
      expect([0, 1].map((e) => exits.filter((x) => x === e).length / SIZE)).toEqual(fractions);
    }
  });

  it('takes class numbers for labels, and tries patience', async () => {
    const three = twoExits();
    const ys = tf.tidy(() => tf.cast(tf.expandDims(tf.argMax(data.ys, 1), 1), 'float32'));
    const numbered = { xs: data.xs, ys };
    const options = { policy: 'patience', budget: 130, progress: false } as const;
    const result = await chooseThresholds(three, numbered, options);
    const { early } = await evaluateExits(three, data, {
      policy: 'patience',
      threshold: result.threshold,
      progress: false,
    });
    expect(early!.accuracy).toBe(result.accuracy);
  });

  it('names what cannot be', async () => {
    const choose = (options: object) =>
      chooseThresholds(branchy, data, { progress: false, ...options });
    await expect(choose({ budget: 10 })).rejects.toThrow(/too small.*45/);
    await expect(choose({ accuracy: 1 })).rejects.toThrow(
      expect.objectContaining({ name: 'NoMatchError' }),
    );
    await expect(choose({})).rejects.toThrow(/either/);
    await expect(choose({ budget: -1 })).rejects.toThrow(
      expect.objectContaining({ name: 'OptionError' }),
    );
    const ys = tf.zeros([SIZE, 2]);
    await expect(
      chooseThresholds(branchy, { xs: data.xs, ys }, { budget: 99, progress: false }),
    ).rejects.toThrow(/one-hot/);
  });
});

describeLayerContract('earlyExitHead', {
  make: () => earlyExitHead({ name: 'scores', classes: 3, hidden: 4, activation: 'linear' }),
  inputShape: [3, 3, 2],
  gradients: { skip: 'ReLU is not smooth; the head without it follows' },
});
describeLayerContract('earlyExitHead, averaging, without a hidden layer', {
  make: () => earlyExitHead({ name: 'scores', classes: 3, pooling: 'average' }),
  inputShape: [3, 3, 2],
});

describe('earlyExitHead', () => {
  const halving: WeightTransform = {
    getClassName: () => 'TestHalving',
    getConfig: () => ({}),
    build: () => ({}),
    apply: (w) => tf.mul(w, 0.5),
    bake: (w) => tf.mul(w, 0.5),
    encoding: () => ({}),
  };
  registerTransform('TestHalving', () => halving as never);

  it('lets transforms into its layers, and saves them', async () => {
    const model = smallModel(() => earlyExitHead({ classes: 3, hidden: 4 }), [2, 2, 1]);
    const hidden = walkLayers(model).find(({ name }) => name.endsWith('_hidden'))!;
    const x = tf.ones([2, 2, 2, 1]);
    const before = tables(model, x);
    parametrize(hidden, { kernel: [halving as never] });
    expect(tables(model, x)).not.toEqual(before);
    const loaded = await savedAndLoaded(model);
    expect(tables(loaded, x)).toEqual(tables(model, x));
    expect(snapshot(loaded)).toEqual(snapshot(model));
  });

  it('is counted and refuses what it does not know', () => {
    const model = smallModel(() => earlyExitHead({ classes: 3, hidden: 4 }), [2, 2, 1]);
    expect(summarize(model).total.macs).toBe(4 * 4 + 4 * 3 + 3);
    expect(() => earlyExitHead({ classes: 0 })).toThrow(/classes/);
    expect(() => earlyExitHead({ classes: 2, pooling: 'max' as never })).toThrow(/pooling/);
  });
});
