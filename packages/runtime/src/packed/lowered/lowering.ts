// What the layers that are made of simpler operations are given, and the steps that several of them take.
import type { Encoding } from '@thimble/base';
import type { Graph, GraphNode } from '@thimble/graph';
import { COMBINATIONS, CURVES } from '@thimble/kernels/inference';
import type { Kernel } from '../lists.ts';
import { identity, none } from '../node-parts.ts';
import type { Combine, Ending, Scale } from '../operations.ts';
import type { Value } from '../values.ts';
import type { Window } from '../windows.ts';
import type { Wiring } from '../wiring.ts';

/** A network under construction. */
export interface Builder {
  readonly graph: Graph;
  readonly wiring: Wiring;
  /** Adds a convolution whose value is that of the node. */
  conv(
    node: GraphNode,
    value: Value,
    kernel: Kernel,
    encoding: Encoding,
    window: Window,
    shape: number[],
    ending: Ending,
  ): void;
}

/** Adds the operations of a node. */
export type Lowering = (
  builder: Builder,
  node: GraphNode,
  inputs: readonly Value[],
  shape: number[],
) => void;

/** y = cut(scale x + shift), one or both by channel. */
export function scaled(
  { layer }: GraphNode,
  input: Value,
  output: Value,
  more: Partial<Pick<Scale, 'scale' | 'shift' | keyof Ending>>,
): Scale {
  return { kind: 'scale', layer, input, output, ...identity(input), ...more };
}

/** a ? b, value by value. */
export function combined(
  { layer }: GraphNode,
  inputs: Value[],
  output: Value,
  how: keyof typeof COMBINATIONS,
): Combine {
  return { kind: 'combine', layer, inputs, output, how: COMBINATIONS[how], factor: 1, ...none() };
}

/** 1 where x > threshold, else 0: where threshold - x < 0. */
export function stepAt(node: GraphNode, input: Value, output: Value, threshold: number): Scale {
  const { channels } = input;
  return scaled(node, input, output, {
    scale: new Float32Array(channels).fill(-1),
    shift: new Float32Array(channels).fill(threshold),
    curve: { kind: CURVES.sign, alpha: 1, beta: 0 },
  });
}
