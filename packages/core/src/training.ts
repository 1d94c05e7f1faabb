// The words of the training loop: batches, steps and hooks. `fit` is the only loop; techniques change
// the step or hook into it.
import type { Scalar, Tensor, Variable } from '@tensorflow/tfjs-core';
import type { LayersModel, LayerVariable } from '@tensorflow/tfjs-layers';
import type { Random } from '@thimble/base';

/** Examples that can be drawn by number. A data set of `@thimble/data` is one. */
export interface BatchSource {
  readonly size: number;
  /** True when the same indices may give other tensors at the next call, as augmentation does. */
  readonly varies?: boolean;
  /** New tensors for the examples; `random` drives whatever varies. The caller disposes of them. */
  batch(indices: ArrayLike<number>, random?: Random): RawBatch;
}

/** What a source may answer: one tensor or several, under either pair of names. */
export type RawBatch =
  | { xs: Tensor | Tensor[]; ys: Tensor | Tensor[] }
  | { images: Tensor; labels: Tensor };

/** One mini-batch as steps and hooks see it. */
export interface Batch {
  readonly xs: Tensor[];
  readonly ys: Tensor[];
  /** Numbers of the examples in their source. */
  readonly indices: Uint32Array;
  readonly size: number;
}

/** What a step or hook can look at. */
export interface StepContext {
  readonly model: LayersModel;
  /** The trainable weights, then the hooks' own, in the order of `gradients`. */
  readonly variables: Variable[];
  /** Optimizer steps taken before this one, over all epochs. */
  readonly step: number;
  readonly epoch: number;
  /** With gradient accumulation: the micro-batch; in `gradients` and `afterStep` the last of them. */
  readonly batch: Batch;
  /** A generator for this step and key alone: the same when a resumed run repeats the step. */
  random(key: string): Random;
  /** Makes the optimizer forget its moments and accumulators, as rewinding the weights wants it. */
  resetOptimizer(): void;
}

/** What one step computes; `fit` averages, clips and applies it. */
export interface StepResult {
  loss: Scalar;
  /** Aligned with `context.variables`. */
  gradients: Tensor[];
  /** Further scalars to average over the epoch and show. */
  logs: Record<string, Scalar>;
  /** Further scalars to add up over the epoch and show: counts. */
  totals?: Record<string, Scalar>;
}

/** How a batch becomes a loss and gradients. Synchronous; `fit` calls it inside a tidy. */
export type Step = (context: StepContext, hooks: readonly TrainingHooks[]) => StepResult;

/** Values that a checkpoint can hold; numbers and typed arrays come back bit-identical. */
export type StateValue =
  | null
  | boolean
  | number
  | string
  | Float32Array
  | Int32Array
  | Uint8Array
  | Uint32Array
  | Float64Array
  | StateValue[]
  | { [key: string]: StateValue };

/** Places where a technique takes part in the training loop. All are optional. */
export interface TrainingHooks {
  /**
   * Weights of the hook's own that are trained with the model's and are no part of it: a regressor that
   * only the loss knows. Asked at every step. The optimizer's slots for them are in the checkpoint, their
   * values are what `state` and `restore` have to keep.
   */
  weights?(): LayerVariable[];
  /**
   * Around a whole step: calls `run` once or several times, each a forward pass with its loss and gradients
   * (in between a layer may be switched), and returns the loss, gradients and logs to go on with. Called
   * inside a tidy.
   */
  step?(run: () => StepResult, context: StepContext): StepResult;
  /**
   * Around the model's forward pass in training mode: calls `run` once and returns the outputs to go on
   * with. For what must see the layers at work (`withLayerOutputs`). Called inside the gradient's scope.
   */
  forward?(run: () => Tensor[], context: StepContext): Tensor[];
  /**
   * The loss of the batch before penalties, with the model's outputs in training mode; returns the
   * loss to go on with. Called inside the gradient's scope.
   */
  loss?(loss: Scalar, outputs: Tensor[], context: StepContext): Scalar;
  /** The gradients before clipping; returns those to go on with. Called inside a tidy. */
  gradients?(gradients: Tensor[], context: StepContext): Tensor[];
  /** After the optimizer, the transforms' updates and the constraints. */
  afterStep?(context: StepContext): void | Promise<void>;
  /** What a checkpoint must hold for this hook to go on as if it had never stopped. */
  state?(): StateValue | Promise<StateValue>;
  restore?(state: StateValue): void | Promise<void>;
}
