// The steps that make the network itself smaller: channels that are removed, kernels that are factored.

import { type DecomposeMethod, decompose, decomposeReport } from '@thimble/architecture';
import { OptionError } from '@thimble/base';
import type { Attribute } from '@thimble/graph';
import { removalReport, removeChannels } from '@thimble/pruning';
import { keepMasks } from '../masks.ts';
import type { StepKind } from '../step.ts';
import { epochsSchema, TRAINING, type TrainingOptions, train } from '../training.ts';
import { CRITERIA, type CriterionName, evidenceOf, LAYERS } from './prune.ts';

/** Options of `steps.removeChannels`. */
export interface RemoveChannelsStepOptions extends TrainingOptions {
  /** Share of the channels that goes, in [0, 1). */
  ratio?: number;
  /** Other shares for some layers, by name. */
  perLayer?: Readonly<Record<string, number>>;
  /** Default 'magnitude'. */
  criterion?: CriterionName;
  /** Whether channels compete within a layer (default) or over all of them. */
  scope?: 'layer' | 'global';
  /** Layers that stay whole. */
  ignore?: readonly string[];
  /** What the next layers do about what they miss; default 'none'. */
  compensation?: 'none' | 'mean' | 'scale' | 'leastSquares';
  /** Epochs of training afterwards; default 1. */
  epochs?: number;
}

const ratio = {
  description: 'Share of the channels that goes.',
  type: 'number',
  minimum: 0,
  exclusiveMaximum: 1,
} as const;

export const removeChannelsStep: StepKind<RemoveChannelsStepOptions> = {
  name: 'removeChannels',
  description: 'Removes whole channels and neurons: a smaller network of the same kind.',
  properties: {
    ratio,
    perLayer: {
      description: 'Other shares for some layers, by name.',
      type: 'object',
      additionalProperties: ratio,
    },
    criterion: { description: 'Default magnitude.', enum: Object.keys(CRITERIA) },
    scope: {
      description: 'Whether channels compete within a layer (default) or over all.',
      enum: ['layer', 'global'],
    },
    ignore: { ...LAYERS, description: 'Layers that stay whole.' },
    compensation: {
      description: 'What the next layers do about what they miss; default none.',
      enum: ['none', 'mean', 'scale', 'leastSquares'],
    },
    epochs: epochsSchema('Epochs of training afterwards; default 1.'),
    ...TRAINING,
  },
  check(owner, options) {
    if (options.ratio === undefined && options.perLayer === undefined) {
      throw new OptionError(`${owner}: give ratio, for example 0.5, or perLayer.`);
    }
  },
  async run(job, options) {
    const {
      ratio: share,
      perLayer,
      criterion = 'magnitude',
      scope,
      ignore,
      compensation,
    } = options;
    const smaller = await removeChannels(job.model, {
      ...evidenceOf(job),
      criterion: CRITERIA[criterion](),
      ...(share === undefined ? {} : { ratio: share }),
      ...(perLayer === undefined ? {} : { perLayer }),
      ...(scope === undefined ? {} : { scope }),
      ...(ignore === undefined ? {} : { ignore }),
      ...(compensation === undefined ? {} : { compensation }),
    });
    const groups = removalReport(smaller).map(({ name, size, removed }) => ({
      name,
      channels: size,
      removed: removed.length,
    }));
    job.note({ groups });
    await keepMasks(job.model, smaller);
    job.replace(smaller);
    await train(job, options.epochs ?? 1, options);
  },
};

/** Options of `steps.decompose`. */
export interface DecomposeStepOptions extends TrainingOptions {
  /** Default 'svd'. */
  method?: DecomposeMethod;
  /** For all layers alike, or 'vbmf'. */
  rank?: number | 'vbmf';
  /** The smallest ranks that keep this part of each kernel's squares; default 0.9. */
  energy?: number;
  /** What the whole network may take, as a share. */
  budget?: { macs?: number; bytes?: number };
  /** Names of the layers; default all that get smaller. */
  layers?: readonly string[];
  /** Epochs of training afterwards; default 1. */
  epochs?: number;
}

const part = (description: string) =>
  ({ description, type: 'number', exclusiveMinimum: 0, maximum: 1 }) as const;

export const decomposeStep: StepKind<DecomposeStepOptions> = {
  name: 'decompose',
  description: 'Replaces layers by chains of smaller ones whose product is close to their kernel.',
  properties: {
    method: { description: 'Default svd.', enum: ['svd', 'nmf', 'tucker2', 'cp'] },
    rank: {
      description: 'For all layers alike, or vbmf.',
      anyOf: [{ type: 'integer', minimum: 1 }, { enum: ['vbmf'] }],
    },
    energy: part("The smallest ranks that keep this part of each kernel's squares; default 0.9."),
    budget: {
      description: 'What the whole network may take, as a share of macs or bytes.',
      type: 'object',
      properties: { macs: part('Of the multiply-accumulates.'), bytes: part('Of the bytes.') },
      additionalProperties: false,
    },
    layers: { ...LAYERS, description: 'Names of layers; default all that get smaller.' },
    epochs: epochsSchema('Epochs of training afterwards; default 1.'),
    ...TRAINING,
  },
  async run(job, options) {
    const { method, rank, energy, budget, layers } = options;
    const { seed, progress, signal } = job;
    const smaller = await decompose(job.model, {
      ...(method === undefined ? {} : { method }),
      ...(rank === undefined ? {} : { rank }),
      ...(energy === undefined ? {} : { energy }),
      ...(budget === undefined ? {} : { budget }),
      ...(layers === undefined ? {} : { layer: layers }),
      seed,
      progress,
      ...(signal ? { signal } : {}),
    });
    const ranks = decomposeReport(smaller).layers.map(({ name, rank: found, error }) => ({
      name,
      rank: found as Attribute,
      error,
    }));
    job.note({ layers: ranks });
    job.replace(smaller);
    await train(job, options.epochs ?? 1, options);
  },
};
