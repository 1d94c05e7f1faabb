// Windows of convolutions and pooling over the positions of an input, channels last.
import { UnsupportedError } from '@thimble/base';
import type { GraphNode } from './graph.ts';

/** Windows along two axes; with one axis the first has one position. */
export interface Windows {
  /** Batch and positions of the output, channels left out. */
  shape: number[];
  positions: number;
  batch: number;
  axes: Axis[];
}

interface Axis {
  size: number;
  window: number;
  stride: number;
  dilation: number;
  /** Padding in front. */
  before: number;
  count: number;
}

/** The windows of a node over an input [batch, ...positions, channels]; `kernel`: their sizes. */
export function windowsOf(node: GraphNode, shape: number[], kernel?: number[]): Windows {
  const { strides, padding, dilationRate, poolSize, dataFormat } = node.attributes;
  if (dataFormat === 'channelsFirst' || padding === 'causal') {
    throw new UnsupportedError(
      `runInteger: "${node.name}" has ${dataFormat === 'channelsFirst' ? 'its channels first' : 'causal padding'}; only channels last, with valid or same padding, are known.`,
    );
  }
  const sizes = shape.slice(1, -1);
  const listOf = (value: unknown, missing: number): number[] =>
    sizes.map((_, i) => (Array.isArray(value) ? value[i] : (value ?? missing)) as number);
  const windows = kernel ?? listOf(poolSize, 1);
  const steps = listOf(strides, 1);
  const dilations = listOf(dilationRate, 1);
  const axes = sizes.map((size, i): Axis => {
    const [window, stride, dilation] = [windows[i]!, steps[i]!, dilations[i]!];
    const reach = (window - 1) * dilation + 1;
    const same = padding === 'same';
    const count = same ? Math.ceil(size / stride) : Math.floor((size - reach) / stride) + 1;
    const before = same ? Math.floor(Math.max(0, (count - 1) * stride + reach - size) / 2) : 0;
    return { size, window, stride, dilation, before, count };
  });
  const batch = shape[0]!;
  const out = [batch, ...axes.map(({ count }) => count)];
  const one = { size: 1, window: 1, stride: 1, dilation: 1, before: 0, count: 1 };
  return {
    shape: out,
    positions: out.reduce((n, size) => n * size, 1),
    batch,
    axes: axes.length === 1 ? [one, ...axes] : axes,
  };
}

/** Shows each position of the output every input position in its window, and which entry of it that is. */
export function eachWindow(
  { batch, axes }: Windows,
  visit: (position: number, from: number, tap: number) => void,
): void {
  const [rows, columns] = axes as [Axis, Axis];
  let position = 0;
  for (let n = 0; n < batch; n++) {
    for (let r = 0; r < rows.count; r++) {
      for (let c = 0; c < columns.count; c++, position++) {
        for (let i = 0; i < rows.window; i++) {
          const y = r * rows.stride - rows.before + i * rows.dilation;
          if (y < 0 || y >= rows.size) continue;
          for (let j = 0; j < columns.window; j++) {
            const x = c * columns.stride - columns.before + j * columns.dilation;
            if (x < 0 || x >= columns.size) continue;
            visit(position, (n * rows.size + y) * columns.size + x, i * columns.window + j);
          }
        }
      }
    }
  }
}
