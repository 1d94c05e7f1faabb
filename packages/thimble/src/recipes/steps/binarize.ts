// The step `binarize`: weights of one bit.

import { OptionError } from '@thimble/base';
import { kernelLayers, kernelNames, parametrize } from '@thimble/core';
import { binaryConnect, binaryWeights } from '@thimble/quantization';
import type { StepKind } from '../step.ts';
import { epochsSchema, TRAINING, type TrainingOptions, train } from '../training.ts';
import { LAYERS } from './prune.ts';

/** Options of `steps.binarize`. */
export interface BinarizeStepOptions extends TrainingOptions {
  /**
   * 'scaled' (default): signs with a scale per filter (BWN), which any trained network takes; 'connect': signs
   * alone (BinaryConnect), for networks with batch normalisation.
   */
  method?: 'scaled' | 'connect';
  /** Layers whose kernels stay real; default those that give the outputs. */
  ignore?: readonly string[];
  /** Epochs of training; default 3. */
  epochs?: number;
}

export const binarizeStep: StepKind<BinarizeStepOptions> = {
  name: 'binarize',
  description: 'Stores kernels in one bit an entry.',
  properties: {
    method: {
      description: 'scaled (default): signs with a scale per filter; connect: signs alone.',
      enum: ['scaled', 'connect'],
    },
    ignore: {
      ...LAYERS,
      description: 'Layers whose kernels stay real; default those that give the outputs.',
    },
    epochs: epochsSchema('Epochs of training; default 3.'),
    ...TRAINING,
  },
  async run(job, options) {
    const { model } = job;
    const { method = 'scaled', epochs = 3 } = options;
    const layers = kernelLayers('steps.binarize', model);
    const outputs = new Set(model.outputs.map(({ sourceLayer }) => sourceLayer.name));
    const unknown = options.ignore?.find((name) => layers.every((layer) => layer.name !== name));
    if (unknown !== undefined) {
      throw new OptionError(
        `steps.binarize: ignore names "${unknown}", which is none of the layers with kernels: ` +
          `${layers.map(({ name }) => name).join(', ')}.`,
      );
    }
    const real = options.ignore ? new Set(options.ignore) : outputs;
    const chosen = layers.filter(({ name }) => !real.has(name));
    if (chosen.length === 0) {
      throw new OptionError(
        'steps.binarize: every layer with a kernel stays real. Name fewer in ignore.',
      );
    }
    const transform = method === 'scaled' ? binaryWeights() : binaryConnect();
    for (const layer of chosen) {
      parametrize(layer, Object.fromEntries(kernelNames(layer).map((name) => [name, [transform]])));
    }
    job.note({ layers: chosen.map(({ name }) => name) });
    await train(job, epochs, options);
  },
};
