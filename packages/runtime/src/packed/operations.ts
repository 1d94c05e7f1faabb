// What a packed network computes, before kernels are chosen: convolutions and dense layers with what is fused into
// them, and the few operations beside.
import type { Encoding } from '@thimble/base';
import type { ActivationCode } from '@thimble/graph';
import type { Kernel } from './lists.ts';
import type { Weight } from './node-weights.ts';
import type { Value } from './values.ts';
import type { Window } from './windows.ts';

/** An activation function that is more than a cut; see `activate` of the kernels. */
export interface Curve {
  kind: number;
  alpha: number;
  beta: number;
}

/** What every operation ends with: a cut to low ... high, a curve, a rounding to codes. */
export interface Ending {
  low: number;
  high: number;
  curve?: Curve | 'softmax';
  round?: ActivationCode;
}

/** A gate that must be open, or closed. */
export interface Condition {
  /** A vector of gates, open where a value is above 0. */
  gates: Value;
  entry: number;
  open: boolean;
}

interface Common extends Ending {
  layer: string;
  output: Value;
  /** It is computed for those examples alone for which all of these hold; default for all. */
  when?: Condition[];
  /** Why it is computed in this way, where that is worth a word. */
  why?: string;
}

/** The signs that a binary layer computes with: of scale x + shift, by channel. */
export interface Signs {
  scale: Float32Array;
  shift: Float32Array;
  /** Whether the product is multiplied by the mean magnitude of scale x + shift. */
  magnitude: boolean;
}

/**
 * A convolution, y = scale (x * w) + bias, with what is fused: batch normalisation is in scale and bias, residual
 * is added before the cut.
 */
export interface Conv extends Common {
  kind: 'conv';
  input: Value;
  kernel: Kernel;
  window: Window;
  encoding: Encoding;
  scale: Float32Array;
  bias: Float32Array;
  residual?: Value;
  codes?: ActivationCode;
  signs?: Signs;
}

/** A dense layer on a vector; its weight is [in, out]. */
export interface Dense extends Common {
  kind: 'dense';
  input: Value;
  weight: Weight;
  inputs: number;
  outputs: number;
  encoding: Encoding;
  scale: Float32Array;
  bias: Float32Array;
  codes?: ActivationCode;
  signs?: Signs;
  /** Whether many inputs are zero, as behind a ReLU. */
  someZero: boolean;
}

export interface Pool extends Common {
  kind: 'pool';
  input: Value;
  /** None: over all of the image. */
  window?: Window;
  mean: boolean;
}

/** y = scale x + shift by channel. */
export interface Scale extends Common {
  kind: 'scale';
  input: Value;
  scale: Float32Array;
  shift: Float32Array;
}

/** From left to right; then all times `factor`. */
export interface Combine extends Common {
  kind: 'combine';
  inputs: Value[];
  how: number;
  factor: number;
}

export interface Concatenate extends Common {
  kind: 'concatenate';
  inputs: Value[];
}

/** The same values in another shape, as tf.layers has them: by row, column, channel. */
export interface Reshape extends Common {
  kind: 'reshape';
  input: Value;
}

export interface Pad extends Common {
  kind: 'pad';
  input: Value;
  top: number;
  left: number;
}

/** Values in another order: places of the input by channel and by pixel, see `View`. */
export interface Rearrange extends Common {
  kind: 'rearrange';
  input: Value;
  channels: Int32Array;
  pixels: Int32Array;
}

export type Operation =
  | Conv
  | Dense
  | Pool
  | Scale
  | Combine
  | Concatenate
  | Reshape
  | Pad
  | Rearrange;

/** A network of operations, in the order in which they run. */
export interface Network {
  operations: Operation[];
  inputs: { name: string; shape: number[]; value: Value }[];
  outputs: { name: string; shape: number[]; value: Value }[];
  /** Values that are only needed where a gate is open. */
  gated: Gated[];
}

/** A value that is zero where a gate is closed. */
export interface Gated {
  value: Value;
  gates: Value;
  entry: number;
}
