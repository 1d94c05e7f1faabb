// The steps `train` and `encode`.
import { OptionError } from '@thimble/base';
import type { EncodeOptions } from '@thimble/io';
import { activationPlaces } from '@thimble/quantization';
import type { StepKind } from '../step.ts';
import { TRAINING, type TrainingOptions, train } from '../training.ts';

/** Options of `steps.train`. */
export interface TrainStepOptions extends TrainingOptions {
  /** Default 1. */
  epochs?: number;
}

export const trainStep: StepKind<TrainStepOptions> = {
  name: 'train',
  description: 'Trains the network, with whatever the steps before have made of it.',
  properties: {
    epochs: { description: 'Default 1.', type: 'integer', minimum: 1 },
    ...TRAINING,
  },
  async run(job, options) {
    await train(job, options.epochs ?? 1, options);
  },
};

/** Options of `steps.encode`: those of `encode` but for the report, which `compress` writes. */
export type EncodeStepOptions = Omit<
  EncodeOptions,
  'report' | 'preprocessing' | 'progress' | 'signal'
> & {
  /** What is to be done to inputs, in words. */
  preprocessing?: string;
};

const FORMS = ['sparse', 'codebook', 'int8', 'int4', 'binary', 'float16', 'float32'];

export const encodeStep: StepKind<EncodeStepOptions> = {
  name: 'encode',
  description: 'Says how the file is written.',
  properties: {
    weights: {
      description: 'A form for all kernels, or forms by layer or weight; default what each has.',
      anyOf: [{ enum: FORMS }, { type: 'object', additionalProperties: { enum: FORMS } }],
    },
    entropy: {
      description: 'How codes become bits; default whatever is smallest.',
      enum: ['huffman', 'arithmetic', 'none'],
    },
    lambda: {
      description: 'How much squared error a bit is worth; 0.0001 to 0.05, default 0: none.',
      type: 'number',
      minimum: 0,
    },
    indexBits: {
      description: 'Bits of the distance between kept weights; default whatever is smallest.',
      type: 'integer',
      minimum: 1,
      maximum: 8,
    },
    labels: { description: 'Names of the classes.', type: 'array', items: { type: 'string' } },
    preprocessing: { description: 'What is to be done to inputs, in words.', type: 'string' },
  },
  async run(job, options) {
    const changed = options.weights !== undefined || (options.lambda ?? 0) > 0;
    if (changed && activationPlaces(job.model).length > 0) {
      throw new OptionError(
        'steps.encode: weights and lambda change weights that were rounded together with activations. Leave ' +
          'them out, or quantise without activations.',
      );
    }
    job.encoding(options);
  },
};
