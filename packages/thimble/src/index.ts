// Deep networks that fit in a thimble: one import for all of it.
import * as data from '@thimble/data';
import { distillationCallback, distillationLoss } from '@thimble/distillation';

export * from '@thimble/base';
export * from '@thimble/core';
export { type Distilled, type DistillOptions, distill } from '@thimble/distillation';
export * from '@thimble/pruning';
export * from '@thimble/quantization';
export { data };

/** Training callbacks, for `fit` and for tfjs's own `model.fit`. */
export const callbacks: { distillation: typeof distillationCallback } = {
  distillation: distillationCallback,
};

/** Loss functions of the techniques. */
export const losses: { distillation: typeof distillationLoss } = {
  distillation: distillationLoss,
};
