// Windows of convolutions and pooling over the rows and columns of an image.
import { UnsupportedError } from '@thimble/base';
import type { GraphNode } from '@thimble/graph';

/** Windows over images; `top` and `left` are the padding before the first row and column. */
export interface Window {
  height: number;
  width: number;
  strideHeight: number;
  strideWidth: number;
  dilationHeight: number;
  dilationWidth: number;
  top: number;
  left: number;
  /** Padding behind the last row and column that the windows reach. */
  bottom: number;
  right: number;
}

interface Size {
  height: number;
  width: number;
}

/** Two numbers of an attribute: one for each axis, or one for both; for a sequence the last one counts. */
function both(value: unknown, missing: number, oneAxis: boolean): [number, number] {
  const list = Array.isArray(value) ? (value as number[]) : [(value as number) ?? missing];
  if (oneAxis) return [1, list.at(-1)!];
  return [list[0]!, list.at(-1)!];
}

/** The windows of a convolution or pooling node from images of size `from` to images of size `to`. */
export function windowOf(
  node: GraphNode,
  kernel: [number, number] | undefined,
  from: Size,
  to: Size,
): Window {
  const { strides, padding, dilationRate, poolSize, dataFormat } = node.attributes;
  if (dataFormat === 'channelsFirst' || padding === 'causal') {
    throw new UnsupportedError(
      `layer "${node.layer}": the packed runtime has no ${padding === 'causal' ? 'causal padding' : 'channelsFirst layout'}; use ` +
        `${padding === 'causal' ? 'valid or same padding' : 'channelsLast'}.`,
    );
  }
  const oneAxis = /1d/i.test(node.op);
  const [height, width] = kernel ?? both(poolSize, 2, oneAxis);
  const [strideHeight, strideWidth] = both(strides ?? (kernel ? 1 : poolSize), 1, oneAxis);
  const [dilationHeight, dilationWidth] = both(kernel ? dilationRate : 1, 1, oneAxis);
  const reach = (size: number, dilation: number): number => (size - 1) * dilation + 1;
  const total = (count: number, stride: number, size: number, input: number): number =>
    padding === 'same' ? Math.max(0, (count - 1) * stride + size - input) : 0;
  const rows = total(to.height, strideHeight, reach(height, dilationHeight), from.height);
  const columns = total(to.width, strideWidth, reach(width, dilationWidth), from.width);
  const top = Math.floor(rows / 2);
  const left = Math.floor(columns / 2);
  return {
    height,
    width,
    strideHeight,
    strideWidth,
    dilationHeight,
    dilationWidth,
    top,
    left,
    bottom: rows - top,
    right: columns - left,
  };
}

/** Whether windows reach beyond the image. */
export function isPadded({ top, left, bottom, right }: Window): boolean {
  return top + left + bottom + right > 0;
}
