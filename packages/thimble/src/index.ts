// Deep networks that fit in a thimble: one import for all of it.
import { losses as coreLosses } from '@thimble/core';
import * as data from '@thimble/data';
import { distillationCallback, distillationLoss } from '@thimble/distillation';

export * from '@thimble/base';
export * from '@thimble/core';
export * from '@thimble/distillation';
export * from '@thimble/graph';
export * from '@thimble/pruning';
export * from '@thimble/quantization';
export { data };

/** Training callbacks, for `fit` and for tfjs's own `model.fit`. */
export const callbacks: { distillation: typeof distillationCallback } = {
  distillation: distillationCallback,
};

/** Losses by name, those of the techniques among them. */
export const losses: typeof coreLosses & { distillation: typeof distillationLoss } = {
  ...coreLosses,
  distillation: distillationLoss,
};
