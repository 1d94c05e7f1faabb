// How sparse masked weights are.
import * as tf from '@tensorflow/tfjs-core';
import type { MaskedWeight } from './masked-weights.ts';

/** Share of the entries of all these weights that is pruned. */
export function sparsityOf(weights: readonly MaskedWeight[]): number {
  let [total, kept] = [0, 0];
  for (const { mask } of weights) {
    total += mask.size;
    kept += tf.tidy(() => tf.sum(mask).dataSync()[0]!);
  }
  return total === 0 ? 0 : 1 - kept / total;
}
