// The layer BatchNormalization of tfjs-layers throws in training without scale or center, and for rank
// 5; for an axis other than the last its result is wrong. Here it trains on one kernel, which is faster
// as well.
import {
  add,
  batchNorm,
  engine,
  getGradient,
  mean,
  mul,
  type NamedAttrMap,
  type NamedTensorMap,
  ones,
  registerGradient,
  rsqrt,
  square,
  sub,
  sum,
  type Tensor,
  type Tensor1D,
  tidy,
  transpose,
  zeros,
} from '@tensorflow/tfjs-core';
import { type LayerVariable, layers } from '@tensorflow/tfjs-layers';
import type { GradientMap } from '../gradients/override.ts';
import { APPROACH, BATCH_NORM, BATCH_NORM_GRAD } from './batch-norm-kernel.ts';
import { only, patchCall } from './patch.ts';

interface BatchNormalization {
  axis: number;
  epsilon: number;
  momentum: number;
  gamma?: LayerVariable;
  beta?: LayerVariable;
  movingMean: LayerVariable;
  movingVariance: LayerVariable;
}

/** Makes BatchNormalization train, whatever its axis, rank, scale and center. */
export function installBatchNorm(): void {
  if (!getGradient(BATCH_NORM)) {
    registerGradient({
      kernelName: BATCH_NORM,
      inputsToSave: ['x', 'scale'],
      outputsToSave: [false, true, true],
      gradFunc: gradient as never,
    });
  }
  const sample = layers.batchNormalization({ name: 'sample' });
  patchCall<BatchNormalization>(sample, (layer, stock, inputs, kwargs) => {
    const input = only(inputs);
    const axis = layer.axis < 0 ? layer.axis + input.rank : layer.axis;
    const isLast = axis === input.rank - 1;
    const training = kwargs.training === true;
    if (!training && isLast && input.rank < 5) return stock(inputs, kwargs);
    return tidy(() => {
      const toLast = input.shape.map((_, i) => i).filter((i) => i !== axis);
      const x = isLast ? input : transpose(input, [...toLast, axis]);
      const y = training ? train(layer, x) : infer(layer, x);
      if (isLast) return y;
      const back = input.shape.map((_, i) => (i === axis ? input.rank - 1 : toLast.indexOf(i)));
      return transpose(y, back);
    });
  });
}

function infer(layer: BatchNormalization, x: Tensor): Tensor {
  const { movingMean, movingVariance, gamma, beta, epsilon } = layer;
  const [m, v] = [movingMean.read(), movingVariance.read()] as [Tensor1D, Tensor1D];
  return batchNorm(x, m, v, beta?.read() as Tensor1D, gamma?.read() as Tensor1D, epsilon);
}

function train(layer: BatchNormalization, x: Tensor): Tensor {
  const { movingMean, movingVariance, gamma, beta, epsilon } = layer;
  const shape = x.shape.slice(-1);
  const inputs = {
    x,
    scale: gamma?.read() ?? ones(shape),
    offset: beta?.read() ?? zeros(shape),
  };
  const [y, m, v] = engine().runKernel(BATCH_NORM, inputs, { epsilon }) as [Tensor, Tensor, Tensor];
  tidy(() => {
    const attrs = { part: 1 - layer.momentum };
    for (const [moving, value] of [
      [movingMean, m],
      [movingVariance, v],
    ] as const) {
      moving.write(engine().runKernel(APPROACH, { old: moving.read(), value }, attrs) as Tensor);
    }
  });
  return y;
}

/**
 * See the kernel for the formula. Mean and variance feed the moving averages alone, and have no
 * gradient.
 */
function gradient([dy]: Tensor[], saved: Tensor[], attrs: NamedAttrMap): GradientMap {
  const [x, scale, m, v] = saved as [Tensor, Tensor, Tensor, Tensor];
  if (engine().state.gradientDepth > 0) return differentiable(dy as Tensor, x, scale, attrs);
  const inputs = { dy, x, mean: m, variance: v, scale } as NamedTensorMap;
  const [dx, dScale, dOffset] = engine().runKernel(BATCH_NORM_GRAD, inputs, attrs) as Tensor[];
  return { x: () => dx as Tensor, scale: () => dScale as Tensor, offset: () => dOffset as Tensor };
}

/** The same in ops of tfjs, for gradients of gradients. */
function differentiable(
  dy: Tensor,
  x: Tensor,
  scale: Tensor,
  { epsilon }: NamedAttrMap,
): GradientMap {
  const axes = x.shape.slice(1).map((_, i) => i);
  const centred = sub(x, mean(x, axes));
  const r = rsqrt(add(mean(square(centred), axes), epsilon as number));
  const normed = mul(centred, r);
  const along = mul(normed, mean(mul(dy, normed), axes));
  return {
    x: () => mul(mul(scale, r), sub(sub(dy, mean(dy, axes)), along)),
    scale: () => sum(mul(dy, normed), axes),
    offset: () => sum(dy, axes),
  };
}
