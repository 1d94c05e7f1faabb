import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { NoMatchError, OptionError } from '@thimble/base';
import { type FitOptions, fit, parametrizedWeights } from '@thimble/core';
import {
  criteria,
  type GradualPruningOptions,
  gradualPruning,
  maskedWeights,
  sparsitySchedules,
} from '@thimble/pruning';
import { describeCallbackContract, savedAndLoaded, snapshot, useCpu } from '@thimble/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { blobs, goneIn, keptIn, maskOf, network, seenOf, storedOf, TRAINING } from './masks.ts';

useCpu();

const ramp = sparsitySchedules.polynomial({ final: 0.75, begin: 0, end: 6 });
const element = { granularity: 'element' } as const;

describeCallbackContract('gradualPruning by magnitude', {
  make: () => gradualPruning({ schedule: ramp, every: 2, ...element }),
  changesTraining: true,
});
describeCallbackContract('gradualPruning by movement', {
  make: () =>
    gradualPruning({ schedule: ramp, every: 2, criterion: criteria.movement(), ...element }),
  changesTraining: true,
  onlyInsideFit: 'it looks at the gradients of every step',
});
describeCallbackContract('gradualPruning by what the weights have travelled', {
  make: () =>
    gradualPruning({ schedule: ramp, every: 2, criterion: criteria.travel(), ...element }),
  changesTraining: true,
});

/** Trains the network with the callback; `seen` is told of the masks before every step and at the end. */
async function trained(
  options: GradualPruningOptions,
  { seen, ...training }: FitOptions & { seen?: (masks: number[][]) => void } = {},
): Promise<tfl.Sequential> {
  const model = network();
  const look = () => seen?.(maskedWeights(model).map(maskOf));
  const watch = { onBatchBegin: look, onTrainEnd: look };
  const callbacks = [gradualPruning(options), watch];
  await fit(model, blobs(), { ...TRAINING, epochs: 3, ...training, callbacks });
  return model;
}

describe('when it prunes', () => {
  /** One weight, one example a step. */
  const single = () =>
    tfl.sequential({ layers: [tfl.layers.dense({ units: 1, inputShape: [1] })] });
  const steps = 215;
  const data = () => ({ xs: tf.ones([steps, 1]), ys: tf.ones([steps, 1]) });

  /** The steps at which the schedule is asked, in as many runs on one model. */
  async function askedAt(
    options: Partial<GradualPruningOptions>,
    own: boolean,
    runs: number = 1,
  ): Promise<number[]> {
    const asked: number[] = [];
    const schedule = (step: number) => {
      asked.push(step);
      return 0;
    };
    const callbacks = [gradualPruning({ schedule, ...options })];
    const model = single();
    const { xs, ys } = data();
    model.compile({ optimizer: 'sgd', loss: 'meanSquaredError' });
    for (let run = 0; run < runs; run++) {
      if (own) await fit(model, { xs, ys }, { batchSize: 1, callbacks, progress: false });
      else await model.fit(xs, ys, { batchSize: 1, callbacks, verbose: 0 });
    }
    return asked;
  }

  it.each([
    ["Thimble's fit", true],
    ["tfjs's own fit", false],
  ])('only every so many steps, counted from begin, in %s', async (_name, own) => {
    // golden/cases.json schedule-003 (tensorflow/model-optimization, pruning_schedule_test.py): begin 100,
    // end 200, frequency 10: steps 100 and 110 yes, 109 and 111 no.
    const asked = await askedAt({ begin: 100, end: 200, every: 10 }, own);
    expect([100, 109, 110, 111].map((step) => asked.includes(step))).toEqual([
      true,
      false,
      true,
      false,
    ]);
    expect(asked).toEqual([100, 110, 120, 130, 140, 150, 160, 170, 180, 190, 200]);
    expect(await askedAt({ begin: 7, end: 37, every: 10 }, own)).toEqual([7, 17, 27, 37]);
  });

  it('from before the first step on, every 100 steps, where nothing is said', async () => {
    expect(await askedAt({}, true)).toEqual([0, 100, 200]);
    expect(await askedAt({}, false, 2)).toEqual([0, 100, 200, 0, 100, 200]);
  });

  it('as often as the schedule rises, of weights 1 to 100', async () => {
    // golden/cases.json pruning-003 (tensorflow/model-optimization, pruning_impl_test.py).
    const sparsities = [0, 0.1, 0.1, 0.3, 0.3, 0.5, 0.5, 0.5, 0.5, 0.5];
    const weights = [tf.reshape(tf.linspace(1, 100, 100), [100, 1])];
    const layer = tfl.layers.dense({ units: 1, useBias: false, weights, inputShape: [100] });
    const model = tfl.sequential({ layers: [layer] });
    const kept: number[] = [];
    const callbacks = [
      gradualPruning({ schedule: (step) => sparsities[step] ?? 0.5, every: 1, ...element }),
      { onBatchBegin: () => void kept.push(keptIn(maskedWeights(model)[0]!)) },
    ];
    const none = { xs: tf.zeros([10, 100]), ys: tf.zeros([10, 1]) }; // no input, no gradient
    await fit(model, none, { batchSize: 1, loss: 'meanSquaredError', callbacks, progress: false });
    expect(kept).toEqual([100, 90, 90, 70, 70, 50, 50, 50, 50, 50]);
    expect(maskOf(maskedWeights(model)[0]!)).toEqual([
      ...new Array(50).fill(0),
      ...new Array(50).fill(1),
    ]);
  });
});

describe('what it leaves', () => {
  it('is exactly what the schedule says, in each layer', async () => {
    const model = await trained({ schedule: ramp, every: 2, ...element });
    // 75 % of 48 and of 24 entries.
    expect(maskedWeights(model).map((each) => [each.name, goneIn(each)])).toEqual([
      ['hidden/kernel', 36],
      ['output/kernel', 18],
    ]);
  });

  it('is exactly what the schedule says over all layers, and the largest of them', async () => {
    const model = network();
    const callbacks = [
      gradualPruning({ schedule: sparsitySchedules.oneShot(0.5, 0), scope: 'global', ...element }),
    ];
    const before = maskedWeightsOf(model);
    await fit(model, blobs(), { ...TRAINING, callbacks });
    const order = before.map(Math.abs).sort((a, b) => a - b);
    const cut = order[36]!; // of 48 + 24 entries 36 go
    expect(maskedWeights(model).flatMap(maskOf)).toEqual(
      before.map((value) => (Math.abs(value) >= cut ? 1 : 0)),
    );
  });

  function maskedWeightsOf(model: tfl.Sequential): number[] {
    return model.layers.flatMap((layer) => Array.from(layer.getWeights()[0]!.dataSync()));
  }

  it('is in the history, and in the saved model', async () => {
    const model = network();
    const callbacks = [gradualPruning({ schedule: ramp, every: 2, ...element })];
    const { logs } = await fit(model, blobs(), { ...TRAINING, epochs: 3, callbacks });
    // After 2 of the 3 steps of the first epoch: p = 1/3; 0.75 (1 - (2/3)^3) = 0.52777 of 48 and 24.
    expect(logs.sparsity![0]).toBeCloseTo((25 + 13) / 72, 10);
    expect(logs.sparsity!.slice(1)).toEqual([0.75, 0.75]);
    const loaded = await savedAndLoaded(model);
    expect(maskedWeights(loaded).map(maskOf)).toEqual(maskedWeights(model).map(maskOf));
    expect(snapshot(loaded)).toEqual(snapshot(model));
  });

  it("is the same in tfjs's own fit: it prunes there too, and reports it", async () => {
    const model = network();
    model.compile({ optimizer: 'adam', loss: 'meanSquaredError' });
    const { xs, ys } = blobs();
    const callbacks = [gradualPruning({ schedule: ramp, every: 2, ...element })];
    const { history } = await model.fit(xs, ys, {
      epochs: 3,
      batchSize: 8,
      callbacks,
      verbose: 0,
    });
    expect(maskedWeights(model).map(goneIn)).toEqual([36, 18]);
    expect(history.sparsity).toEqual([expect.closeTo(38 / 72, 10), 0.75, 0.75]);
  });
});

it('never lets a pruned entry come back, whatever the schedule', async () => {
  const sparsity = fc.integer({ min: 0, max: 90 }).map((percent) => percent / 100);
  await fc.assert(
    fc.asyncProperty(
      fc.array(sparsity, { minLength: 7, maxLength: 7 }),
      fc.constantFrom('layer' as const, 'global' as const),
      fc.constantFrom('magnitude' as const, 'random' as const, 'movement' as const),
      async (sparsities, scope, name) => {
        const masks: number[][][] = [];
        await trained(
          {
            schedule: (step) => sparsities[step] ?? 0,
            every: 1,
            scope,
            criterion: criteria[name](),
            targets: 'hidden',
            ...element,
          },
          { epochs: 2, seen: (now) => masks.push(now) },
        );
        expect(masks).toHaveLength(7);
        masks.forEach((now, step) => {
          const first = name === 'movement' ? 1 : 0; // before the first step there was no movement
          const due = Math.max(0, ...sparsities.slice(first, step + 1));
          const gone = now[0]!.filter((keep) => keep === 0).length;
          expect(gone).toBe(Math.round(due * 48));
          masks[step - 1]?.[0]?.forEach((kept, i) => {
            if (kept === 0) expect(now[0]![i]).toBe(0);
          });
        });
      },
    ),
    { seed: 7, numRuns: 15 },
  );
});

describe('no optimizer brings a pruned entry back', () => {
  it.each(['sgd', 'momentum', 'adam', 'rmsprop'] as const)(
    '%s, with weight decay',
    async (name) => {
      const regularizer = () => tfl.regularizers.l2({ l2: 0.1 });
      const model = tfl.sequential({
        layers: [
          tfl.layers.dense({
            units: 4,
            kernelInitializer: tfl.initializers.randomNormal({ seed: 4 }),
            kernelRegularizer: regularizer(),
            inputShape: [6],
          }),
          tfl.layers.dense({
            units: 3,
            kernelInitializer: tfl.initializers.glorotNormal({ seed: 5 }),
          }),
        ],
      });
      const after = 4;
      let [pruned, stored]: number[][] = [[], []];
      const callbacks = [
        gradualPruning({ schedule: sparsitySchedules.oneShot(0.5, after), every: 1, ...element }),
        {
          afterStep: ({ step }: { step: number }) => {
            if (step + 1 !== after) return;
            [pruned, stored] = [
              maskOf(maskedWeights(model)[0]!),
              storedOf(maskedWeights(model)[0]!),
            ];
          },
        },
      ];
      const optimizer = name === 'momentum' ? tf.train.momentum(0.05, 0.9) : name;
      await fit(model, blobs(), { ...TRAINING, epochs: 6, optimizer, callbacks });
      const [weight] = maskedWeights(model);
      expect(goneIn(weight!)).toBe(12);
      expect(maskOf(weight!)).toEqual(pruned);
      const seen = seenOf(weight!);
      const moved = pruned.filter((keep, i) => keep === 1 && seen[i] !== stored[i]);
      expect(moved.length).toBe(12); // training goes on
      for (const [i, keep] of pruned.entries()) if (keep === 0) expect(Math.abs(seen[i]!)).toBe(0);
      // The penalty goes on pulling at what is stored under the mask; the layer does not see it.
      const hidden = pruned.indexOf(0);
      expect(storedOf(weight!)[hidden]).not.toBe(stored[hidden]);
    },
  );
});

describe('errors', () => {
  const schedule = () => 0.5;
  const make = (options: object) => () => gradualPruning(options as GradualPruningOptions);

  it.each([
    ['no schedule', {}, 'schedule must be a function'],
    ['begin below 0', { schedule, begin: -1 }, 'begin must be a whole number at least 0'],
    ['begin far below 0', { schedule, begin: -5 }, 'begin must be a whole number at least 0'],
    ['end below 0', { schedule, begin: 10, end: -5 }, 'end must be a whole number at least 10'],
    ['end before begin', { schedule, begin: 10, end: 5 }, 'end must be a whole number at least 10'],
    ['every 0', { schedule, begin: 10, end: 1000, every: 0 }, 'every must be a whole number'],
    ['every -1', { schedule, begin: 10, end: 1000, every: -1 }, 'every must be a whole number'],
    ['an unknown option', { schedule, frequency: 5 }, 'unknown option "frequency"'],
    ['an unknown granularity', { schedule, granularity: 'row' }, 'granularity must be one of'],
    [
      'a criterion that says itself how much goes',
      { schedule, criterion: criteria.threshold({ value: 0.1 }) },
      'cannot follow a schedule',
    ],
  ])('for %s', (_name, options, message) => {
    // The sets of arguments that golden/cases.json schedule-005 rejects are among these.
    expect(make(options)).toThrow(OptionError);
    expect(make(options)).toThrow(message);
  });

  it.each([
    { begin: 0, end: 0 },
    { begin: 10, end: 10 },
    { begin: 0, end: 1 },
  ])('for none of what golden/cases.json schedule-005 accepts: %o', (options) => {
    expect(make({ schedule, ...options })).not.toThrow();
  });

  const run = async (options: Partial<GradualPruningOptions>, model = network()) => {
    const callbacks = [gradualPruning({ schedule, ...options })];
    await fit(model, blobs(), { ...TRAINING, callbacks });
  };

  it('for a target that matches nothing, before there is any mask', async () => {
    const model = network();
    await expect(run({ targets: ['hidden', 'fc9'] }, model)).rejects.toThrow(NoMatchError);
    await expect(run({ targets: /^fc/ }, model)).rejects.toThrow(
      'Layers with kernels: hidden, output',
    );
    expect(parametrizedWeights(model)).toEqual([]);
  });

  it('for a sparsity that is none, with the step', async () => {
    await expect(run({ schedule: () => 1.5 })).rejects.toThrow(
      'schedule(0) must be a number from 0',
    );
    await expect(run({ schedule: () => Number.NaN })).rejects.toThrow(OptionError);
    await expect(run({ schedule: (s) => (s ? 1 : 0), every: 1 })).rejects.toThrow(
      'schedule(1) must be below 1',
    );
  });

  it('for a criterion without its data or its loss, before training', async () => {
    const model = network();
    const criterion = criteria.snip();
    await expect(run({ criterion }, model)).rejects.toThrow('looks at data. Give the option data');
    await expect(run({ criterion, data: blobs() }, model)).rejects.toThrow('Give the option loss');
    expect(parametrizedWeights(model)).toEqual([]);
    const loss = 'categoricalCrossentropyFromLogits';
    await run({ criterion, data: blobs(), loss, ...element }, model);
    expect(maskedWeights(model).map(goneIn)).toEqual([24, 12]);
  });

  it("for a criterion of training steps in tfjs's own fit", async () => {
    const model = network();
    model.compile({ optimizer: 'sgd', loss: 'meanSquaredError' });
    const { xs, ys } = blobs();
    const callbacks = [gradualPruning({ schedule, criterion: criteria.movement() })];
    await expect(model.fit(xs, ys, { callbacks, verbose: 0 })).rejects.toThrow(
      "which tfjs's own fit does not show",
    );
    expect(parametrizedWeights(model)).toEqual([]);
  });
});
