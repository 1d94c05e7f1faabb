// What a layer gets and gives, seen through transforms: the counterpart of weight transforms for activations.
import type { Scalar, serialization, Tensor, Variable } from '@tensorflow/tfjs-core';
import type { ActivationCode } from '@thimble/graph';
import type { Context } from './context.ts';
import type { Layer } from './internals.ts';
import { Registry } from './registry.ts';

/** Where a call transform lives, and a place for its own state. */
export interface CallSite {
  readonly layer: Layer;
  /** How many tensors the layer gets at a call. */
  readonly inputs: number;
  /**
   * Adds a weight of the transform's own to the layer, so that it is saved, loaded, checkpointed and, if
   * `trainable`, trained with it.
   */
  addWeight(name: string, shape: number[], initial: Tensor | number, trainable: boolean): Variable;
}

/** How the activations at a layer are coded, for a graph of plain data; null where they are not. */
export interface CallCodes {
  inputs?: (ActivationCode | null)[];
  output?: ActivationCode | null;
}

/**
 * Takes part in the call of a layer. `S` is its own state at one layer, made by `build`; the object itself
 * holds options only. All methods but `build` run inside a tidy.
 */
export interface CallTransform<S = unknown> {
  /** Name under which `registerCallTransform` knows it, for loading; prefixed with Thimble. */
  getClassName(): string;
  /** Options; string values must be in camelCase or start with a capital (TensorFlow.js rewrites them). */
  getConfig(): serialization.ConfigDict;
  build(site: CallSite): S;
  /**
   * The output of the layer. `run` is the layer itself, or the next transform; the layer's weights are
   * seen through their chains meanwhile.
   */
  call(
    run: (inputs: Tensor[]) => Tensor | Tensor[],
    inputs: Tensor[],
    state: S,
    context: Context,
  ): Tensor | Tensor[];
  /** A term added to the loss; reaches tfjs's own model.fit too. */
  penalty?(state: S, context: Context): Scalar;
  /**
   * Of a transform that keeps running statistics of its batches. While `recalibrateBatchNorm` has set a
   * momentum here they move with it at every training call, whatever else would hold them.
   */
  statistics?: { momentum?: number };
  /** For `lower`. */
  codes?(state: S): CallCodes;
}

/** Makes a call transform from what its `getConfig` returned. */
export type CallTransformFactory = (config: serialization.ConfigDict) => CallTransform;

const callTransforms = new Registry<CallTransform>('call transform');

/**
 * Makes a kind of call transform known for loading saved models, as `registerTransform` does for
 * transforms of weights.
 *
 * @throws {OptionError} when another one has the name already.
 * @example
 * registerCallTransform('MyNoise', () => noise());
 */
export function registerCallTransform(className: string, factory: CallTransformFactory): void {
  callTransforms.register(className, factory);
}

/** The call transform that was saved as `saved`. */
export function callTransformFromConfig(saved: serialization.ConfigDict): CallTransform {
  return callTransforms.create(saved);
}
