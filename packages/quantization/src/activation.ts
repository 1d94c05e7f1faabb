// What quantises activations, and how it is saved.
import * as tf from '@tensorflow/tfjs-core';
import { type ActivationCode, Registry } from '@thimble/core';
import { type Coded, untracked } from './codes.ts';

/** Ranges are watched, and nothing is rounded. */
export const OBSERVE = 0;
/** Activations are rounded, and ranges go on moving in training. The stage that layers begin with. */
export const QUANTIZE = 1;
/** Activations are rounded over ranges that stay. */
export const FROZEN = 2;

/** Where the activations of a quantiser are, and a place for its own state. */
export interface ActivationSite {
  /** Name of the layer. */
  readonly layer: string;
  /** As `CallSite.addWeight`. */
  addWeight(
    name: string,
    shape: number[],
    initial: tf.Tensor | number,
    trainable: boolean,
  ): tf.Variable;
}

/** The moment in which activations are quantised. */
export interface ActivationMoment {
  readonly training: boolean;
  /** Whether the layer is trained. */
  readonly trainable: boolean;
  /** {@link OBSERVE}, {@link QUANTIZE} or {@link FROZEN}. */
  readonly stage: number;
}

/**
 * Quantises the activations at one place. `S` is its own state there; the object itself holds options
 * only. One object may be a transform of weights too, under the same class name.
 */
export interface ActivationQuantizer<S = unknown> {
  /** Name under which `registerActivationQuantizer` knows it; prefixed with Thimble. */
  getClassName(): string;
  getConfig(): tf.serialization.ConfigDict;
  buildActivation(site: ActivationSite): S;
  /** The codes; undefined where nothing is to be rounded: while observing, and before any range is known. */
  quantize(x: tf.Tensor, state: S, moment: ActivationMoment): Coded | undefined;
  /** The code of the range that is known now; undefined where there is none. */
  activationCode(state: S): ActivationCode | undefined;
  /** A term added to the loss. */
  activationPenalty?(state: S): tf.Scalar;
  /** Sets the range, where it is not learned. */
  setRange?(state: S, min: number, max: number): void;
}

type Factory = (config: tf.serialization.ConfigDict) => ActivationQuantizer;
const quantizers = new Registry<ActivationQuantizer>('activation quantiser');

/**
 * Makes a kind of activation quantiser known for loading saved models.
 *
 * @throws {OptionError} when another one has the name already.
 * @example
 * registerActivationQuantizer('MyQuantizer', () => lsq({ bits: 4 }));
 */
export function registerActivationQuantizer(className: string, factory: Factory): void {
  quantizers.register(className, factory);
}

/** The quantiser that was saved as `{ className, config }`. */
export function activationQuantizerFromConfig(
  saved: tf.serialization.ConfigDict,
): ActivationQuantizer {
  return quantizers.create(saved);
}

/**
 * The numbers of a small variable, read again only when it was changed; those of a trained one every time, as an
 * optimizer may change them where they are.
 */
export class Numbers {
  readonly variable: tf.Variable;
  #read: { dataId: object; values: Float32Array } | undefined;

  constructor(variable: tf.Variable) {
    this.variable = variable;
  }

  get values(): Float32Array {
    const { dataId, trainable } = this.variable;
    if (trainable || this.#read?.dataId !== dataId) {
      this.#read = { dataId, values: Float32Array.from(this.variable.dataSync()) };
    }
    return this.#read.values;
  }
}

/**
 * Whether there is something to round with that begins with data: `begin` sets it from the first training batch that is
 * rounded, and `ready` becomes 1. Not while observing.
 */
export function started(
  ready: Numbers,
  { training, trainable, stage }: ActivationMoment,
  begin: () => void,
): boolean {
  if (stage === OBSERVE) return false;
  if (ready.values[0] !== 0) return true;
  if (!training || !trainable) return false;
  untracked(() =>
    tf.tidy(() => {
      begin();
      ready.variable.assign(tf.scalar(1));
    }),
  );
  return true;
}
