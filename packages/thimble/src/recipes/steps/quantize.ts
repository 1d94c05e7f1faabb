// The step `quantize`: fewer bits, after training or trained with.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { OptionError } from '@thimble/base';
import { parametrizedWeights, walkLayers } from '@thimble/core';
import { widthsOf } from '@thimble/dynamic';
import {
  calibrateActivations,
  fuseBatchNorm,
  type QuantizeAwareOptions,
  type QuantizeGranularity,
  quantizationAwareTraining,
  quantize,
  quantizeAware,
} from '@thimble/quantization';
import { keepMasks } from '../masks.ts';
import type { Job, StepKind } from '../step.ts';
import { epochsSchema, TRAINING, type TrainingOptions, train } from '../training.ts';

/** Options of `steps.quantize`. */
export interface QuantizeStepOptions extends TrainingOptions {
  /** Bits of the weights, 2 to 16; default 8. */
  bits?: number;
  /** Bits of what layers get; default: activations stay floats. */
  activations?: number;
  /** 'symmetric' (default) or 'affine'. */
  scheme?: 'symmetric' | 'affine';
  /** What has a range of its own; default 'channel'. */
  granularity?: QuantizeGranularity;
  /** Other bits for some layers, by name; false leaves a layer as it is. Without training only. */
  perLayer?: Readonly<Record<string, number | false>>;
  /** Rounding that is learned (AdaRound); default 'nearest'. Without training only. */
  rounding?: 'nearest' | 'adaptive';
  /** Whether biases make up for what rounding adds on average. Without training only. */
  biasCorrection?: boolean;
  /** Epochs of training with rounded weights; default 0: the network is quantised as it is. */
  epochs?: number;
}

const UNTRAINED = ['perLayer', 'rounding', 'biasCorrection'] as const;
/** Share of the training after which ranges and batch normalisation are held still. */
const FREEZE_AFTER = 0.7;
const OBSERVED = 20;
const CALIBRATION = 1000;

export const quantizeStep: StepKind<QuantizeStepOptions> = {
  name: 'quantize',
  description: 'Stores kernels, and if asked for activations, in a few bits.',
  properties: {
    bits: {
      description: 'Bits of the weights; default 8.',
      type: 'integer',
      minimum: 2,
      maximum: 16,
    },
    activations: {
      description: 'Bits of what layers get; default: they stay floats.',
      type: 'integer',
      minimum: 2,
      maximum: 16,
    },
    scheme: { description: 'Default symmetric.', enum: ['symmetric', 'affine'] },
    granularity: {
      description: 'What has a range of its own; default channel.',
      anyOf: [
        { enum: ['tensor', 'channel'] },
        {
          type: 'object',
          properties: { group: { type: 'integer', minimum: 1 } },
          required: ['group'],
          additionalProperties: false,
        },
      ],
    },
    perLayer: {
      description: 'Other bits for some layers, by name; false leaves a layer as it is.',
      type: 'object',
      additionalProperties: {
        anyOf: [{ type: 'integer', minimum: 2, maximum: 16 }, { enum: [false] }],
      },
    },
    rounding: { description: 'Default nearest.', enum: ['nearest', 'adaptive'] },
    biasCorrection: {
      description: 'Whether biases make up for what rounding adds on average.',
      type: 'boolean',
    },
    epochs: epochsSchema('Epochs of training with rounded weights; default 0.'),
    ...TRAINING,
  },
  check(owner, options) {
    const given = UNTRAINED.find((name) => options[name] !== undefined);
    if (given && (options.epochs ?? 0) > 0) {
      throw new OptionError(
        `${owner}: ${given} is for quantising without training; leave out epochs.`,
      );
    }
  },
  async run(job, options) {
    if (isCoded(job.model)) return roundShared(job, options);
    return (options.epochs ?? 0) > 0 ? quantizeTrained(job, options) : quantizeNow(job, options);
  },
};

/** True where kernels are stored as codes already, as after `cluster`. */
function isCoded(model: LayersModel): boolean {
  return parametrizedWeights(model).some((weight) => weight.encoding().values.type !== 'float');
}

async function quantizeNow(job: Job, options: QuantizeStepOptions): Promise<void> {
  const { bits, activations, scheme, granularity, perLayer, rounding, biasCorrection } = options;
  const looks = activations !== undefined || rounding === 'adaptive' || biasCorrection === true;
  const smaller = await quantize(job.model, {
    ...Object.fromEntries(
      Object.entries({ bits, scheme, granularity, perLayer, rounding, biasCorrection }).filter(
        ([, value]) => value !== undefined,
      ),
    ),
    ...(looks ? { calibration: job.train, activations: activations ?? false } : {}),
    progress: job.progress,
    ...(job.signal ? { signal: job.signal } : {}),
  });
  await keepMasks(job.model, smaller);
  job.replace(smaller);
}

function awareOptions(options: QuantizeStepOptions): QuantizeAwareOptions {
  const { bits = 8, activations, scheme = 'symmetric', granularity = 'channel' } = options;
  const symmetric = scheme === 'symmetric';
  const group = typeof granularity === 'object' ? granularity.group : undefined;
  return {
    weights: {
      bits,
      symmetric,
      narrowRange: symmetric,
      ...(group === undefined
        ? { perChannel: granularity === 'channel' }
        : { perChannel: false, groupSize: group }),
    },
    activations: activations ?? false,
  };
}

async function quantizeTrained(job: Job, options: QuantizeStepOptions): Promise<void> {
  const { epochs = 0, activations } = options;
  if (widthsOf(job.model)) {
    quantizeAware(job.model, { ...awareOptions(options), ignore: normsOf(job.model) });
    await train(job, epochs, options);
    return;
  }
  const fused = await fuseBatchNorm(job.model);
  await keepMasks(job.model, fused);
  job.replace(fused);
  quantizeAware(fused, awareOptions(options));
  const steps = epochs * Math.ceil(job.train.size / (options.batchSize ?? 64));
  const observeSteps = Math.min(OBSERVED, Math.floor(steps / 4));
  const freezeRangesAfter = Math.max(1, observeSteps, Math.ceil(FREEZE_AFTER * steps));
  const stages = quantizationAwareTraining({ observeSteps, freezeRangesAfter });
  const callbacks = activations === undefined ? [] : [stages];
  await train(job, epochs, options, { callbacks });
}

/** Batch normalisation that stays a layer of its own: fused, each channel would have other values, or each width. */
function normsOf(model: LayersModel): string[] {
  return walkLayers(model)
    .filter((layer) => 'movingVariance' in layer)
    .map(({ name }) => name);
}

/** Rounds the shared values of kernels, and the activations if asked for. */
async function roundShared(job: Job, options: QuantizeStepOptions): Promise<void> {
  const given = UNTRAINED.find((name) => options[name] !== undefined);
  if (given) {
    throw new OptionError(
      `steps.quantize: ${given} does not go with weights that are shared already.`,
    );
  }
  const { model, train: calibration, progress, signal } = job;
  const { granularity: _, ...shared } = options;
  const { weights, ...aware } = awareOptions({ ...shared, granularity: 'tensor' });
  quantizeAware(model, { weights: weights!, ...aware, ignore: normsOf(model) });
  if (options.activations !== undefined) {
    const about = { progress, ...(signal ? { signal } : {}) };
    await calibrateActivations(model, { calibration, examples: CALIBRATION, ...about });
  }
  await train(job, options.epochs ?? 0, options);
}
