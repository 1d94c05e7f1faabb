// The options of `quantize`, checked and completed.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkInteger, checkOptions, NoMatchError, OptionError } from '@thimble/base';
import { type FitData, kernelLayers, type LayerTargets, type PassOptions } from '@thimble/core';
import { type AdaRoundLearning, checkLearning, LEARNING } from './adaround.ts';
import type { EqualizeOptions } from './equalize.ts';
import { checkFixedQuant, type FixedQuantOptions, type WeightRanges } from './fixed-quant.ts';
import type { Observer } from './observer.ts';

/** What has a range of its own: a weight, each of its output channels, every so many of its inputs. */
export type QuantizeGranularity = 'tensor' | 'channel' | { group: number };

/** How {@link quantize} quantises what layers get. */
export interface PostTrainingActivations {
  /** Bits, 2 to 16. Default 8. */
  bits?: number;
  /** True for ranges [-a, a]. Default false. */
  symmetric?: boolean;
  /** Makes the observer that finds the range of one input. Default `observers.minMax`. */
  observer?: () => Observer;
}

/** Options of {@link quantize}. */
export interface QuantizeOptions extends PassOptions {
  /** Bits of the weights, 2 to 16. Default 8. With type 'float' 16. */
  bits?: number;
  /** 'float' for half precision of kernels and biases. Default 'integer'. */
  type?: 'integer' | 'float';
  /** 'symmetric' (default): codes around 0, equally far both ways. 'affine': from the smallest weight to the largest. */
  scheme?: 'symmetric' | 'affine';
  /** Default 'channel'. */
  granularity?: QuantizeGranularity;
  /** How ranges of weights are found. Default 'minMax'. */
  ranges?: WeightRanges;
  /** The layers whose kernels are quantised: names, patterns or a function. Default all. */
  targets?: LayerTargets;
  /** Other bits for some layers, by name; false leaves a layer as it is. */
  perLayer?: Readonly<Record<string, number | false>>;
  /** Examples like those that the model will see. With them activations are quantised too. */
  calibration?: FitData;
  /**
   * How the inputs of layers are quantised: bits, more options, or false for not at all. Default 8 bits where
   * there is calibration data and type is 'integer'.
   */
  activations?: number | PostTrainingActivations | false;
  /** How many of them are used, from the first. Default 1000. */
  examples?: number;
  /** Whether batch normalisation becomes part of the layers before it first. Default true. */
  foldBatchNorm?: boolean;
  /** Whether channels are scaled first so that layers lose less, as by `equalize`, or how. Default false. */
  equalize?: boolean | EqualizeOptions;
  /**
   * How weights are rounded: to the nearest code (default), or as AdaRound learns from the calibration data
   * (`adaRound`), with its settings.
   */
  rounding?: 'nearest' | 'adaptive' | AdaRoundLearning;
  /** Whether biases make up for what rounding adds on average, as by `correctBias`. Default false. */
  biasCorrection?: boolean;
}

const KNOWN = [
  'bits',
  'type',
  'scheme',
  'granularity',
  'ranges',
  'targets',
  'perLayer',
  'calibration',
  'activations',
  'examples',
  'foldBatchNorm',
  'equalize',
  'rounding',
  'biasCorrection',
  'batchSize',
  'progress',
  'signal',
] satisfies (keyof QuantizeOptions)[];

/** Options with their defaults. */
export type ResolvedQuantize = QuantizeOptions &
  Required<Pick<QuantizeOptions, 'bits' | 'type' | 'perLayer' | 'examples' | 'foldBatchNorm'>>;

export function resolveQuantize(options: QuantizeOptions): ResolvedQuantize {
  checkOptions(OWNER, options, KNOWN);
  const { type = 'integer', perLayer = {}, examples = 1000, foldBatchNorm = true } = options;
  const { bits = type === 'float' ? 16 : 8 } = options;
  if (type !== 'integer' && type !== 'float') {
    throw new OptionError(`${OWNER}: type must be integer or float, not "${String(type)}".`);
  }
  if (type === 'float') {
    if (bits !== 16) throw new OptionError(`${OWNER}: type 'float' has 16 bits, not ${bits}.`);
    const integer = ['scheme', 'granularity', 'ranges', 'perLayer'] as const;
    const given = integer.find((name) => options[name] !== undefined);
    if (given) throw new OptionError(`${OWNER}: ${given} does not go with type 'float'.`);
  } else {
    checkFixedQuant(OWNER, fixedQuantOptions(options, bits));
    for (const [layer, own] of Object.entries(perLayer)) {
      if (own !== false) checkInteger(OWNER, `perLayer.${layer}`, own, 2, 16);
    }
  }
  checkInteger(OWNER, 'examples', examples, 1);
  checkSteps(options, type, foldBatchNorm);
  checkActivations(options, type);
  return { ...options, type, bits, perLayer, examples, foldBatchNorm };
}

const OWNER = 'quantize';

/** Checks what is done besides rounding to nearest. */
function checkSteps(
  { equalize, rounding = 'nearest', biasCorrection, calibration }: QuantizeOptions,
  type: string,
  foldBatchNorm: boolean,
): void {
  if (equalize && !foldBatchNorm) {
    throw new OptionError(`${OWNER}: equalize needs foldBatchNorm.`);
  }
  if (typeof rounding === 'object') {
    checkOptions(`${OWNER} rounding`, rounding, LEARNING);
    checkLearning(`${OWNER} rounding`, rounding);
  } else if (rounding !== 'nearest' && rounding !== 'adaptive') {
    throw new OptionError(
      `${OWNER}: rounding must be nearest, adaptive or settings of AdaRound, not "${String(rounding)}".`,
    );
  }
  const adaptive = rounding !== 'nearest';
  if (adaptive && type === 'float') {
    throw new OptionError(`${OWNER}: rounding does not go with type 'float'.`);
  }
  if (calibration === undefined && (adaptive || biasCorrection)) {
    const what = adaptive ? 'adaptive rounding' : 'biasCorrection';
    throw new OptionError(`${OWNER}: ${what} needs calibration, some examples to look at.`);
  }
}

function checkActivations({ activations, calibration }: QuantizeOptions, type: string): void {
  if (activations === undefined || activations === false) return;
  const given = typeof activations === 'number' ? { bits: activations } : activations;
  checkOptions(`${OWNER} activations`, given, ['bits', 'symmetric', 'observer']);
  checkInteger(OWNER, 'activations.bits', given.bits ?? 8, 2, 16);
  if (type === 'float') {
    throw new OptionError(`${OWNER}: activations are not quantised with type 'float'.`);
  }
  if (calibration === undefined) {
    throw new OptionError(`${OWNER}: activations needs calibration, some examples to look at.`);
  }
}

/** How activations are quantised; undefined where they are not. */
export function activationsOf({
  activations,
  calibration,
  type,
}: QuantizeOptions): PostTrainingActivations | undefined {
  if (activations === false || calibration === undefined || type === 'float') return undefined;
  return typeof activations === 'number' ? { bits: activations } : (activations ?? {});
}

/** What the transform of a layer's kernels is to be. */
export function fixedQuantOptions(
  { scheme = 'symmetric', granularity = 'channel', ranges }: QuantizeOptions,
  bits: number,
): FixedQuantOptions {
  if (scheme !== 'symmetric' && scheme !== 'affine') {
    throw new OptionError(`${OWNER}: scheme must be symmetric or affine, not "${String(scheme)}".`);
  }
  const group = (granularity as { group?: number })?.group;
  if (granularity !== 'tensor' && granularity !== 'channel' && group === undefined) {
    throw new OptionError(
      `${OWNER}: granularity must be tensor, channel or { group: size }, not ${JSON.stringify(granularity)}.`,
    );
  }
  const symmetric = scheme === 'symmetric';
  return {
    bits,
    ...(symmetric ? { symmetric, narrowRange: true } : {}),
    ...(granularity === 'channel' ? { perChannel: true } : {}),
    ...(group === undefined ? {} : { groupSize: group }),
    ...(ranges === undefined ? {} : { ranges }),
  };
}

/** Throws for a name in `perLayer` that no layer with a kernel has. */
export function checkPerLayer(
  model: LayersModel,
  perLayer: Readonly<Record<string, unknown>>,
): void {
  const names = kernelLayers(OWNER, model).map(({ name }) => name);
  for (const name of Object.keys(perLayer)) {
    if (names.includes(name)) continue;
    throw new NoMatchError(
      `${OWNER}: perLayer names "${name}", which is none of the layers with kernels: ${names.join(', ')}.`,
    );
  }
}
