// The gradient of the product with a mask.
import { engine, mul, type Tensor } from '@tensorflow/tfjs-core';
import { MASK } from '../kernels/mask.ts';
import { defineGradient, type Gradient } from './override.ts';

/** Forward x m, backward dx = dy m and dm = dy x. */
export const maskGradient: Gradient = defineGradient<object>(
  MASK,
  (dy, saved) => {
    const [x, mask] = saved as [Tensor, Tensor];
    return {
      x: () => engine().runKernel(MASK, { x: dy, mask }) as Tensor,
      mask: () => mul(dy, x),
    };
  },
  { inputsToSave: ['x', 'mask'] },
);
