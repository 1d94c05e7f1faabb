// The step `slimmable`: one network of several widths.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { summarize } from '@thimble/core';
import { setWidth, toSlimmable } from '@thimble/dynamic';
import type { Attribute } from '@thimble/graph';
import { keepMasks } from '../masks.ts';
import { scores } from '../measure.ts';
import type { StepKind } from '../step.ts';
import { epochsSchema, TRAINING, type TrainingOptions, train } from '../training.ts';

/** Options of `steps.slimmable`. */
export interface SlimmableStepOptions extends Omit<TrainingOptions, 'teacher'> {
  /** Parts of the channels, 1 among them; default 0.25, 0.5, 0.75 and 1. */
  widths?: readonly number[];
  /** In each step the largest width, the smallest and so many others; default all of them. */
  sandwich?: number;
  /** Epochs of training; default 2. */
  epochs?: number;
}

const WIDTHS = [0.25, 0.5, 0.75, 1];
const { teacher: _, ...training } = TRAINING;

export const slimmableStep: StepKind<SlimmableStepOptions> = {
  name: 'slimmable',
  description: 'Makes one network of several widths, and trains all of them together.',
  properties: {
    widths: {
      description: 'Parts of the channels, 1 among them; default 0.25, 0.5, 0.75 and 1.',
      type: 'array',
      items: { type: 'number', exclusiveMinimum: 0, maximum: 1 },
      minItems: 1,
    },
    sandwich: {
      description: 'In each step the largest, the smallest and so many others; default all.',
      type: 'integer',
      minimum: 0,
    },
    epochs: epochsSchema('Epochs of training; default 2.'),
    ...training,
  },
  async run(job, options) {
    const { widths = WIDTHS, sandwich, epochs = 2 } = options;
    const slimmable = await toSlimmable(job.model, { widths });
    await keepMasks(job.model, slimmable);
    job.replace(slimmable);
    await train(job, epochs, options, { widths: sandwich === undefined ? {} : { sandwich } });
    const measured = await atEveryWidth(job.model, widths, async () => ({
      macs: summarize(job.model).total.macs,
      validation: await scores(job, job.model, job.validation),
    }));
    job.note({ widths: measured });
  },
};

/** What `measure` finds at each width, from the smallest; the model is left at full width. */
export async function atEveryWidth(
  model: LayersModel,
  widths: readonly number[],
  measure: () => Promise<Record<string, Attribute>>,
): Promise<Attribute[]> {
  const found: Attribute[] = [];
  for (const width of [...widths].sort((a, b) => a - b)) {
    setWidth(model, width);
    found.push({ width, ...(await measure()) });
  }
  setWidth(model, 1);
  return found;
}
