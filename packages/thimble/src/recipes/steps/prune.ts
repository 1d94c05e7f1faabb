// The step `prune`: masks, in one go or in rounds with training in between.
import { OptionError } from '@thimble/base';
import {
  type Criterion,
  criteria,
  type Granularity,
  type IterativePruningOptions,
  iterativePruning,
  type PruneRule,
  prune,
} from '@thimble/pruning';
import type { Schema } from '../schema.ts';
import type { Job, StepKind } from '../step.ts';
import { epochsSchema, TRAINING, type TrainingOptions, train } from '../training.ts';

/** The criteria that a recipe can name: the first five for weights, the others for whole channels. */
export type CriterionName =
  | 'magnitude'
  | 'lamp'
  | 'random'
  | 'snip'
  | 'taylorWeight'
  | 'apoz'
  | 'batchNormScale'
  | 'geometricMedian'
  | 'meanActivation'
  | 'taylor'
  | 'thinet';

/** What makes them. */
export const CRITERIA: Readonly<Record<CriterionName, () => Criterion>> = {
  magnitude: () => criteria.magnitude(),
  lamp: () => criteria.lamp(),
  random: () => criteria.random(),
  snip: () => criteria.snip(),
  taylorWeight: () => criteria.taylorWeight(),
  apoz: () => criteria.apoz(),
  batchNormScale: () => criteria.batchNormScale(),
  geometricMedian: () => criteria.geometricMedian(),
  meanActivation: () => criteria.meanActivation(),
  taylor: () => criteria.taylor(),
  thinet: () => criteria.thinet(),
};

/** What is pruned, and how much. */
export interface PruneTargets {
  /** Share of the weights that is gone at the end, in [0, 1). */
  sparsity?: number;
  /** Other shares for some layers, by name. */
  perLayer?: Readonly<Record<string, number>>;
  /** Default 'magnitude'. */
  criterion?: CriterionName;
  /** Default 'element'; 'block' runs faster, 'filter' and 'neuron' take whole units. */
  granularity?: Granularity;
  /** Whether weights compete within a layer (default) or over all of them. */
  scope?: 'layer' | 'global';
  /** Names of the layers; default all with a kernel. */
  targets?: readonly string[];
  /** Rounds to reach the sparsity in; default 1. */
  rounds?: number;
}

/** Options of `steps.prune`. */
export interface PruneStepOptions extends PruneTargets, TrainingOptions {
  /** Epochs of training after each round; default 1. */
  epochs?: number;
  /** Epochs more after the last round; default 0. */
  fineTune?: number;
  /** Goes back to the round before, and prunes no more, where the accuracy on the validation data falls below this. */
  minAccuracy?: number;
  /**
   * Or where a round costs more accuracy on the training data than this, beside the round before. The training data
   * tells it, because the network may have been trained on all the rest, too.
   */
  maxDrop?: number;
}

const share = (description: string): Schema => ({
  description,
  type: 'number',
  minimum: 0,
  exclusiveMaximum: 1,
});

/** The schema of names of layers. */
export const LAYERS: Schema = {
  description: 'Names of layers; default all with a kernel.',
  type: 'array',
  items: { type: 'string' },
  minItems: 1,
};

/** The schema of what is pruned. */
export const TARGETS: { readonly [Key in keyof PruneTargets]-?: Schema } = {
  sparsity: share('Share of the weights that is gone at the end.'),
  perLayer: {
    description: 'Other shares for some layers, by name.',
    type: 'object',
    additionalProperties: share('Share of the weights of this layer that is gone at the end.'),
  },
  criterion: { description: 'Default magnitude.', enum: Object.keys(CRITERIA) },
  granularity: {
    description:
      'Default element; block, kernel, filter, neuron, channel, "2:4", { block: [2, 2] }.',
    anyOf: [
      { type: 'string' },
      {
        type: 'object',
        properties: {
          block: { type: 'array', items: { type: 'integer', minimum: 1 }, minItems: 1 },
        },
        required: ['block'],
        additionalProperties: false,
      },
    ],
  },
  scope: {
    description: 'Whether weights compete within a layer (default) or over all.',
    enum: ['layer', 'global'],
  },
  targets: LAYERS,
  rounds: {
    description: 'Rounds to reach the sparsity in; default 1.',
    type: 'integer',
    minimum: 1,
  },
};

/** Refuses targets that say nothing, or too much. */
export function checkTargets(owner: string, { sparsity, perLayer, scope }: PruneTargets): void {
  if (sparsity === undefined && perLayer === undefined) {
    throw new OptionError(`${owner}: give sparsity, for example 0.9, or perLayer.`);
  }
  if (perLayer && scope === 'global') {
    throw new OptionError(`${owner}: perLayer goes with scope "layer", not "global".`);
  }
}

/** The rule for the techniques of pruning. */
export function ruleOf({
  criterion = 'magnitude',
  granularity = 'element',
  scope,
  targets,
}: PruneTargets): PruneRule {
  return {
    criterion: CRITERIA[criterion](),
    granularity,
    ...(scope === undefined ? {} : { scope }),
    ...(targets === undefined ? {} : { targets }),
  };
}

/** What each round takes of what is left, so that after all of them the shares are reached. */
export function fractionsOf({
  sparsity = 0,
  perLayer,
  rounds = 1,
}: PruneTargets): Pick<IterativePruningOptions, 'rounds' | 'fraction' | 'perLayer'> {
  const fraction = (gone: number) => 1 - (1 - gone) ** (1 / rounds);
  const layers = Object.entries(perLayer ?? {}).map(([name, gone]) => [name, fraction(gone)]);
  return {
    rounds,
    fraction: fraction(sparsity),
    ...(perLayer ? { perLayer: Object.fromEntries(layers) as Record<string, number> } : {}),
  };
}

/** Where criteria look at examples. */
export function evidenceOf(
  job: Job,
): Pick<IterativePruningOptions, 'data' | 'loss' | 'seed' | 'signal'> {
  const { train: data, objective, seed, signal } = job;
  const loss = objective.loss as NonNullable<IterativePruningOptions['loss']>;
  return { data, loss, seed, ...(signal ? { signal } : {}) };
}

async function run(job: Job, options: PruneStepOptions): Promise<void> {
  const { model } = job;
  const { sparsity, perLayer, rounds = 1, epochs = 1, fineTune = 0 } = options;
  if (epochs === 0) {
    const { total, kept } = await prune(model, {
      ...ruleOf(options),
      ...evidenceOf(job),
      rounds,
      ...(sparsity === undefined ? {} : { sparsity }),
      ...(perLayer === undefined ? {} : { perLayer }),
    });
    job.note({ sparsity: 1 - kept / total });
    await train(job, fineTune, options);
    return;
  }
  const callback = iterativePruning({
    ...ruleOf(options),
    ...evidenceOf(job),
    ...fractionsOf(options),
    ...boundOf(job, options),
    fineTuneEpochs: epochs,
  });
  const held = (rounds - 1) * epochs;
  const callbacks = [callback];
  await train(job, held + epochs + fineTune, options, { callbacks, held });
  const { takenBack } = callback;
  if (takenBack) {
    const { checkpoint } = job;
    const own = checkpoint === undefined ? {} : { checkpoint: `${checkpoint}-after` };
    await train({ ...job, ...own }, fineTune, options);
  }
  job.note({
    rounds: callback.rounds.map(({ round, sparsity: gone, logs }) => ({
      round,
      sparsity: gone,
      ...(logs.accuracy === undefined ? {} : { accuracy: logs.accuracy }),
    })),
    ...(takenBack ? { takenBack } : {}),
  });
}

/** When a round has gone too far. There is no accuracy but of classes. */
function boundOf(
  { objective }: Job,
  { minAccuracy, maxDrop }: PruneStepOptions,
): Pick<IterativePruningOptions, 'bound'> {
  if (minAccuracy !== undefined) return { bound: { min: minAccuracy } };
  if (maxDrop === undefined || objective.metrics !== 'accuracy') return {};
  return { bound: { monitor: 'accuracy', drop: maxDrop } };
}

export const pruneStep: StepKind<PruneStepOptions> = {
  name: 'prune',
  description: 'Masks weights: at once with epochs 0, else in rounds with training after each.',
  properties: {
    ...TARGETS,
    epochs: epochsSchema('Epochs of training after each round; default 1.'),
    fineTune: epochsSchema('Epochs more after the last round; default 0.'),
    minAccuracy: {
      description: 'Back to the round before where the accuracy on validation data falls below.',
      type: 'number',
      minimum: 0,
      maximum: 1,
    },
    maxDrop: {
      description: 'Back to the round before where a round costs more training accuracy.',
      type: 'number',
      minimum: 0,
      maximum: 1,
    },
    ...TRAINING,
  },
  check(owner, options) {
    checkTargets(owner, options);
    const bounds = (['minAccuracy', 'maxDrop'] as const).filter(
      (name) => options[name] !== undefined,
    );
    if (bounds.length > 0 && options.epochs === 0) {
      throw new OptionError(`${owner}: ${bounds[0]} needs training after each round: give epochs.`);
    }
    if (bounds.length > 1) throw new OptionError(`${owner}: give either minAccuracy or maxDrop.`);
  },
  run,
};
