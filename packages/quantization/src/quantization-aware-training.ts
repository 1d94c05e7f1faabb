// The order of quantisation-aware training: watch, round, then hold ranges and statistics still.
import type { Tensor } from '@tensorflow/tfjs-core';
import type { LayersModel, layers } from '@tensorflow/tfjs-layers';
import { checkInteger, checkOptions, NoMatchError, OptionError } from '@thimble/base';
import { type StateValue, ThimbleCallback, walkLayers } from '@thimble/core';
import { FROZEN, OBSERVE, QUANTIZE } from './activation.ts';
import { freezeFusedNorms } from './fuse-batch-norm.ts';
import { type QuantizeAwareOptions, quantizeAware } from './quantize-aware.ts';
import { setStage } from './quantized-call.ts';

/** Options of {@link quantizationAwareTraining}. */
export interface QuantizationAwareTrainingOptions {
  /** Steps in which ranges are watched and activations are not rounded yet. Default 0. */
  observeSteps?: number;
  /** Steps after which the ranges of activations stay; default never. */
  freezeRangesAfter?: number;
  /**
   * Steps after which batch normalisation uses its running statistics, as at test time, and leaves them
   * as they are; default with the ranges.
   */
  freezeBatchNormAfter?: number;
  /** Quantises a model that is not quantised yet when training begins, with options of `quantizeAware`. */
  quantize?: QuantizeAwareOptions;
}

/**
 * Takes a model with quantised activations through the stages of training:
 *
 * 1. for `observeSteps` steps activations are watched, and not rounded; weights are rounded from the start
 * 2. then they are rounded, while their ranges go on moving
 * 3. after `freezeRangesAfter` steps the ranges stay, and with them the statistics of batch normalisation,
 *    which is then what it will be at test time (Krishnamoorthi 2018, section 3.2.2)
 *
 * Learned steps (`lsq`, `pact`) start after the first stage and go on being learned. Works in Thimble's
 * `fit`, where steps are counted over all epochs and a resumed run goes on in its stage, and in tfjs's own
 * `model.fit`. The model keeps the last stage.
 *
 * @throws {NoMatchError} when training begins with a model that has no quantised activations, unless
 *   `quantize` says how to.
 * @example
 * quantizeAware(model, { weights: { bits: 4 }, activations: { bits: 8 } });
 * await fit(model, train, {
 *   epochs: 1, optimizer: 'adam', loss: 'categoricalCrossentropy',
 *   callbacks: [quantizationAwareTraining({ observeSteps: 1, freezeRangesAfter: 2 })],
 * });
 */
export function quantizationAwareTraining(
  options: QuantizationAwareTrainingOptions = {},
): ThimbleCallback {
  return new QuantizationAwareTraining(options);
}

const OWNER = 'quantizationAwareTraining';
const KNOWN = ['observeSteps', 'freezeRangesAfter', 'freezeBatchNormAfter', 'quantize'];

class QuantizationAwareTraining extends ThimbleCallback {
  readonly #observe: number;
  readonly #freezeRanges: number;
  readonly #freezeNorms: number;
  readonly #quantize: QuantizeAwareOptions | undefined;
  #steps = 0;
  #norms: FrozenNorm[] = [];

  constructor(options: QuantizationAwareTrainingOptions) {
    super();
    checkOptions(OWNER, options, KNOWN);
    const { observeSteps = 0, freezeRangesAfter, freezeBatchNormAfter, quantize } = options;
    checkInteger(OWNER, 'observeSteps', observeSteps, 0);
    const never = Number.POSITIVE_INFINITY;
    for (const [name, steps] of Object.entries({ freezeRangesAfter, freezeBatchNormAfter })) {
      if (steps === undefined) continue;
      checkInteger(OWNER, name, steps, 0);
      if (name === 'freezeRangesAfter' && steps < Math.max(1, observeSteps)) {
        throw new OptionError(
          `${OWNER}: freezeRangesAfter is ${steps}; it takes at least observeSteps, and one step, to know ranges.`,
        );
      }
    }
    this.#observe = observeSteps;
    this.#freezeRanges = freezeRangesAfter ?? never;
    this.#freezeNorms = freezeBatchNormAfter ?? this.#freezeRanges;
    this.#quantize = quantize;
  }

  override setModel(model: LayersModel): void {
    super.setModel(model);
    if (this.#quantize && setStage(model, QUANTIZE) === 0) quantizeAware(model, this.#quantize);
  }

  override async onTrainBegin(): Promise<void> {
    const model = this.model as LayersModel;
    this.#steps = 0;
    if (setStage(model, this.#stage()) === 0) {
      throw new NoMatchError(
        `${OWNER}: model "${model.name}" has no quantised activations. Call quantizeAware(model) first, or give the option quantize.`,
      );
    }
  }

  override async onBatchBegin(): Promise<void> {
    const model = this.model as LayersModel;
    setStage(model, this.#stage());
    freezeFusedNorms(model, this.#steps >= this.#freezeNorms);
    if (!this.insideFit) this.#hold();
  }

  override forward(run: () => Tensor[]): Tensor[] {
    this.#hold();
    try {
      return run();
    } finally {
      this.#release();
    }
  }

  override async onBatchEnd(): Promise<void> {
    this.#release();
    this.#steps++;
  }

  /** Makes batch normalisation stay as it is, if it is time. */
  #hold(): void {
    if (this.#steps < this.#freezeNorms) return;
    this.#norms = walkLayers(this.model as LayersModel)
      .filter((layer) => layer.getClassName() === 'BatchNormalization')
      .map((layer) => new FrozenNorm(layer));
  }

  #release(): void {
    for (const norm of this.#norms) norm.release();
    this.#norms = [];
  }

  override state(): StateValue {
    return { steps: this.#steps };
  }

  override restore(state: StateValue): void {
    this.#steps = (state as { steps: number }).steps;
  }

  #stage(): number {
    if (this.#steps >= this.#freezeRanges) return FROZEN;
    return this.#steps < this.#observe ? OBSERVE : QUANTIZE;
  }
}

interface Calling {
  call(inputs: unknown, kwargs: Record<string, unknown>): unknown;
}

/** Batch normalisation that computes in training as at test time. */
class FrozenNorm {
  readonly #layer: Calling;
  readonly #own: boolean;
  readonly #call: Calling['call'];

  constructor(layer: layers.Layer) {
    const target = layer as unknown as Calling;
    this.#layer = target;
    this.#own = Object.hasOwn(layer, 'call');
    this.#call = target.call;
    target.call = (inputs, kwargs) =>
      this.#call.call(layer, inputs, { ...kwargs, training: false });
  }

  release(): void {
    if (this.#own) this.#layer.call = this.#call;
    else Reflect.deleteProperty(this.#layer, 'call');
  }
}
