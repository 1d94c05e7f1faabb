import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { withSeed } from '@thimble/base';
import { type FitCallback, fit, parametrizedWeights, walkLayers } from '@thimble/core';
import {
  criteria,
  gradualPruning,
  iterativePruning,
  type PruneOptions,
  prune,
  sensitivity,
} from '@thimble/pruning';
import { outputs, snapshot, useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';
import { blobs, INPUTS, network, TRAINING } from './masks.ts';

useCpu();

const LOSS = 'categoricalCrossentropyFromLogits';
const element = { granularity: 'element', sparsity: 0.5 } as const;

/** All of a model that a failed call could change. */
function looksOf(model: tfl.LayersModel) {
  return {
    config: JSON.stringify(model.toJSON()),
    weights: snapshot(model),
    names: model.weights.map(({ originalName }) => originalName),
    trainable: model.trainableWeights.length,
    chained: parametrizedWeights(model).map(({ layer, weight }) => `${layer.name}/${weight}`),
    methods: walkLayers(model).map((layer) => Object.keys(layer).filter((key) => key === 'call')),
    tensors: tf.memory().numTensors,
  };
}

/** A model with kernels inside a Bidirectional, in stacked cells and in a dense layer that is masked already. */
async function mixed(): Promise<tfl.Sequential> {
  const { bidirectional, dense, flatten, gruCell, lstm, reshape, rnn } = tfl.layers;
  const inner = lstm({ units: 2, returnSequences: true }) as tfl.RNN;
  const cell = [gruCell({ units: 2 }), gruCell({ units: 3 })] as never;
  const model = withSeed(5, () =>
    tfl.sequential({
      layers: [
        reshape({ targetShape: [3, 2], inputShape: [INPUTS] }),
        bidirectional({ name: 'both', layer: inner, mergeMode: 'concat' }),
        rnn({ name: 'stack', cell, returnSequences: true }),
        flatten(),
        dense({ name: 'middle', units: 4 }),
        dense({ name: 'end', units: 3 }),
      ],
    }),
  );
  await prune(model, { ...element, targets: 'middle' });
  return model;
}

const narrow = () => ({ xs: tf.ones([4, INPUTS - 1]), ys: blobs(4).ys });
const wrongLabels = () => ({ xs: blobs(4).xs, ys: tf.ones([4, 7]) });

const failures: [string, () => PruneOptions, string][] = [
  [
    'data of another shape',
    () => ({ ...element, criterion: criteria.snip(), loss: LOSS, data: narrow() }),
    'have shape [5]',
  ],
  [
    'labels of another shape',
    () => ({ ...element, criterion: criteria.snip(), loss: LOSS, data: wrongLabels() }),
    'have shape [7]',
  ],
  [
    'an aborted signal',
    () => {
      const signal = AbortSignal.abort(new Error('enough'));
      return { ...element, criterion: criteria.snip(), loss: LOSS, data: blobs(), signal };
    },
    'enough',
  ],
  [
    'too much in a later round',
    () => ({ granularity: 'neuron', sparsity: 0.9, rounds: 3, targets: 'end' }),
    'nothing would be left of end/kernel',
  ],
  [
    'a criterion that throws',
    () => ({
      ...element,
      criterion: {
        ...criteria.magnitude(),
        score: () => {
          throw new Error('no score');
        },
      } as never,
    }),
    'no score',
  ],
];

describe.each(failures)('prune with %s', (_name, options, message) => {
  it('leaves the model exactly as it was', async () => {
    const model = await mixed();
    const x = tf.randomNormal([2, INPUTS], 0, 1, 'float32', 1);
    const given = options();
    const [before, answers] = [looksOf(model), outputs(model, x)];
    await expect(prune(model, given)).rejects.toThrow(message);
    expect(looksOf(model)).toEqual(before);
    expect(outputs(model, x)).toEqual(answers);
    // And it can be pruned afterwards.
    const report = await prune(model, element);
    expect(report.weights).toHaveLength(4 + 4 + 2);
  });
});

it('sensitivity leaves a model exactly as it was, also when it throws', async () => {
  const model = await mixed();
  const options = {
    data: blobs(),
    granularity: 'element',
    progress: false,
    ratios: [0.5],
  } as const;
  const before = looksOf(model);
  await sensitivity(model, options);
  expect(looksOf(model)).toEqual(before);
  let calls = 0;
  const score = () => {
    if (calls++ === 3) throw new Error('no figure');
    return 1;
  };
  await expect(sensitivity(model, { ...options, score })).rejects.toThrow('no figure');
  expect(looksOf(model)).toEqual(before);
});

const snip = { granularity: 'element', criterion: criteria.snip(), loss: LOSS } as const;
const rounds = { rounds: 1, fraction: 0.5, fineTuneEpochs: 1 };
const callbacks: [string, (data: object) => FitCallback][] = [
  ['gradualPruning', (data) => gradualPruning({ ...snip, schedule: () => 0.5, data } as never)],
  ['iterativePruning', (data) => iterativePruning({ ...snip, ...rounds, data } as never)],
];

describe.each(callbacks)('%s', (_name, make) => {
  it.each(['fit', 'model.fit'])(
    'leaves the model as it was where it cannot begin, in %s',
    async (loop) => {
      const model = await mixed();
      model.compile({ optimizer: 'sgd', loss: 'meanSquaredError' });
      const [{ xs, ys }, data] = [blobs(), narrow()];
      const train = (callback: FitCallback) =>
        loop === 'fit'
          ? fit(model, { xs, ys }, { ...TRAINING, epochs: 1, callbacks: [callback] })
          : model.fit(xs, ys, { epochs: 1, verbose: 0, callbacks: [callback as tfl.Callback] });
      const callback = make(data);
      const { tensors, ...before } = looksOf(model);
      await expect(train(callback)).rejects.toThrow('have shape [5]');
      // tfjs's own fit does not dispose of its list of examples where a callback throws.
      const kept = loop === 'fit' ? 0 : 1;
      expect(looksOf(model)).toEqual({ ...before, tensors: tensors + kept });
    },
  );

  it('leaves the model as it was where something else fails before the first step', async () => {
    const model = await mixed();
    const [wrong, data] = [narrow(), blobs()];
    const breaks = {
      onTrainBegin() {
        throw new Error('not today');
      },
    };
    const before = looksOf(model);
    const pruning = () => make(data);
    await expect(
      fit(model, wrong, { ...TRAINING, epochs: 1, callbacks: [pruning()] }),
    ).rejects.toThrow('have shape [5]');
    expect(looksOf(model)).toEqual(before);
    await expect(
      fit(model, data, { ...TRAINING, epochs: 1, callbacks: [pruning(), breaks] }),
    ).rejects.toThrow('not today');
    expect(looksOf(model)).toEqual(before);
  });

  it('prunes after a failure as if there had been none', async () => {
    const [failed, fresh] = [await mixed(), await mixed()];
    const options = { ...TRAINING, epochs: 1 };
    const data = blobs();
    await expect(fit(failed, data, { ...options, callbacks: [make(narrow())] })).rejects.toThrow(
      'have shape [5]',
    );
    for (const model of [failed, fresh]) {
      await fit(model, data, { ...options, callbacks: [make(data)] });
    }
    expect(Object.values(snapshot(failed))).toEqual(Object.values(snapshot(fresh)));
  });
});

it('iterativePruning adds no mask where epochs are too few or dropout cannot follow', async () => {
  const model = network();
  const before = looksOf(model);
  const options = { ...rounds, granularity: 'element' } as const;
  const run = (callback: FitCallback, epochs: number) =>
    fit(model, blobs(), { ...TRAINING, epochs, callbacks: [callback] });
  await expect(run(iterativePruning({ ...options, rounds: 3 }), 2)).rejects.toThrow(
    'take 3 epochs',
  );
  await expect(run(iterativePruning({ ...options, adjustDropout: true }), 1)).rejects.toThrow();
  expect({ ...looksOf(model), tensors: 0 }).toEqual({ ...before, tensors: 0 });
});

it('masks of a callback that fails later stay where they hide something, and go where not', async () => {
  const model = network();
  const schedule = (step: number) => (step === 0 ? 0.5 : 2);
  const callback = gradualPruning({
    schedule,
    every: 1,
    granularity: 'element',
    targets: 'hidden',
  });
  const late = gradualPruning({ schedule: () => 0, granularity: 'element', targets: 'output' });
  await expect(
    fit(model, blobs(), { ...TRAINING, epochs: 1, callbacks: [callback, late] }),
  ).rejects.toThrow('schedule(1)');
  expect(parametrizedWeights(model).map(({ layer }) => layer.name)).toEqual(['hidden', 'output']);
  const never = network();
  const later = gradualPruning({
    schedule: (step) => (step < 2 ? 0 : 2),
    every: 1,
    ...{ granularity: 'element' },
  });
  await expect(fit(never, blobs(), { ...TRAINING, epochs: 1, callbacks: [later] })).rejects.toThrow(
    'schedule(2)',
  );
  expect(parametrizedWeights(never)).toEqual([]);
});
