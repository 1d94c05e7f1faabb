// The step `exits`: classifiers on the way, so that easy examples leave early.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { OptionError } from '@thimble/base';
import { summarize } from '@thimble/core';
import {
  chooseThresholds,
  type ExitPolicy,
  earlyExits,
  evaluateExits,
  fitExits,
  slimmableTraining,
  widthsOf,
} from '@thimble/dynamic';
import type { Attribute } from '@thimble/graph';
import type { StepKind } from '../step.ts';
import { epochsSchema } from '../training.ts';
import { atEveryWidth } from './slimmable.ts';

/** Options of `steps.exits`. */
export interface ExitsStepOptions {
  /** Layers after which there is an exit; default two, after about a third and two thirds of the work. */
  after?: readonly string[];
  /** Units of a hidden layer in each exit; default none. */
  hidden?: number;
  /** What becomes of images: 'flatten' (default) or 'average'. */
  pooling?: 'flatten' | 'average';
  /** 'frozen' (default) trains the exits alone; 'train' all together. */
  trunk?: 'frozen' | 'train';
  /** Default 'confidence'. */
  policy?: ExitPolicy;
  /** Accuracy that leaving early may cost on the validation data; thresholds are chosen by it. Default 0.002. */
  accuracyDrop?: number;
  /** Epochs of training; default 2. */
  epochs?: number;
  /** Default 64. */
  batchSize?: number;
  /** Default 0.001. */
  learningRate?: number;
}

export const exitsStep: StepKind<ExitsStepOptions> = {
  name: 'exits',
  description:
    'Puts early exits on the network, trains them and chooses when to leave, at every width.',
  properties: {
    after: {
      description: 'Layers after which there is an exit; default two, at thirds of the work.',
      type: 'array',
      items: { type: 'string' },
      minItems: 1,
    },
    hidden: { description: 'Units of a hidden layer in each exit.', type: 'integer', minimum: 1 },
    pooling: { description: 'Default flatten.', enum: ['flatten', 'average'] },
    trunk: {
      description: 'frozen (default): the exits alone are trained.',
      enum: ['frozen', 'train'],
    },
    policy: { description: 'Default confidence.', enum: ['confidence', 'entropy', 'patience'] },
    accuracyDrop: {
      description: 'Accuracy that leaving early may cost on the validation data; default 0.002.',
      type: 'number',
      minimum: 0,
      maximum: 1,
    },
    epochs: epochsSchema('Epochs of training; default 2.'),
    batchSize: { description: 'Default 64.', type: 'integer', minimum: 1 },
    learningRate: { description: 'Default 0.001.', type: 'number', exclusiveMinimum: 0 },
  },
  async run(job, options) {
    const { hidden, pooling, trunk = 'frozen', policy = 'confidence', epochs = 2 } = options;
    const { seed, progress, signal, checkpoint, validation, objective } = job;
    const after = options.after ?? placesAtThirds(job.model);
    const branchy = earlyExits(job.model, {
      after,
      head: {
        ...(hidden === undefined ? {} : { hidden }),
        ...(pooling === undefined ? {} : { pooling }),
      },
    });
    job.replace(branchy, { sharesLayers: true });
    const widths = widthsOf(branchy);
    const about = { progress, ...(signal ? { signal } : {}) };
    await fitExits(branchy, job.train, {
      epochs,
      trunk,
      batchSize: options.batchSize ?? 64,
      learningRate: options.learningRate ?? 0.001,
      ...objective,
      validationData: validation,
      validationBatchSize: 256,
      callbacks: widths ? [slimmableTraining()] : [],
      seed,
      ...about,
      ...(checkpoint === undefined ? {} : { checkpoint }),
    });
    const leaving = async (): Promise<Record<string, Attribute>> => {
      const { exits } = await evaluateExits(branchy, validation, { batchSize: 256, ...about });
      const accuracy = Math.max(0, exits.at(-1)!.accuracy - (options.accuracyDrop ?? 0.002));
      const chosen = await chooseThresholds(branchy, validation, {
        policy,
        accuracy,
        batchSize: 256,
        ...about,
      });
      const { threshold, macs, fractions } = chosen;
      return {
        exits: exits.map((exit) => ({ ...exit })),
        leave: { policy, threshold, accuracy: chosen.accuracy, macs, fractions },
      };
    };
    job.note(await leaving());
    if (Array.isArray(widths)) job.note({ widths: await atEveryWidth(branchy, widths, leaving) });
  },
};

/**
 * The layers after which a third and two thirds of the multiply-accumulates are done, each with what follows up to
 * the next layer that multiplies: batch normalisation, activation, pooling.
 */
function placesAtThirds(model: LayersModel): string[] {
  const { layers, total } = summarize(model);
  const end = layers.findLastIndex(({ macs }) => macs > 0);
  const places = [1 / 3, 2 / 3].map((share) => {
    let done = 0;
    let at = layers.findIndex(({ macs }) => {
      done += macs || 0;
      return done >= share * total.macs;
    });
    while (at + 1 < end && !(layers[at + 1]!.macs > 0)) at++;
    return at;
  });
  const names = new Set(places.filter((at) => at >= 0 && at < end).map((at) => layers[at]!.name));
  if (names.size > 0) return [...names];
  throw new OptionError(
    'steps.exits: the network has no layer before its output after which an exit would save work; name one in after.',
  );
}
