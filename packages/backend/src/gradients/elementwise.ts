// Gradients of elementwise functions, right in stock but slow: a step of a small network spends more time on
// the bookkeeping of some forty tiny ops than on its arithmetic. One kernel where stock runs three to
// eight, and no casts of what is float32 already.
import {
  ClipByValue,
  type ClipByValueAttrs,
  div,
  Log,
  Multiply,
  mul,
  neg,
  RealDiv,
  Relu,
  Relu6,
  Softmax,
  square,
  sub,
  sum,
  type Tensor,
  zerosLike,
} from '@tensorflow/tfjs-core';
import { CLIP_GRAD, RELU_GRAD, runGradient, SOFTMAX_GRAD } from './activation-kernels.ts';
import { defineGradient, type Gradient } from './override.ts';
import { sumTo } from './reduce.ts';

const twice = { inputsToSave: ['saved', 'dy'] };

/** First and second order: relu, relu6, clip and softmax by their kernels; times, over and log by few ops. */
export const elementwiseGradients: readonly Gradient[] = [
  // y = max(x, 0): dx = dy where x > 0.
  defineGradient<object>(Relu, (dy, [x]) => ({ x: () => runGradient(RELU_GRAD, x!, dy) })),
  defineGradient<object>(
    RELU_GRAD,
    (ddx, [x]) => ({ saved: () => zerosLike(x!), dy: () => runGradient(RELU_GRAD, x!, ddx) }),
    twice,
  ),
  // y = x cut to low ... high: dx = dy where it was not cut.
  defineGradient<ClipByValueAttrs>(ClipByValue, (dy, [x], attrs) => ({
    x: () => runGradient(CLIP_GRAD, x!, dy, { low: attrs.clipValueMin, high: attrs.clipValueMax }),
  })),
  defineGradient<{ low: number; high: number }>(
    CLIP_GRAD,
    (ddx, [x], attrs) => ({
      saved: () => zerosLike(x!),
      dy: () => runGradient(CLIP_GRAD, x!, ddx, attrs),
    }),
    twice,
  ),
  // y = x cut to 0 ... 6: dx = dy where 0 < x <= 6; the second kernel keeps a NaN in x.
  defineGradient<object>(Relu6, (dy, [x]) => ({
    x: () =>
      runGradient(
        RELU_GRAD,
        x!,
        runGradient(CLIP_GRAD, x!, dy, { low: Number.NEGATIVE_INFINITY, high: 6 }),
      ),
  })),
  // y = softmax(x) along the last axis: dx = y (dy - sum(y dy)).
  defineGradient<object>(Softmax, (dy, [y]) => ({
    logits: () => runGradient(SOFTMAX_GRAD, y!, dy),
  })),
  defineGradient<object>(
    SOFTMAX_GRAD,
    (ddx, saved) => {
      const [y, dy] = saved as [Tensor, Tensor];
      const along = (a: Tensor, b: Tensor) => sum(mul(a, b), -1, true);
      return {
        saved: () => sub(mul(ddx, sub(dy, along(y, dy))), mul(dy, along(ddx, y))),
        dy: () => runGradient(SOFTMAX_GRAD, y, ddx),
      };
    },
    twice,
  ),
  // y = a b: da = dy b, db = dy a.
  defineGradient<object>(Multiply, (dy, saved) => {
    const [a, b] = saved as [Tensor, Tensor];
    return { a: () => sumTo(mul(dy, b), a.shape), b: () => sumTo(mul(dy, a), b.shape) };
  }),
  // y = a / b: da = dy / b, db = -sum(dy a) / b^2.
  defineGradient<object>(RealDiv, (dy, saved) => {
    const [a, b] = saved as [Tensor, Tensor];
    return {
      a: () => sumTo(div(dy, b), a.shape),
      b: () => neg(div(sumTo(mul(dy, a), b.shape), square(b))),
    };
  }),
  // y = ln(x): dx = dy / x.
  defineGradient<object>(Log, (dy, [x]) => ({ x: () => div(dy, x!) })),
];
