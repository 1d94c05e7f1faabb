// Real weights of which a layer sees only the signs, or little more.
import * as tf from '@tensorflow/tfjs-core';
import type { Context, Site } from '@thimble/core';
import { binarySign } from './sign.ts';

/** What a transform to signs knows of its place. */
export interface Latent {
  /** The stored weight. */
  variable: tf.Variable;
  /** False while it is frozen. */
  trained(): boolean;
  /** True when zeros of earlier links are pruned entries: nothing but masks can have made them. */
  keepsZeros: boolean;
}

const binary = new WeakSet<tf.Variable>();

/**
 * The place of a transform to signs. Notes the weight as binary, which `bop` asks for, unless the transform
 * needs more of the stored weight than its signs.
 */
export function latentAt({ variable, trained, encoding }: Site, signsOnly = true): Latent {
  if (signsOnly) binary.add(variable);
  return { variable, trained, keepsZeros: encoding().values.type === 'float' };
}

/** The signs of a weight, that of 0 being +1; with `zeros`, that of 0 being 0. */
export function signsOf(weight: tf.Tensor, zeros: boolean): tf.Tensor {
  return zeros ? tf.sign(weight) : binarySign(weight);
}

/** True where zeros of the weight must stay zeros. */
export function pruned(weight: tf.Tensor, { variable, keepsZeros }: Latent): boolean {
  return keepsZeros && weight !== variable;
}

/** True for a weight that a transform to signs has been given. */
export function isBinary(variable: tf.Variable): boolean {
  return binary.has(variable);
}

/**
 * Applies a rule for the stored weight (clipping) at the beginning of a training step, where the end of
 * the last one has no place for it: in TensorFlow.js's own `model.fit`. Does nothing outside of training,
 * for a frozen weight, and in Thimble's `fit`, where the transform's `update` is the place.
 */
export function settle(
  { variable, trained }: Latent,
  { training, learningRate }: Context,
  rule: (weight: tf.Tensor) => tf.Tensor,
): void {
  const inFit = !Number.isNaN(learningRate);
  if (!training || inFit || !trained() || tf.engine().state.gradientDepth === 0) return;
  tf.tidy(() => variable.assign(rule(variable)));
}

/** x cut to [-1, 1]. */
export function clipped(x: tf.Tensor): tf.Tensor {
  return tf.clipByValue(x, -1, 1);
}
