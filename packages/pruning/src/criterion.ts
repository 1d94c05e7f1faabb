// What a pruning criterion is: scores from weights, gradients or activations; the lowest go.
import type { Tensor } from '@tensorflow/tfjs-core';
import type { Random } from '@thimble/base';
import type { Axes, ChannelGroup } from '@thimble/core';

/** What a criterion may need beside the weights. */
export type Need = 'gradients' | 'history' | 'initial';

/** What is known of one weight. */
export interface WeightEvidence {
  /** Name of the layer. */
  readonly layer: string;
  /** Name of the weight in its layer: 'kernel' ... */
  readonly weight: string;
  readonly shape: readonly number[];
  readonly axes: Axes;
  /** The values that the layer computes with: pruned ones are 0. */
  readonly values: Float32Array;
  /** 1 for what is kept so far, 0 for what is pruned already. */
  readonly kept: Uint8Array;
  /** The mean over the data of the loss's gradient by `values`; where `needs` has 'gradients'. */
  readonly gradient?: Float32Array;
  /** What {@link WeightCriterion.accumulate} has made of the steps so far; where `needs` has 'history'. */
  readonly history?: Float32Array;
  /** The values before training; where `needs` has 'initial'. */
  readonly initial?: Float32Array;
  /** Seeded, one stream per weight. */
  readonly random: Random;
}

/** How the scores of the entries of a unit become one. 'norm' is the root of the sum: for squares. */
export type Reduction = 'mean' | 'sum' | 'max' | 'norm';

/** A criterion that looks at entries of weights. Goes with every granularity. */
export interface WeightCriterion {
  readonly name: string;
  readonly level: 'weight';
  readonly needs: readonly Need[];
  /** Default 'mean': comparable between units of different sizes. */
  readonly reduction?: Reduction;
  /** A score for every entry; the lowest go. A new array, or `values` itself where that is the score. */
  score(evidence: WeightEvidence): ArrayLike<number>;
  /** For criteria that say themselves how much goes: units with a score below it. */
  threshold?(evidence: WeightEvidence): number;
  /** The running score after a step in training, from the weight and its gradient; inside a tidy. */
  accumulate?(running: Tensor, weight: Tensor, gradient: Tensor): Tensor;
  /** Examples that the gradients are taken over, where the caller does not say; default 512. */
  readonly examples?: number;
}

/** What is known of one kernel that makes or reads the channels of a group. */
export interface KernelEvidence {
  readonly layer: string;
  readonly weight: string;
  readonly shape: readonly number[];
  /** Values as the layer computes with them. */
  readonly values: Float32Array;
  /** The axis that the channels lie along, and the number of the channel for every index along it. */
  readonly axis: number;
  readonly channels: Int32Array;
  readonly axes: Axes;
}

/** What the channels of a group did for each example. Row by row: [examples, channels]. */
export interface ActivationEvidence {
  readonly examples: number;
  /** Mean over the positions of an example. */
  readonly mean: Float32Array;
  /** Share of the positions with exactly 0. */
  readonly zeros: Float32Array;
  /** Mean over the positions of activation times the loss's gradient by it; where asked for. */
  readonly taylor?: Float32Array;
  /** The class of each example: the largest of its labels. */
  readonly labels: Int32Array;
}

/**
 * What the channels contribute to the answers of the layers that read them. A sample is one output of one
 * such layer at one position of one example: x_j is the part of it that comes from channel j, y the sum over the
 * channels of the group.
 */
export interface ContributionEvidence {
  readonly samples: number;
  /** `[channels, channels]`: sums over the samples of x_i * x_j. */
  readonly gram: Float64Array;
  /** `[channels]`: sums over the samples of x_j * y, with y from the network as it was before pruning. */
  readonly correlations: Float64Array;
  /** The sum over the samples of y^2. */
  readonly energy: number;
}

/** What a channel criterion may need. */
export type ChannelNeed = 'activations' | 'taylor' | 'contributions';

/** What is known of a group of coupled channels, and how to ask for those of another. */
export interface ChannelEvidence {
  readonly group: ChannelGroup;
  /** The kernels that make the channels ('out'), read them ('in'), and the vectors along them ('through'). */
  readonly kernels: readonly (KernelEvidence & { role: 'out' | 'in' | 'through' })[];
  readonly activations?: ActivationEvidence;
  readonly contributions?: ContributionEvidence;
  readonly random: Random;
  /** The evidence of the group whose channels a layer makes; undefined for one that makes none. */
  madeBy(layer: string): ChannelEvidence | undefined;
}

/** A criterion that looks at whole channels. Goes with filters, neurons, channels and removal. */
export interface ChannelCriterion {
  readonly name: string;
  readonly level: 'channel';
  readonly needs: readonly ChannelNeed[];
  /** A score for every channel of the group; the lowest go. */
  score(evidence: ChannelEvidence): ArrayLike<number>;
  /** For criteria that say themselves how much goes: channels with a score below it. */
  threshold?(scores: ArrayLike<number>): number;
  /** Examples to look at, where the caller does not say; default 512. */
  readonly examples?: number;
}

/** Any criterion. */
export type Criterion = WeightCriterion | ChannelCriterion;
