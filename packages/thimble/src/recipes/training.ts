// How the steps train.
import { OptionError } from '@thimble/base';
import { type FitCallback, fit, type OptimizerName, schedules } from '@thimble/core';
import { distillationCallback } from '@thimble/distillation';
import {
  fitExits,
  type SlimmableTrainingOptions,
  slimmableTraining,
  widthsOf,
} from '@thimble/dynamic';
import type { Schema } from './schema.ts';
import type { Job } from './step.ts';

/** How the network is trained in a step. */
export interface TrainingOptions {
  /** Examples at a time; default 64. */
  batchSize?: number;
  /** Default 'adam'. */
  optimizer?: OptimizerName;
  /** Default 0.001. */
  learningRate?: number;
  /** 'cosine' (default): down to 0 along half a cosine wave, once pruning is over; or 'constant'. */
  schedule?: 'cosine' | 'constant';
  /**
   * True: the network as it was given teaches, beside the labels, with a temperature of 3 and a weight of 0.9; or
   * these two. Default false.
   */
  teacher?: boolean | { temperature?: number; alpha?: number };
}

/** The options that every step with training has. */
export const TRAINING: { readonly [Key in keyof TrainingOptions]-?: Schema } = {
  batchSize: { description: 'Examples at a time; default 64.', type: 'integer', minimum: 1 },
  optimizer: {
    description: 'Default adam.',
    enum: ['sgd', 'momentum', 'adagrad', 'adadelta', 'adam', 'adamax', 'rmsprop'],
  },
  learningRate: { description: 'Default 0.001.', type: 'number', exclusiveMinimum: 0 },
  schedule: {
    description: 'cosine (default): down to 0 once pruning is over.',
    enum: ['cosine', 'constant'],
  },
  teacher: {
    description: 'Whether the network as it was given teaches, beside the labels; default false.',
    anyOf: [
      { type: 'boolean' },
      {
        type: 'object',
        properties: {
          temperature: { description: 'Default 3.', type: 'number', exclusiveMinimum: 0 },
          alpha: {
            description: 'Weight of the teacher; default 0.9.',
            type: 'number',
            minimum: 0,
            maximum: 1,
          },
        },
        additionalProperties: false,
      },
    ],
  },
};

/** The schema of a number of epochs. */
export function epochsSchema(description: string): Schema {
  return { description, type: 'integer', minimum: 0 };
}

/** What a step adds to its training. */
interface Additions {
  callbacks?: readonly FitCallback[];
  /** Epochs for which the rate is held before it goes down. */
  held?: number;
  /** How the widths of a network of several are trained together. */
  widths?: SlimmableTrainingOptions;
}

/** Trains in place, all widths together where there are several. */
export async function train(
  job: Job,
  epochs: number,
  options: TrainingOptions,
  { callbacks = [], held = 0, widths = {} }: Additions = {},
): Promise<void> {
  if (epochs === 0) return;
  const { optimizer = 'adam', learningRate = 0.001, schedule = 'cosine' } = options;
  const { model, objective, validation, seed, progress, signal, checkpoint } = job;
  const exits = model.outputs.length > job.original.outputs.length;
  const run = exits ? fitExits : fit;
  await run(model, job.train, {
    epochs,
    batchSize: options.batchSize ?? 64,
    optimizer,
    learningRate:
      schedule === 'cosine' ? schedules.cosine(learningRate, { hold: held }) : learningRate,
    ...objective,
    validationData: validation,
    validationBatchSize: 256,
    callbacks: [
      ...callbacks,
      ...(widthsOf(model) ? [slimmableTraining(widths)] : []),
      ...teacherOf(job, options, exits),
    ],
    seed,
    progress,
    ...(signal ? { signal } : {}),
    ...(checkpoint === undefined ? {} : { checkpoint }),
  });
}

function teacherOf({ original }: Job, { teacher = false }: TrainingOptions, exits: boolean) {
  if (teacher === false) return [];
  if (exits) {
    throw new OptionError(
      'compress: a teacher cannot teach a network with early exits. Put the step "exits" later.',
    );
  }
  const { temperature = 3, alpha = 0.9 } = teacher === true ? {} : teacher;
  return [distillationCallback({ teacher: original, temperature, alpha })];
}
