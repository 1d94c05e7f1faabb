import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { NoMatchError, OptionError, withSeed } from '@thimble/base';
import {
  type CheckpointStore,
  type FitCallback,
  type FitOptions,
  fit,
  parametrizedWeights,
  type StepContext,
} from '@thimble/core';
import {
  criteria,
  type IterativePruning,
  type IterativePruningOptions,
  iterativePruning,
  maskedWeights,
} from '@thimble/pruning';
import { describeCallbackContract, savedAndLoaded, snapshot, useCpu } from '@thimble/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { blobs, goneIn, maskOf, network, seenOf, storedOf, TRAINING } from './masks.ts';

useCpu();

const element = { granularity: 'element' } as const;
const halves = { fraction: 0.5, fineTuneEpochs: 1, ...element };

describeCallbackContract('iterativePruning', {
  make: () => iterativePruning({ rounds: 3, ...halves, adjustDropout: true }),
  epochs: 3,
  changesTraining: true,
});
describeCallbackContract('iterativePruning with rewinding', {
  make: () => iterativePruning({ rounds: 2, denseEpochs: 1, rewind: 0, ...halves }),
  epochs: 3,
  changesTraining: true,
  onlyInsideFit: 'it resets the optimizer',
});
describeCallbackContract('iterativePruning by what the weights have travelled', {
  make: () =>
    iterativePruning({ rounds: 1, denseEpochs: 1, criterion: criteria.travel(), ...halves }),
  epochs: 2,
  changesTraining: true,
});

/** Trains the network for as long as the rounds take. */
async function trained(
  options: IterativePruningOptions,
  { model = network(), ...training }: FitOptions & { model?: tfl.LayersModel } = {},
): Promise<{ model: tfl.LayersModel; callback: IterativePruning; epochs: number }> {
  const callback = iterativePruning(options);
  const { rounds, fineTuneEpochs, denseEpochs = 0 } = options;
  const { epochs } = await fit(model, blobs(), {
    ...TRAINING,
    epochs: denseEpochs + rounds * fineTuneEpochs,
    ...training,
    callbacks: [callback, ...(training.callbacks ?? [])],
  });
  return { model, callback, epochs };
}

const gone = (model: tfl.LayersModel) => maskedWeights(model).map(goneIn);

describe('after every round', () => {
  it('the fraction of what was left is gone, exactly', async () => {
    const model = network();
    const seen: number[][] = [];
    const watch = { onBatchEnd: (batch: number) => void (batch === 0 && seen.push(gone(model))) };
    const { callback } = await trained(
      { rounds: 3, fraction: 0.3, fineTuneEpochs: 2, denseEpochs: 1, ...element },
      { model, callbacks: [watch] },
    );
    // 1 - 0.7^k of 48 and of 24: 14.4, 7.2; 24.48, 12.24; 31.536, 15.768.
    const expected = [
      [0, 0],
      [14, 7],
      [24, 12],
      [32, 16],
    ];
    expect(seen).toEqual([0, 1, 1, 2, 2, 3, 3].map((round) => expected[round]));
    expect(callback.rounds.map(({ round, sparsity }) => [round, sparsity])).toEqual(
      expected.map(([a, b], round) => [round, expect.closeTo((a! + b!) / 72, 10)]),
    );
    expect(callback.rounds.every(({ logs }) => Number.isFinite(logs.loss))).toBe(true);
  });

  it('of each round its own fraction, and of some layers another', async () => {
    const rounds = { rounds: 2, fineTuneEpochs: 1, ...element };
    const { model } = await trained({
      ...rounds,
      fraction: [0.5, 0.25],
      perLayer: { output: 0.1 },
    });
    // 1 - 0.5 * 0.75 of 48; 1 - 0.9^2 of 24 is 4.56.
    expect(gone(model)).toEqual([30, 5]);
  });

  it('of all layers together, with scope global', async () => {
    const { model } = await trained({ rounds: 2, scope: 'global', ...halves });
    expect(gone(model).reduce((a, b) => a + b)).toBe(54); // 3/4 of 72
  });

  it('what was gone is gone still (property)', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 3, maxLength: 3 }),
        fc.constantFrom('layer' as const, 'global' as const),
        fc.constantFrom('element' as const, 'block' as const, 'neuron' as const),
        fc.integer({ min: 0, max: 1 }),
        async (percents, scope, granularity, rewound) => {
          const masks: number[][][] = [];
          const model = network();
          const watch = { onEpochEnd: () => void masks.push(maskedWeights(model).map(maskOf)) };
          await trained(
            {
              rounds: 3,
              fraction: percents.map((percent) => percent / 100),
              fineTuneEpochs: 1,
              denseEpochs: 1,
              scope,
              granularity,
              targets: 'hidden',
              ...(rewound ? { rewind: 0 } : {}),
            },
            { model, callbacks: [watch] },
          );
          expect(masks).toHaveLength(4);
          const left = percents.reduce((rest, percent) => rest * (1 - percent / 100), 1);
          if (granularity === 'element') expect(gone(model)).toEqual([Math.round((1 - left) * 48)]);
          masks.slice(1).forEach((now, i) => {
            masks[i]![0]!.forEach((kept, k) => {
              if (kept === 0) expect(now[0]![k]).toBe(0);
            });
          });
        },
      ),
      { seed: 11, numRuns: 12 },
    );
  });
});

it("works in tfjs's own fit, and a second run prunes from there", async () => {
  const model = network();
  model.compile({ optimizer: 'adam', loss: 'meanSquaredError' });
  const { xs, ys } = blobs();
  const callback = iterativePruning({ rounds: 2, fineTuneEpochs: 2, fraction: 0.5, ...element });
  const options = { epochs: 4, batchSize: 8, callbacks: [callback], verbose: 0 } as const;
  const { history } = await model.fit(xs, ys, options as never);
  expect(history.sparsity).toEqual([0.5, 0.5, 0.75, 0.75]);
  expect(callback.rounds.map(({ sparsity }) => sparsity)).toEqual([0.5, 0.75]);
  await model.fit(xs, ys, options as never);
  expect(callback.rounds.map(({ sparsity }) => sparsity)).toEqual([0.75, 0.75]);
});

it("keeps to a bound in tfjs's own fit too, whose figures are tensors", async () => {
  const run = async (min: number) => {
    const model = network();
    model.compile({ optimizer: 'adam', loss: 'meanSquaredError' });
    const { xs, ys } = blobs();
    const bound = { monitor: 'val_loss', min };
    const callback = iterativePruning({ rounds: 2, bound, ...halves });
    const { history } = await model.fit(xs, ys, {
      epochs: 2,
      callbacks: [callback],
      validationData: [xs, ys],
      verbose: 0,
    });
    return { history, rounds: callback.rounds, gone: maskedWeights(model).map(goneIn) };
  };
  const good = await run(0);
  expect(good.rounds.map(({ logs }) => logs)).toEqual(
    [0, 1].map((epoch) => ({
      loss: good.history.loss![epoch],
      val_loss: good.history.val_loss![epoch],
      sparsity: 1 - 0.5 ** (epoch + 1),
    })),
  );
  const bad = await run(1e6);
  expect(bad.rounds).toHaveLength(1);
  expect(bad.gone).toEqual([0, 0]);
});

describe('rewinding', () => {
  /** Weights before and after every step, and the gradients of it. */
  function record(model: tfl.LayersModel) {
    const steps: { before: number[][]; gradients: number[][]; after: number[][] }[] = [];
    const stored = () => maskedWeights(model).map(storedOf);
    const callback: FitCallback = {
      onBatchBegin: () => void steps.push({ before: stored(), gradients: [], after: [] }),
      gradients(gradients: tf.Tensor[], { variables }: StepContext) {
        steps.at(-1)!.gradients = maskedWeights(model).map(({ weight }) =>
          Array.from(gradients[variables.indexOf(weight.variable)]!.dataSync()),
        );
        return gradients;
      },
      afterStep: () => {
        steps.at(-1)!.after = stored();
      },
    };
    return { steps, callback };
  }

  it.each([0, 1])(
    'gives the weights of epoch %i back bit by bit, and keeps the masks',
    async (to) => {
      const model = network();
      const initial = model.layers.map((layer) =>
        layer.getWeights().map((w) => w.dataSync().slice()),
      );
      const { steps, callback } = record(model);
      await trained(
        { rounds: 2, denseEpochs: 2, rewind: to, ...halves },
        { model, callbacks: [callback] },
      );
      expect(steps).toHaveLength(12); // 4 epochs of 3 steps
      const start = to === 0 ? initial.map(([kernel]) => Array.from(kernel!)) : steps[2]!.after;
      for (const round of [6, 9]) expect(steps[round]!.before).toEqual(start);
      expect(steps[6]!.before).not.toEqual(steps[5]!.after);
      expect(gone(model)).toEqual([36, 18]);
    },
  );

  it('lets the optimizer forget its moments', async () => {
    const model = network();
    const { steps, callback } = record(model);
    const rate = 0.1;
    await trained(
      { rounds: 1, denseEpochs: 1, rewind: 0, ...halves },
      { model, callbacks: [callback], optimizer: tf.train.momentum(rate, 0.9) },
    );
    // A step without momentum is -rate * gradient; with it the last steps would add to it.
    const plain = ({ before, gradients }: (typeof steps)[number]) =>
      before.map((values, i) => values.map((value, k) => value - rate * gradients[i]![k]!));
    expect(steps[3]!.after).toBeAllClose(plain(steps[3]!), 1e-6);
    expect(steps[4]!.after).not.toBeAllClose(plain(steps[4]!), 1e-3);
  });

  it('rewinds other weights too', async () => {
    const model = network();
    const biases: number[][] = [];
    const watch = {
      onBatchBegin: () =>
        void biases.push(Array.from(model.layers[0]!.getWeights()[1]!.dataSync())),
    };
    await trained(
      { rounds: 1, denseEpochs: 1, rewind: 0, ...halves },
      { model, callbacks: [watch] },
    );
    expect(biases[1]!.some((value) => value !== 0)).toBe(true);
    expect(biases[3]).toEqual(new Array(8).fill(0));
  });
});

describe('bound', () => {
  /** Gives the epochs these figures. */
  const figures = (values: number[]): FitCallback => ({
    onEpochEnd: (epoch, logs) => {
      logs.figure = values[epoch]!;
    },
  });

  async function bounded(values: number[], options: Partial<IterativePruningOptions> = {}) {
    const model = network(1, 0.5);
    const ends: Record<string, number[]>[] = [snapshot(model)];
    const callback = iterativePruning({
      rounds: 3,
      ...halves,
      fineTuneEpochs: 2,
      bound: { monitor: 'figure', min: 0.5 },
      ...options,
    });
    const watch = {
      onEpochBegin: (epoch: number) => {
        if (epoch > 0) ends.push(snapshot(model));
      },
    };
    const { epochs, stopped } = await fit(model, blobs(), {
      ...TRAINING,
      epochs: (options.denseEpochs ?? 0) + 6,
      callbacks: [figures(values), callback, watch],
    });
    const rate = (model.layers[1] as unknown as { rate: number }).rate;
    return { model, callback, ends, epochs, stopped, rate };
  }

  it('ends the run at the end of a round below it, with the model of the round before', async () => {
    // The third epoch is too bad, but it is not the end of a round.
    const run = await bounded([0.9, 0.8, 0.1, 0.5, 0.9, 0.4], { adjustDropout: true });
    expect(run.epochs).toBe(6);
    expect(run.stopped).toBe(true);
    expect(snapshot(run.model)).toEqual(run.ends[4]); // after 2 rounds of 2 epochs
    expect(gone(run.model)).toEqual([36, 18]);
    expect(run.callback.rounds.map(({ logs }) => logs.figure)).toEqual([0.8, 0.5, 0.4]);
    expect(run.rate).toBeCloseTo(0.5 * Math.sqrt(1 / 4), 10);
  });

  it('ends with the round before one that costs too much', async () => {
    const bound = { monitor: 'figure', drop: 0.1 };
    const run = await bounded([0.3, 0.9, 0.3, 0.85, 0.3, 0.74], { bound });
    expect(run.stopped).toBe(true);
    expect(run.callback.takenBack).toBe(true);
    expect(snapshot(run.model)).toEqual(run.ends[4]);
    // Bit by bit it may become worse, and the first round has none before it.
    const slow = await bounded([0.9, 0.4, 0.9, 0.31, 0.9, 0.22], { bound });
    expect([slow.epochs, slow.stopped, slow.callback.takenBack]).toEqual([6, false, false]);
    // Both: never below min.
    const both = await bounded([0.9, 0.4, 0.9, 0.31, 0.9, 0.22], { bound: { ...bound, min: 0.3 } });
    expect(both.callback.takenBack).toBe(true);
    expect(() => iterativePruning({ rounds: 1, ...halves, bound: {} })).toThrow(
      'bound needs min or drop',
    );
  });

  it('gives back the model of before pruning where the first round is too bad', async () => {
    const run = await bounded([0.9, 0.1]);
    expect(run.epochs).toBe(2);
    // Masks were added, and hide nothing.
    expect(snapshot(run.model)).toMatchObject(run.ends[0]!);
    expect(gone(run.model)).toEqual([0, 0]);
  });

  it('leaves a dense network that is too bad as it was trained', async () => {
    const model = network();
    const callback = iterativePruning({
      rounds: 1,
      denseEpochs: 1,
      ...halves,
      bound: { monitor: 'figure', min: 0.5 },
    });
    const dense = network();
    await fit(dense, blobs(), { ...TRAINING, epochs: 1 });
    const callbacks = [figures([0.1, 0.9]), callback];
    const { epochs } = await fit(model, blobs(), { ...TRAINING, epochs: 2, callbacks });
    expect(epochs).toBe(1);
    expect(snapshot(model)).toMatchObject(snapshot(dense));
    expect(gone(model)).toEqual([0, 0]);
  });

  it('does nothing where all is good, and watches val_accuracy by default', async () => {
    const run = await bounded([1, 1, 1, 1, 1, 1]);
    expect([run.epochs, gone(run.model)]).toEqual([6, [42, 21]]);
    const options = { rounds: 1, ...halves, bound: { min: 1.1 } };
    const validationData = blobs(12);
    const { callback } = await trained(options, { validationData, metrics: ['accuracy'] });
    expect(gone(callback.model as tfl.LayersModel)).toEqual([0, 0]);
    await expect(trained(options)).rejects.toThrow(NoMatchError);
    await expect(trained(options)).rejects.toThrow(
      'bound watches "val_accuracy", which is not reported. Reported: loss, sparsity',
    );
  });
});

describe('a run that is stopped', () => {
  const options: IterativePruningOptions = {
    rounds: 2,
    fraction: 0.5,
    fineTuneEpochs: 2,
    denseEpochs: 2,
    rewind: 1,
    bound: { monitor: 'sparsity', min: 0 },
    ...element,
  };

  function memory(): CheckpointStore {
    let kept: Uint8Array | undefined;
    return {
      read: async () => kept,
      write: async (bytes) => {
        kept = bytes.slice();
      },
    };
  }

  // Epochs of 3 steps: in the dense part, at its end, in round 1, between its epochs, at its end, in round 2.
  it.each([2, 6, 8, 9, 12, 13])('at step %i goes on as if it had not been', async (step) => {
    const unbroken = await trained(options);
    const checkpoint = { store: memory() };
    const abort = new AbortController();
    let steps = 0;
    const stopper = {
      onBatchEnd: () => {
        if (++steps === step) abort.abort();
      },
    };
    const { signal } = abort;
    await expect(trained(options, { checkpoint, signal, callbacks: [stopper] })).rejects.toThrow(
      /abort/i,
    );
    const again = { checkpoint, model: network(2), callbacks: [{ onBatchEnd() {} }] };
    const resumed = await trained(options, again);
    expect(snapshot(resumed.model)).toEqual(snapshot(unbroken.model));
    expect(resumed.callback.rounds).toEqual(unbroken.callback.rounds);
    expect(resumed.callback.rounds.map(({ round }) => round)).toEqual([0, 1, 2]);
  });

  it('and still has the last good model to give back', async () => {
    const good = { rounds: 2, ...halves, bound: { monitor: 'figure', min: 0.5 } };
    const figures = (): FitCallback => ({
      onEpochEnd: (epoch, logs) => {
        logs.figure = [0.9, 0.1][epoch]!;
      },
    });
    const run = (model: tfl.LayersModel, more: FitCallback, options: FitOptions = {}) => {
      const callbacks = [figures(), iterativePruning(good), more];
      return fit(model, blobs(), { ...TRAINING, epochs: 2, ...options, callbacks });
    };
    const first = network();
    const end: Record<string, number[]>[] = [];
    await run(first, { onEpochBegin: (epoch) => void (epoch === 1 && end.push(snapshot(first))) });
    expect(snapshot(first)).toEqual(end[0]);
    const checkpoint = { store: memory() };
    const abort = new AbortController();
    const stopper = { onBatchEnd: () => void (end.length > 1 && abort.abort()) };
    const watched = {
      ...stopper,
      onEpochBegin: (epoch: number) => void (epoch === 1 && end.push({})),
    };
    const stopped = run(network(), watched, { checkpoint, signal: abort.signal });
    await expect(stopped).rejects.toThrow(/abort/i);
    const resumed = network(2);
    await run(resumed, { onBatchEnd() {} }, { checkpoint });
    expect(snapshot(resumed)).toEqual(end[0]);
  });
});

describe('adjusted dropout', () => {
  const rateOf = (model: tfl.LayersModel) => (model.layers[1] as unknown as { rate: number }).rate;

  it('is D_o * sqrt(C_r / C_o) of the layer that reads what is dropped, in a second run too', async () => {
    const model = network(1, 0.5);
    const rates: number[] = [];
    const watch = {
      onBatchEnd: (batch: number) => void (batch === 2 && rates.push(rateOf(model))),
    };
    const options = {
      rounds: 2,
      fineTuneEpochs: 1,
      denseEpochs: 1,
      fraction: 0.25,
      perLayer: { output: 0.5 },
      adjustDropout: true,
      ...element,
    };
    await trained(options, { model, callbacks: [watch] });
    // The output layer has 24 connections, then 12, then 6.
    expect(rates).toBeAllClose([0.5, 0.5 * Math.sqrt(12 / 24), 0.5 * Math.sqrt(6 / 24)], 1e-6);
    rates.length = 0;
    await trained(
      { ...options, rounds: 1, denseEpochs: 0, perLayer: { output: 0.875 } },
      { model, callbacks: [watch] },
    );
    expect(rates).toBeAllClose([0.5 * Math.sqrt(3 / 24)], 1e-6); // not of the lowered rate
  });

  it('is an error where there is no dropout to adjust', async () => {
    const options = { rounds: 1, adjustDropout: true, ...halves };
    await expect(trained(options)).rejects.toThrow(NoMatchError);
    await expect(trained(options)).rejects.toThrow('adjustDropout finds no dropout layer');
  });

  it('is left alone where nobody asks for it', async () => {
    const { model } = await trained({ rounds: 1, ...halves }, { model: network(1, 0.5) });
    expect(rateOf(model)).toBe(0.5);
  });
});

it('gives both directions of a Bidirectional masks, which are saved with the model', async () => {
  const make = () =>
    withSeed(5, () =>
      tfl.sequential({
        layers: [
          tfl.layers.bidirectional({
            layer: tfl.layers.gru({ units: 2 }) as tfl.RNN,
            mergeMode: 'concat',
            inputShape: [3, 2],
          }),
          tfl.layers.dense({ units: 3 }),
        ],
      }),
    );
  const model = make();
  const { xs, ys } = blobs();
  const data = { xs: tf.reshape(xs, [24, 3, 2]), ys };
  const callbacks = [iterativePruning({ rounds: 2, ...halves })];
  await fit(model, data, { ...TRAINING, epochs: 2, callbacks });
  // Kernels [2, 6] and [2, 6] of each direction, and [4, 3]: all have 12 entries.
  const masks = maskedWeights(model);
  expect(masks.map(goneIn)).toEqual([9, 9, 9, 9, 9]);
  expect(masks.map(({ weight }) => weight.layer.name.split('_')[0])).toEqual([
    'forward',
    'forward',
    'backward',
    'backward',
    'dense',
  ]);
  for (const [i, keep] of maskOf(masks[1]!).entries()) {
    if (keep === 0) expect(Math.abs(seenOf(masks[1]!)[i]!)).toBe(0);
  }
  const loaded = await savedAndLoaded(model);
  expect(maskedWeights(loaded).map(maskOf)).toEqual(masks.map(maskOf));
  expect(snapshot(loaded)).toEqual(snapshot(model));
  const [a, b] = [model, loaded].map((each) => each.predict(data.xs) as tf.Tensor);
  expect(b!).toBeAllClose(a!, 0);
});

describe('errors', () => {
  const good = { rounds: 2, fraction: 0.5, fineTuneEpochs: 1 };
  const make = (options: object) => () => iterativePruning(options as IterativePruningOptions);

  it.each([
    ['no rounds', { ...good, rounds: 0 }, 'rounds must be a whole number at least 1'],
    ['no epochs', { ...good, fineTuneEpochs: 0.5 }, 'fineTuneEpochs must be a whole number'],
    ['a fraction of 1', { ...good, fraction: 1 }, 'fraction must be below 1'],
    ['a fraction in per cent', { ...good, fraction: 20 }, 'fraction must be a number from 0 to 1'],
    ['too few fractions', { ...good, fraction: [0.5] }, '2 rounds need as many fractions, not 1'],
    ['a fraction of a layer', { ...good, perLayer: { hidden: -1 } }, 'perLayer.hidden must be'],
    [
      'other fractions with scope global',
      { ...good, perLayer: { hidden: 0.1 }, scope: 'global' },
      "perLayer goes with scope 'layer'",
    ],
    ['rewinding without dense epochs', { ...good, rewind: 0 }, 'must be below denseEpochs (0)'],
    [
      'rewinding to where it has not been',
      { ...good, denseEpochs: 2, rewind: 2 },
      'rewind (2) must be below denseEpochs (2)',
    ],
    ['a bound that is none', { ...good, bound: { min: Number.NaN } }, 'bound.min must be a number'],
    ['an unknown option of bound', { ...good, bound: { max: 1, min: 0 } }, 'unknown option "max"'],
    ['an unknown option', { ...good, epochs: 3 }, 'unknown option "epochs"'],
    [
      'a criterion that says itself how much goes',
      { ...good, criterion: criteria.deviations({ q: 0.5 }) },
      'says itself how much goes',
    ],
  ])('for %s', (_name, options, message) => {
    expect(make(options)).toThrow(OptionError);
    expect(make(options)).toThrow(message);
  });

  it('for too few epochs, before the first step', async () => {
    const model = network();
    const options = { rounds: 3, fineTuneEpochs: 2, denseEpochs: 1, fraction: 0.5, ...element };
    await expect(trained(options, { model, epochs: 6 })).rejects.toThrow(OptionError);
    await expect(trained(options, { model, epochs: 6 })).rejects.toThrow(
      '3 rounds of 2 epochs after 1 take 7 epochs; training has 6',
    );
    expect(snapshot(model)).toMatchObject(snapshot(network()));
  });

  it.each([
    ['a layer that perLayer does not find', { perLayer: { fc9: 0.1 } }, 'perLayer names "fc9"'],
    ['a target that matches nothing', { targets: 'fc9' }, 'the target "fc9" matches no layer'],
  ])('for %s, before there is any mask', async (_name, options, message) => {
    const model = network();
    const run = () => trained({ rounds: 1, ...halves, ...options }, { model });
    await expect(run()).rejects.toThrow(NoMatchError);
    await expect(run()).rejects.toThrow(message);
    expect(parametrizedWeights(model)).toEqual([]);
  });

  it('for criteria of training steps, and for those without their data', async () => {
    const model = network();
    const movement = trained({ rounds: 1, ...halves, criterion: criteria.movement() }, { model });
    await expect(movement).rejects.toThrow('use it with gradualPruning');
    const snip = trained({ rounds: 1, ...halves, criterion: criteria.snip() }, { model });
    await expect(snip).rejects.toThrow('Give the option data');
    expect(parametrizedWeights(model)).toEqual([]);
  });

  it("for rewinding in tfjs's own fit", async () => {
    const model = network();
    model.compile({ optimizer: 'sgd', loss: 'meanSquaredError' });
    const { xs, ys } = blobs();
    const callbacks = [iterativePruning({ rounds: 1, ...halves, denseEpochs: 1, rewind: 0 })];
    const run = model.fit(xs, ys, { epochs: 2, callbacks, verbose: 0 });
    await expect(run).rejects.toThrow("for which tfjs's own fit has no place");
  });
});
