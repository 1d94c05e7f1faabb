// How sparse masked weights are, and are to be.
import * as tf from '@tensorflow/tfjs-core';
import { checkRange, OptionError } from '@thimble/base';
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

/** Throws unless the sparsity, or a fraction of another name, is in [0, 1). */
export function checkSparsity(owner: string, sparsity: number, name: string = 'sparsity'): void {
  checkRange(owner, name, sparsity, 0, 1);
  if (sparsity === 1) {
    throw new OptionError(
      `${owner}: ${name} must be below 1: nothing would be left. Remove the layer instead.`,
    );
  }
}

/** The ratios that were given, by what they are called: the one for all, `perLayer.NAME` for those of layers. */
export function namedRatios(
  name: string,
  ratio: number | undefined,
  perLayer: Readonly<Record<string, number>> = {},
): [name: string, ratio: number][] {
  const each = Object.entries(perLayer).map(([layer, value]): [string, number] => [
    `perLayer.${layer}`,
    value,
  ]);
  return ratio === undefined ? each : [[name, ratio], ...each];
}
