// Small parts of reading a graph: endings, windows, kernels and names.
import { type Encoding, ShapeError, UnsupportedError } from '@thimble/base';
import type { GraphNode, Source } from '@thimble/graph';
import type { Kernel } from './lists.ts';
import type { Conv, Dense, Ending, Operation, Scale, Signs } from './operations.ts';
import type { Value } from './values.ts';
import type { Window } from './windows.ts';

/** The window of a convolution of single pixels. */
export const POINT: Window = {
  height: 1,
  width: 1,
  strideHeight: 1,
  strideWidth: 1,
  dilationHeight: 1,
  dilationWidth: 1,
  top: 0,
  left: 0,
  bottom: 0,
  right: 0,
};

/** No cut and no curve. */
export function none(): Ending {
  return { low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY };
}

/** Scales and shifts that change nothing. */
export function identity({ channels }: Value): Pick<Scale, 'scale' | 'shift' | keyof Ending> {
  const scale = new Float32Array(channels).fill(1);
  return { scale, shift: new Float32Array(channels), ...none() };
}

/** Operations that can end with a cut or a curve. */
export function endable({ kind }: Operation): boolean {
  return kind === 'conv' || kind === 'dense' || kind === 'scale' || kind === 'combine';
}

/** With the codes of the node's input and the signs of a binary layer, where there are any. */
export function withOptional<O extends Conv | Dense>(
  operation: O,
  node: GraphNode,
  signs?: Signs,
): O {
  const codes = node.codes?.inputs?.[0];
  return { ...operation, ...(codes ? { codes } : {}), ...(signs ? { signs } : {}) };
}

/** The encoding of a kernel seen as a matrix: its scales, if there is one per output, lie along axis 1. */
export function withAxis(flat: Encoding, { shape, values }: Encoding, outputs: number): Encoding {
  if (!('axis' in values) || values.axis === null || values.axis === undefined) return flat;
  const axis = values.axis === shape.length - 1 && shape.at(-1) === outputs ? 1 : 0;
  return { ...flat, values: { ...values, axis } };
}

/** A kernel as `tf.layers` stores it. */
export function kernelOf(data: Float32Array, { shape }: Encoding, separate: boolean): Kernel {
  const [inputs, last] = shape.slice(-2) as [number, number];
  const [height, width] = shape.length === 3 ? [1, shape[0]!] : (shape as [number, number]);
  return { data, height, width, inputs, outputs: separate ? inputs * last : last, separate };
}

/** Rows and columns of a shape. */
export function sizeOf(shape: readonly number[]): { height: number; width: number } {
  return { height: shape.length > 2 ? shape[0]! : 1, width: shape.at(-2) ?? 1 };
}

/** One text for one output. */
export function keyOf({ node, output }: Source): string {
  return `${output}:${node}`;
}

/** A shape that has no open sizes. */
export function fixed(shape: readonly (number | null)[], name: string): number[] {
  if (shape.includes(null)) {
    throw new ShapeError(
      `"${name}" has the open shape [${shape.map((n) => n ?? 'null')}]. Give the model's inputs whole shapes.`,
    );
  }
  return shape as number[];
}

/** The error for a layer that cannot run here. */
export function unsupported({ op, layer, attributes }: GraphNode, why?: string): UnsupportedError {
  const wrapped = attributes.timeDistributed ? ' in TimeDistributed' : '';
  return new UnsupportedError(
    `layer "${layer}": the packed runtime cannot run ${op}${wrapped}${why ? ` with ${why}` : ''}. ` +
      'Run this model with TensorFlow.js, or replace the layer.',
  );
}
