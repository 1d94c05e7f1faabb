// Reductions over any axes, as steps over the middle axis of [outer, reduce, inner]. Axes that lie side by
// side are one; others take one step each, the last axis first. Nothing is transposed.
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { type TensorInfo, util } from '@tensorflow/tfjs-core';
import type { Pointer } from '@thimble/kernels';
import { address } from '../simd.ts';
import { free } from '../stock.ts';

/** A tensor seen as [outer, reduce, inner]. */
export interface View {
  outer: number;
  reduce: number;
  inner: number;
}

/** What a reduction is to give. */
export interface Reduction {
  /** The shape of the result. */
  shape: number[];
  /** How many values one value of the result stands for. */
  count: number;
  /** One step for each run of neighbouring axes; none where only axes of size 1 are reduced. */
  steps: View[];
}

/** What reduces `axis` of `shape`; null is all axes. */
export function reduction(
  shape: readonly number[],
  axis: number | number[],
  keepDims: boolean,
): Reduction {
  const axes = util.parseAxisParam(axis, shape as number[]);
  const out: number[] = [];
  const steps: View[] = [];
  let count = 1;
  let inner = 1;
  let step: View | undefined;
  for (let i = shape.length - 1; i >= 0; i--) {
    const size = shape[i] as number;
    const reduced = axes.includes(i);
    if (!reduced || keepDims) out.push(reduced ? 1 : size);
    if (reduced) count *= size;
    else inner *= size;
    if (size === 1) continue;
    if (!reduced) step = undefined;
    for (const other of steps) if (other !== step) other.outer *= size;
    if (step) {
      step.reduce *= size;
    } else if (reduced) {
      step = { outer: 1, reduce: size, inner };
      steps.push(step);
    }
  }
  return { shape: out.reverse(), count, steps };
}

/** Carries out the steps of a reduction that is not empty, from `x` to `out`, which have one type. */
export function reduceInSteps(
  backend: BackendWasm,
  x: TensorInfo,
  out: TensorInfo,
  all: View[],
  run: (from: Pointer, to: Pointer, view: View, last: boolean) => void,
): void {
  if (all.length === 0) backend.typedArrayFromHeap(out).set(backend.typedArrayFromHeap(x));
  let from = x;
  all.forEach((view, i) => {
    const last = i === all.length - 1;
    const to = last ? out : backend.makeOutput([view.outer * view.inner], out.dtype);
    run(address(backend, from), address(backend, to), view, last);
    if (from !== x) free(backend, from);
    from = to;
  });
}
