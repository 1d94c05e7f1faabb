import {
  broadcast_util,
  div,
  Mean,
  type MeanAttrs,
  reshape,
  Sum,
  type SumAttrs,
  sum,
  type Tensor,
  tile,
  util,
} from '@tensorflow/tfjs-core';
import { defineGradient, type Gradient } from './override.ts';

/** Sums `x` down to `shape`, from which it was broadcast: the gradient of broadcasting. */
export function sumTo(x: Tensor, shape: number[]): Tensor {
  if (util.arraysEqual(x.shape, shape)) return x;
  const axes = broadcast_util.getReductionAxes(shape, x.shape);
  return reshape(axes.length > 0 ? sum(x, axes) : x, shape);
}

/** y = sum(x), mean(x) over some axes: dx = dy, dy / n. Stock makes ones in JavaScript and multiplies them. */
export const sumGradients: readonly Gradient[] = [
  defineGradient<SumAttrs>(Sum, (dy, [x], { axis }) => ({
    x: () => spread(dy, x!.shape, util.parseAxisParam(axis, x!.shape)),
  })),
  defineGradient<MeanAttrs>(Mean, (dy, [x], { axis }) => {
    const axes = util.parseAxisParam(axis, x!.shape);
    const count = axes.reduce((product, i) => product * x!.shape[i]!, 1);
    return { x: () => spread(div(dy, count), x!.shape, axes) };
  }),
];

/** What was reduced over `axes` back in `shape`, every value as often as it stands for. */
function spread(y: Tensor, shape: number[], axes: number[]): Tensor {
  const reduced = shape.map((size, i) => (axes.includes(i) ? 1 : size));
  const times = shape.map((size, i) => (axes.includes(i) ? size : 1));
  return tile(reshape(y, reduced), times);
}
