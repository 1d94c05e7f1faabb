// Cumulative sums and products, and the product over axes. Stock: the gradient of cumsum transposes its
// result where the axis is not the last, cumprod has none, prod's calls methods that tfjs-core alone
// does not have; and a negative axis traps wasm in cumsum and cumprod.
import {
  add,
  Cumprod,
  type CumprodAttrs,
  Cumsum,
  type CumsumAttrs,
  cumprod,
  cumsum,
  type KernelConfig,
  mul,
  Prod,
  type ProdAttrs,
  reshape,
  stack,
  type Tensor,
  type TensorInfo,
  transpose,
  unstack,
  util,
  zerosLike,
} from '@tensorflow/tfjs-core';
import { converted, defineKernel, runStock, type Tensors } from '../stock.ts';
import { defineGradient, type Gradient } from './override.ts';

type Attrs = CumsumAttrs & CumprodAttrs;

function cumulative(kernelName: string): KernelConfig {
  return defineKernel<Tensors<'x'>, Attrs>(kernelName, ({ inputs, attrs, backend }) => {
    const [axis] = util.parseAxisParam(attrs.axis, inputs.x.shape);
    const run = (x: TensorInfo) => runStock(backend, kernelName, { x }, { ...attrs, axis });
    const { x } = inputs;
    return converted(backend, x, x.dtype === 'bool' ? 'int32' : x.dtype, run);
  });
}

/** The stock kernels, given an axis from 0, and int32 for bool. */
export const cumulativeKernels: readonly KernelConfig[] = [cumulative(Cumsum), cumulative(Cumprod)];

/** Forward y_i = sum of x_j, j <= i. Backward dx_j = sum of dy_i, i >= j. */
export const cumsumGradient: Gradient = defineGradient<Attrs>(
  Cumsum,
  (dy, _, { axis, exclusive, reverse }) => ({ x: () => cumsum(dy, axis, exclusive, !reverse) }),
  { inputsToSave: [] },
);

/**
 * Forward y_i = product of x_j, j <= i. Backward dx_j = p_j s_j with p_j the product before j and
 * s_j = dy_j + x_(j+1) s_(j+1): no division, so right where x has zeros. `exclusive` shifts dy by one.
 */
export const cumprodGradient: Gradient = defineGradient<Attrs>(
  Cumprod,
  (dy, saved, { axis: given, exclusive, reverse }) => {
    const x = saved[0] as Tensor;
    const [axis] = util.parseAxisParam(given, x.shape);
    return {
      x: () => {
        const inOrder = (parts: Tensor[]): Tensor[] => (reverse ? parts.reverse() : parts);
        const xs = inOrder(unstack(x, axis));
        const dys = inOrder(unstack(dy, axis));
        if (exclusive) dys.push(zerosLike(dys.shift() as Tensor));
        const sums: Tensor[] = [];
        let sum = dys[xs.length - 1] as Tensor;
        sums[xs.length - 1] = sum;
        for (let i = xs.length - 2; i >= 0; i--) {
          sum = add(dys[i] as Tensor, mul(xs[i + 1] as Tensor, sum));
          sums[i] = sum;
        }
        return mul(cumprod(x, axis, true, reverse), stack(inOrder(sums), axis));
      },
    };
  },
  { inputsToSave: ['x'] },
);

/** Forward y = product of x_i. Backward dx_j = dy times the product of all others, without a division. */
export const prodGradient: Gradient = defineGradient<ProdAttrs>(Prod, (dy, saved, attrs) => {
  const x = saved[0] as Tensor;
  const axes = util.parseAxisParam(attrs.axis as number[], x.shape);
  const kept = x.shape.map((_, i) => i).filter((i) => !axes.includes(i));
  const order = [...kept, ...axes];
  return {
    x: () => {
      const turned = transpose(x, order);
      const outer = kept.map((axis) => x.shape[axis] as number);
      const flat = reshape(turned, [util.sizeFromShape(outer), -1]);
      const others = mul(cumprod(flat, 1, true, false), cumprod(flat, 1, true, true));
      const dx = reshape(mul(others, reshape(dy, [-1, 1])), turned.shape);
      return transpose(
        dx,
        order.map((_, i) => order.indexOf(i)),
      );
    },
  };
});
