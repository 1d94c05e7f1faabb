// The one idea: a weight is a stored tensor seen through a chain of transforms.
import type { Scalar, serialization, Tensor, Variable } from '@tensorflow/tfjs-core';
import type { Encoding } from '@thimble/base';
import type { Context } from './context.ts';
import type { Layer } from './internals.ts';

/** Which axis of a weight means what; -1 where the weight has no such axis. */
export interface Axes {
  /** Output units or filters. The channels of a depthwise kernel are both `out` and `in`. */
  out: number;
  /** Input units or channels. */
  in: number;
  /** Spatial axes of a convolution, height first. */
  space: number[];
  /** Number of gates packed side by side along `out` (4 for an LSTM, 3 for a GRU, else 1). */
  gates: number;
}

/** Where a transform lives: the layer and weight that it was given, and a place for its own state. */
export interface Site {
  /** Name of the layer. */
  readonly layer: string;
  /** The layer itself, for state that several links or a call transform of one layer share. */
  readonly owner: Layer;
  /** Name of the weight as the layer calls it: 'kernel', 'depthwiseKernel', 'recurrentKernel' ... */
  readonly weight: string;
  /** Names this link among all links of a model; for `Context.random`. */
  readonly key: string;
  readonly shape: number[];
  readonly axes: Axes;
  /** The stored weight, at which the chain begins. */
  readonly variable: Variable;
  /** False while the layer, or the stored weight, is frozen. */
  trained(): boolean;
  /**
   * The weight as this link gets it now, at test time: a new tensor. Zeros while a model is loaded. May be
   * called later too.
   */
  read(): Tensor;
  /** What the links of the chain as it is now say of the weight. */
  encoding(): Encoding;
  /**
   * Adds a weight of the transform's own (mask, range, gain, centroids) to the layer, so that it is
   * saved, loaded, checkpointed and, if `trainable`, trained with it.
   */
  addWeight(name: string, shape: number[], initial: Tensor | number, trainable: boolean): Variable;
}

/**
 * A link in the chain between a stored weight and the weight that the layer computes with.
 * `S` is the transform's own state at one site, made by `build`. The transform object itself holds
 * options only, so that one object can serve many layers. All methods but `build` run inside a tidy.
 */
export interface WeightTransform<S = unknown> {
  /** Name under which `registerTransform` knows it, for loading; prefixed with Thimble. */
  getClassName(): string;
  /** Options; string values must be in camelCase or start with a capital (TensorFlow.js rewrites them). */
  getConfig(): serialization.ConfigDict;
  build(site: Site): S;
  /**
   * For a first link that replaces the stored weight (a codebook, hashing); the stored one is frozen. Given
   * to `parametrize` for a weight that has a chain, it goes to the front.
   */
  source?(state: S, context: Context): Tensor;
  /** The weight that the next link, or the layer, sees. Owns its gradient (tf.customGrad). */
  apply(weight: Tensor, state: S, context: Context): Tensor;
  /**
   * A term added to the loss, from the weight as this link gets it; reaches tfjs's own model.fit too.
   */
  penalty?(weight: Tensor, state: S, context: Context): Scalar;
  /**
   * The stored weight after the optimizer's step: clipping, proximal steps, frozen parts. Run by
   * Thimble's `fit`, not for frozen layers; tfjs's own model.fit has no place for it.
   */
  update?(before: Tensor, after: Tensor, state: S, context: Context): Tensor;
  /**
   * The weight at test time, by the paper's rule; what `finalize` writes into the plain layer. Equal to
   * `apply` outside training.
   */
  bake(weight: Tensor, state: S): Tensor;
  /**
   * What this link says about the weight that it gets, as `bake` gets it; later links override
   * `values`, masks intersect.
   */
  encoding(weight: Tensor, state: S): Partial<Pick<Encoding, 'values' | 'mask'>>;
  /** True when the stored weight is not trained while this link sees it (a mask is learned instead). */
  readonly freezes?: boolean;
  /** True when `apply` draws random numbers. */
  readonly stochastic?: boolean;
}
