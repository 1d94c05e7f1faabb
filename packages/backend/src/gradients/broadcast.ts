// Maximum, minimum and squared difference. Stock forgets to sum over the axes along which an operand was
// broadcast, and tfjs then throws because of the shape.
import {
  cast,
  greater,
  greaterEqual,
  less,
  lessEqual,
  Maximum,
  Minimum,
  mul,
  neg,
  SquaredDifference,
  sub,
  type Tensor,
} from '@tensorflow/tfjs-core';
import { defineGradient, type Gradient } from './override.ts';
import { sumTo } from './reduce.ts';

type Compare = (a: Tensor, b: Tensor) => Tensor;

/** dy goes to the operand that was taken, to a where they are equal. */
function extreme(kernelName: string, takesA: Compare, takesB: Compare): Gradient {
  return defineGradient<object>(kernelName, (dy, saved) => {
    const [a, b] = saved as [Tensor, Tensor];
    const where = (takes: Compare) => mul(dy, cast(takes(a, b), 'float32'));
    return { a: () => sumTo(where(takesA), a.shape), b: () => sumTo(where(takesB), b.shape) };
  });
}

/** max(a, b), min(a, b); y = (a - b)^2: da = 2 dy (a - b), db = -da. */
export const broadcastGradients: readonly Gradient[] = [
  extreme(Maximum, greaterEqual, less),
  extreme(Minimum, lessEqual, greater),
  defineGradient<object>(SquaredDifference, (dy, saved) => {
    const [a, b] = saved as [Tensor, Tensor];
    const slope = () => mul(dy, mul(sub(a, b), 2));
    return { a: () => sumTo(slope(), a.shape), b: () => neg(sumTo(slope(), b.shape)) };
  }),
];
