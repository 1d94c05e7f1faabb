import { util } from '@tensorflow/tfjs-core';

/** One axis between all before it and all after it. */
export function aroundAxis(shape: readonly number[], axis: number): [number, number, number] {
  return [
    util.sizeFromShape(shape.slice(0, axis)),
    shape[axis] as number,
    util.sizeFromShape(shape.slice(axis + 1)),
  ];
}

/** A shape with one size replaced. */
export function withSize(shape: readonly number[], axis: number, size: number): number[] {
  return shape.map((old, i) => (i === axis ? size : old));
}
