// Shared by the tests of pruning: masks as plain numbers.
import type { MaskedWeight } from '@thimble/pruning';

/** The entries of a mask. */
export function maskOf({ mask }: MaskedWeight): number[] {
  return Array.from(mask.dataSync());
}

/** The entries of a stored weight, masked ones included. */
export function storedOf({ weight }: MaskedWeight): number[] {
  return Array.from(weight.variable.dataSync());
}

/** How many entries are kept. */
export function keptIn(weight: MaskedWeight): number {
  return maskOf(weight).filter((keep) => keep === 1).length;
}

/** How many entries are pruned. */
export function goneIn(weight: MaskedWeight): number {
  return weight.mask.size - keptIn(weight);
}
