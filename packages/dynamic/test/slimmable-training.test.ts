import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { NoMatchError, OptionError, UnsupportedError, withSeed } from '@thimble/base';
import { type FitCallback, type FitOptions, fit, lossAndGradients } from '@thimble/core';
import {
  type SlimmableTrainingOptions,
  setWidth,
  slimmableBatchNormalization,
  slimmableDense,
  slimmableTraining,
  type Widths,
  widthOf,
} from '@thimble/dynamic';
import { classifier, describeCallbackContract, threeClasses, useCpu } from '@thimble/testing';
import { beforeAll, describe, expect, it } from 'vitest';

useCpu();

const LIST = [0.25, 0.5, 1];

function perceptron(widths: Widths = LIST, seed = 1, norm = false, activation?: 'softmax') {
  return withSeed(seed, () =>
    tfl.sequential({
      layers: [
        slimmableDense({ units: 8, activation: 'tanh', widths, inputShape: [6] }),
        ...(norm ? [slimmableBatchNormalization({ widths })] : []),
        tfl.layers.dropout({ rate: norm ? 0.25 : 0 }),
        slimmableDense({ units: 3, widths, ...(activation && { activation }) }),
      ],
    }),
  );
}

describeCallbackContract('slimmableTraining', {
  make: () => slimmableTraining(),
  model: (seed) => perceptron(LIST, seed, true),
  changesTraining: true,
  onlyInsideFit: 'tfjs has no place for several passes in a step',
});
describeCallbackContract('slimmableTraining, the sandwich rule', {
  make: () => slimmableTraining(),
  model: (seed) => perceptron({ min: 0.25 }, seed, true),
  changesTraining: true,
  onlyInsideFit: 'tfjs has no place for several passes in a step',
});

const loss = 'categoricalCrossentropyFromLogits';
let data: ReturnType<typeof threeClasses>;
beforeAll(() => {
  data = threeClasses(6, 3);
});
const oneStep = (optimizer: tf.Optimizer): FitOptions => ({
  loss,
  batchSize: 24,
  optimizer,
  progress: false,
});

async function afterOneStep(options?: SlimmableTrainingOptions) {
  const model = perceptron();
  const { logs } = await fit(model, data, {
    ...oneStep(tf.train.sgd(1)),
    callbacks: [slimmableTraining(options)],
  });
  const weights = model.getWeights().flatMap((weight) => Array.from(weight.dataSync()));
  return { logs, weights };
}

/** `- sum p log softmax(logits)`, the mean over the examples. */
function crossEntropy(p: tf.Tensor, logits: tf.Tensor): tf.Scalar {
  const logs = tf.sub(logits, tf.logSumExp(logits, 1, true));
  return tf.neg(tf.mean(tf.sum(tf.mul(p, logs), 1))) as tf.Scalar;
}

describe('slimmableTraining', () => {
  it.each([undefined, [0.25, 1]])('adds up the gradients of the widths %j', async (widths) => {
    const reference = perceptron();
    const sums = reference.getWeights().map((weight) => Float32Array.from(weight.dataSync()));
    const variables = reference.trainableWeights.map((weight) => weight.read() as tf.Variable);
    let total = 0;
    const each: Record<string, number> = {};
    for (const width of widths ?? LIST) {
      setWidth(reference, width);
      const result = lossAndGradients(
        () => crossEntropy(data.ys, reference.apply(data.xs) as tf.Tensor),
        variables,
      );
      each[`loss_${width}`] = result.loss.dataSync()[0]!;
      total += each[`loss_${width}`]!;
      result.gradients.forEach((gradient, i) => {
        for (const [j, entry] of gradient.dataSync().entries()) sums[i]![j]! -= entry;
      });
    }
    const { logs, weights } = await afterOneStep(widths && { widths });
    expect(logs.loss).toBeAllClose([total]);
    for (const [key, value] of Object.entries(each)) expect(logs[key]).toBeAllClose([value]);
    expect(weights).toBeAllClose(sums.flatMap((values) => Array.from(values)));
  });

  it('lets narrow widths learn from the largest one', async () => {
    const reference = perceptron();
    const variables = reference.trainableWeights.map((weight) => weight.read() as tf.Variable);
    const teacher = tf.softmax(reference.predict(data.xs) as tf.Tensor);
    const sums = reference.getWeights().map((weight) => Float32Array.from(weight.dataSync()));
    for (const width of LIST) {
      setWidth(reference, width);
      const { gradients } = lossAndGradients(
        () => crossEntropy(width === 1 ? data.ys : teacher, reference.apply(data.xs) as tf.Tensor),
        variables,
      );
      gradients.forEach((gradient, i) => {
        for (const [j, entry] of gradient.dataSync().entries()) sums[i]![j]! -= entry;
      });
    }
    const { weights } = await afterOneStep({ distill: true });
    expect(weights).toBeAllClose(sums.flatMap((values) => Array.from(values)));
  });

  it('gives the same gradients for probabilities as for logits', async () => {
    const outcomes = [];
    for (const activation of [undefined, 'softmax'] as const) {
      const model = perceptron(LIST, 1, false, activation);
      await fit(model, data, {
        ...oneStep(tf.train.sgd(1)),
        loss: activation ? 'categoricalCrossentropy' : loss,
        callbacks: [slimmableTraining({ distill: true })],
      });
      outcomes.push(model.getWeights().flatMap((weight) => Array.from(weight.dataSync())));
    }
    expect(outcomes[1]).toBeAllClose(outcomes[0]!, 1e-4);
  });

  /** The widths of every step. */
  async function drawn(widths: Widths, options: SlimmableTrainingOptions) {
    const model = perceptron(widths);
    const steps: number[][] = [];
    const watch: FitCallback = {
      onBatchBegin: () => void steps.push([]),
      forward: (run) => {
        steps.at(-1)!.push(widthOf(model));
        return run();
      },
    };
    setWidth(model, 0.5);
    await fit(model, data, {
      ...oneStep(tf.train.sgd(0.1)),
      batchSize: 4,
      callbacks: [slimmableTraining(options), watch],
      seed: 3,
    });
    expect(widthOf(model)).toBe(0.5);
    return steps;
  }

  it('follows the sandwich rule over a range', async () => {
    const steps = await drawn({ min: 0.25 }, {});
    expect(steps.length).toBe(6);
    for (const step of steps) {
      expect(step.length).toBe(4);
      expect(step[0]).toBe(1);
      expect(step[3]).toBe(0.25);
      for (const width of step.slice(1, 3)) expect(width).toBeGreaterThan(0.25);
    }
    expect(new Set(steps.flat()).size).toBe(2 + 12);
    expect(await drawn({ min: 0.25 }, {})).toEqual(steps);
    const narrow = await drawn({ min: 0.25 }, { widths: { min: 0.5 }, sandwich: 1 });
    for (const step of narrow) expect([step[0], step.length, step[2]]).toEqual([1, 3, 0.5]);
  });

  it('follows the sandwich rule over a list', async () => {
    const steps = await drawn([0.25, 0.4, 0.5, 0.75, 1], { sandwich: 2 });
    for (const step of steps) {
      expect(step.length).toBe(4);
      expect([step[0], step[3]]).toEqual([1, 0.25]);
      expect(step[1]).not.toBe(step[2]);
    }
    expect(new Set(steps.flat())).toEqual(new Set([0.25, 0.4, 0.5, 0.75, 1]));
  });

  it('draws widths layer by layer where it is told to', async () => {
    const widths = { min: 0.25 };
    const dense = (units: number, more: object = {}) => slimmableDense({ units, widths, ...more });
    const model = tfl.sequential({
      layers: [dense(64, { inputShape: [6] }), dense(64), dense(3)],
    });
    const seen: string[] = [];
    const watch: FitCallback = {
      forward: (run) => {
        seen.push(
          model.layers.map((layer) => (layer.getConfig() as { width: number }).width).join(),
        );
        return run();
      },
    };
    const callbacks = [slimmableTraining({ layerwise: true, sandwich: 3 }), watch];
    await fit(model, data, { ...oneStep(tf.train.sgd(0.1)), callbacks });
    expect([seen[0], seen[4], seen.length]).toEqual(['1,1,1', '0.25,0.25,1', 5]);
    for (const widthsOf of seen.slice(1, 4)) expect(widthsOf).toMatch(/^0.\d{3,},0.\d{3,},1$/);
    expect(new Set(seen.slice(1, 4).flatMap((each) => each.split(',').slice(0, 2))).size).toBe(6);
  });

  it('reports the metrics of the largest width', async () => {
    const model = perceptron();
    const { logs } = await fit(model, data, {
      ...oneStep(tf.train.sgd(0)),
      metrics: ['accuracy', 'errors'],
      callbacks: [slimmableTraining()],
    });
    const labels = tf.argMax(tf.tensor(data.ys.dataSync(), [24, 3]), 1);
    const right = tf.equal(tf.argMax(model.predict(data.xs) as tf.Tensor, 1), labels);
    const count = tf.sum(tf.cast(right, 'int32')).dataSync()[0]!;
    expect(logs.accuracy).toBeAllClose([count / 24]);
    expect(logs.errors).toEqual([24 - count]);
  });

  it('refuses what it cannot do before it begins', async () => {
    const run = (model: tfl.LayersModel, options?: SlimmableTrainingOptions) =>
      fit(model, data, { ...oneStep(tf.train.sgd(1)), callbacks: [slimmableTraining(options)] });
    await expect(run(classifier())).rejects.toThrow(NoMatchError);
    await expect(run(perceptron(), { widths: [0.3, 1] })).rejects.toThrow('0.25, 0.5, 1');
    await expect(run(perceptron(), { widths: { min: 0.25 } })).rejects.toThrow(OptionError);
    expect(() => slimmableTraining({ sandwich: -1 })).toThrow(OptionError);
    expect(() => slimmableTraining({ distil: true } as never)).toThrow(OptionError);
    const single = tfl.sequential({
      layers: [slimmableDense({ units: 1, widths: LIST, inputShape: [6] })],
    });
    await expect(run(single, { distill: true })).rejects.toThrow(UnsupportedError);
    const model = perceptron();
    model.compile({ optimizer: 'sgd', loss: 'meanSquaredError' });
    const callbacks = [slimmableTraining()];
    const options = { callbacks, verbose: 0 } as unknown as tfl.ModelFitArgs;
    await expect(model.fit(data.xs, data.ys, options)).rejects.toThrow("Thimble's fit");
  });
});
