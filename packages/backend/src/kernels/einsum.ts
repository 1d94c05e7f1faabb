// Einstein sums, which stock wasm lacks. Once the axes stand in the order batch, own, shared, every sum
// of two operands is a batched matrix product, so it runs on the fast product.
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import {
  backend_util,
  Einsum,
  type EinsumAttrs,
  getKernel,
  type KernelConfig,
  Multiply,
  type NamedAttrMap,
  Sum,
  type Tensor,
  type TensorInfo,
  Transpose,
  util,
} from '@tensorflow/tfjs-core';
import { matMul } from '../mat-mul.ts';
import { BACKEND_NAME } from '../name.ts';
import { defineKernel, free, reshaped } from '../stock.ts';

/** A tensor whose axes are named by the labels of the equation. */
interface Term {
  info: TensorInfo;
  labels: string[];
}

type Run = (kernelName: string, inputs: Record<string, TensorInfo>, attrs?: object) => TensorInfo;

/**
 * y = the product of the operands, summed over every label that the output does not name. Labels of
 * both operands that the output names are the batch; labels of both that it does not name are
 * contracted.
 */
export const einsum: KernelConfig = defineKernel<TensorInfo[], EinsumAttrs>(
  Einsum,
  ({ inputs, attrs: { equation }, backend }) => {
    const tensors = Object.values(inputs);
    const { allDims, idDims } = backend_util.decodeEinsumEquation(equation, tensors.length);
    backend_util.checkEinsumDimSizes(allDims.length, idDims, tensors as Tensor[]);
    const output = [...equation.replace(/\s/g, '').split('->')[1]];
    const made: TensorInfo[] = [];
    const keep = (info: TensorInfo): TensorInfo => {
      made.push(info);
      return info;
    };
    const run: Run = (name, operands, attrs = {}) => {
      // Our own kernel where there is one: the sums of stock lose digits.
      const { kernelFunc } = getKernel(name, BACKEND_NAME);
      const call = { inputs: operands, attrs: attrs as NamedAttrMap, backend };
      return keep(kernelFunc(call) as TensorInfo);
    };
    const terms = idDims.map((dims, i) => {
      const labels = dims.map((dim) => allDims[dim]);
      const others = idDims.filter((_, k) => k !== i).flat();
      const needed = [...output, ...others.map((dim) => allDims[dim])];
      return sumAlone({ info: tensors[i], labels }, needed, run);
    });
    const whole = terms.length === 1 ? terms[0] : product(backend, terms, output, run, keep);
    const { info } = arrange(whole, output, run);
    free(backend, ...made.filter(({ dataId }) => dataId !== info.dataId));
    if (tensors.some(({ dataId }) => dataId === info.dataId)) backend.incRef(info.dataId);
    return reshaped(info, info.shape);
  },
);

/** Sums over the labels that nobody else has. */
function sumAlone({ info, labels }: Term, needed: string[], run: Run): Term {
  const axis = labels.flatMap((label, i) => (needed.includes(label) ? [] : [i]));
  if (axis.length === 0) return { info, labels };
  return {
    info: run(Sum, { x: info }, { axis, keepDims: false }),
    labels: labels.filter((label) => needed.includes(label)),
  };
}

function arrange({ info, labels }: Term, order: string[], run: Run): Term {
  const perm = order.map((label) => labels.indexOf(label));
  if (perm.every((from, to) => from === to)) return { info, labels };
  return { info: run(Transpose, { x: info }, { perm }), labels: order };
}

function product(
  backend: BackendWasm,
  [a, b]: Term[],
  output: string[],
  run: Run,
  keep: (info: TensorInfo) => TensorInfo,
): Term {
  const common = a.labels.filter((label) => b.labels.includes(label));
  const batch = output.filter((label) => common.includes(label));
  const shared = common.filter((label) => !output.includes(label));
  const own = [a, b].map(({ labels }) => labels.filter((label) => !common.includes(label)));
  const sizes = new Map<string, number>();
  for (const { info, labels } of [a, b]) {
    labels.forEach((label, i) => {
      sizes.set(label, info.shape[i]);
    });
  }
  const shapeOf = (labels: string[]) => labels.map((label) => sizes.get(label) as number);
  const sizeOf = (labels: string[]) => util.sizeFromShape(shapeOf(labels));
  const labels = [...batch, ...own[0], ...own[1]];
  const [count, rows, columns, inner] = [batch, own[0], own[1], shared].map(sizeOf);
  const operands = [a, b].map((term, i) => {
    // Standing as it does, where the product takes it so; otherwise own before shared.
    const turned = term.labels.join() === [...batch, ...shared, ...own[i]].join();
    const order = turned ? term.labels : [...batch, ...own[i], ...shared];
    return { info: arrange(term, order, run).info, turned };
  });
  const view = (i: number, shape: number[]) => reshaped(operands[i].info, shape);
  let out: TensorInfo;
  if (shared.length === 0) {
    out = run(Multiply, { a: view(0, [count, rows, 1]), b: view(1, [count, 1, columns]) });
  } else if (rows * columns === 1) {
    const x = run(Multiply, { a: view(0, [count, inner]), b: view(1, [count, inner]) });
    out = run(Sum, { x }, { axis: [1], keepDims: false });
  } else {
    const [left, right] = operands.map(({ turned }, i) => {
      const size = i === 0 ? rows : columns;
      return view(i, turned ? [count, inner, size] : [count, size, inner]);
    });
    out = keep(matMul(backend, left, right, operands[0].turned, !operands[1].turned));
  }
  return { info: reshaped(out, shapeOf(labels)), labels };
}
