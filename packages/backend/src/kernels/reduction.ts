// Reductions over any axes, as steps over the middle axis of [outer, reduce, inner]. Axes that lie side by
// side are one; others take one step each, the last axis first. Nothing is transposed.
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { backend_util, type TensorInfo, util } from '@tensorflow/tfjs-core';
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
  /** One step for each run of neighbouring axes. */
  steps: View[];
}

/** The steps that reduce `axis` of `shape`. */
export function reduction(
  shape: readonly number[],
  axis: number | number[],
  keepDims: boolean,
): Reduction {
  const axes = util.parseAxisParam(axis, shape as number[]);
  const [kept, reduced] = backend_util.computeOutAndReduceShapes(shape as number[], axes);
  return {
    shape: keepDims ? backend_util.expandShapeToKeepDim(kept, axes) : kept,
    count: util.sizeFromShape(reduced),
    steps: steps(shape, axes),
  };
}

function steps(shape: readonly number[], axes: number[]): View[] {
  const runs: { size: number; reduced: boolean }[] = [];
  shape.forEach((size, i) => {
    if (size === 1) return;
    const reduced = axes.includes(i);
    const last = runs.at(-1);
    if (last?.reduced === reduced) last.size *= size;
    else runs.push({ size, reduced });
  });
  const found: View[] = [];
  let inner = 1;
  let outer = util.sizeFromShape(shape as number[]);
  for (const { size, reduced } of runs.reverse()) {
    outer /= size;
    if (reduced) found.push({ outer, reduce: size, inner });
    else inner *= size;
  }
  return found.length > 0 ? found : [{ outer: 1, reduce: 1, inner }];
}

/** Carries out the steps of a reduction that is not empty, from `x` to `out`, which have one type. */
export function reduceInSteps(
  backend: BackendWasm,
  x: TensorInfo,
  out: TensorInfo,
  all: View[],
  run: (from: Pointer, to: Pointer, view: View, last: boolean) => void,
): void {
  let from = x;
  all.forEach((view, i) => {
    const last = i === all.length - 1;
    const to = last ? out : backend.makeOutput([view.outer * view.inner], out.dtype);
    run(address(backend, from), address(backend, to), view, last);
    if (from !== x) free(backend, from);
    from = to;
  });
}
