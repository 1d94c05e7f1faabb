import { broadcast_util, reshape, sum, type Tensor, util } from '@tensorflow/tfjs-core';

/** Sums `x` down to `shape`, from which it was broadcast: the gradient of broadcasting. */
export function sumTo(x: Tensor, shape: number[]): Tensor {
  if (util.arraysEqual(x.shape, shape)) return x;
  const axes = broadcast_util.getReductionAxes(shape, x.shape);
  return reshape(axes.length > 0 ? sum(x, axes) : x, shape);
}
