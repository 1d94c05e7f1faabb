// The step `cluster`: shared weights.
import { OptionError } from '@thimble/base';
import { kernelLayers, layerWeight, matchLayers, parametrize } from '@thimble/core';
import { clusterWeights, fakeQuant, type KmeansStart } from '@thimble/quantization';
import type { StepKind } from '../step.ts';
import { epochsSchema, TRAINING, type TrainingOptions, train } from '../training.ts';
import { LAYERS } from './prune.ts';

/** Options of `steps.cluster`. */
export interface ClusterStepOptions extends TrainingOptions {
  /** Shared values of each kernel; default 16. */
  clusters?: number;
  /** Or their number in bits. */
  bits?: number;
  /** Other numbers of shared values for some layers, by name. */
  perLayer?: Readonly<Record<string, number>>;
  /** Where k-means begins; default 'linear'. */
  start?: KmeansStart;
  /** Names of the layers; default all with a kernel. */
  targets?: readonly string[];
  /** Bits of the biases; default: they stay floats. */
  biasBits?: number;
  /** Epochs of training the shared values; default 1. */
  epochs?: number;
}

export const clusterStep: StepKind<ClusterStepOptions> = {
  name: 'cluster',
  description: 'Lets the entries of each kernel share a few values, and trains these.',
  properties: {
    clusters: {
      description: 'Shared values of each kernel; default 16.',
      type: 'integer',
      minimum: 2,
      maximum: 65536,
    },
    bits: { description: 'Their number in bits.', type: 'integer', minimum: 1, maximum: 16 },
    perLayer: {
      description: 'Other numbers of shared values for some layers, by name.',
      type: 'object',
      additionalProperties: { type: 'integer', minimum: 2, maximum: 65536 },
    },
    start: {
      description: 'Where k-means begins; default linear.',
      enum: ['linear', 'density', 'random', 'kmeansPlusPlus'],
    },
    targets: LAYERS,
    biasBits: { description: 'Bits of the biases.', type: 'integer', minimum: 2, maximum: 16 },
    epochs: epochsSchema('Epochs of training the shared values; default 1.'),
    ...TRAINING,
  },
  check(owner, { clusters, bits }) {
    if (clusters !== undefined && bits !== undefined) {
      throw new OptionError(`${owner}: give either clusters or bits.`);
    }
  },
  async run(job, options) {
    const { model } = job;
    const { clusters, bits, perLayer = {}, start, targets, biasBits, epochs = 1 } = options;
    const all = kernelLayers('steps.cluster', model);
    matchLayers('steps.cluster: perLayer', all, [...Object.keys(perLayer), /./]);
    const size = bits === undefined ? { clusters: clusters ?? 16 } : { bits };
    for (const layer of matchLayers('steps.cluster', all, targets)) {
      const own = perLayer[layer.name];
      clusterWeights(model, {
        ...(own === undefined ? size : { clusters: own }),
        ...(start === undefined ? {} : { start }),
        targets: layer.name,
      });
      if (biasBits !== undefined && layerWeight(layer, 'bias')) {
        parametrize(layer, { bias: [fakeQuant({ bits: biasBits, symmetric: true })] });
      }
    }
    await train(job, epochs, options);
  },
};
