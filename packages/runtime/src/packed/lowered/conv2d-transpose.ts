import type { Encoding } from '@thimble/base';
import type { GraphNode } from '@thimble/graph';
import { endingOf } from '../activations.ts';
import type { Kernel } from '../lists.ts';
import { none, unsupported } from '../node-parts.ts';
import { weightOf } from '../node-weights.ts';
import { Value } from '../values.ts';
import { NOWHERE, picked, placesByPixel } from '../view.ts';
import { windowOf } from '../windows.ts';
import type { Lowering } from './lowering.ts';

/**
 * A convolution by the turned kernel over the input with zeros between its pixels and around them:
 * y[o] = sum over i of x[i] w[o - stride i + pad].
 */
export const conv2dTranspose: Lowering = (builder, node, [input], shape) => {
  if (node.attributes.dataFormat === 'channelsFirst') throw unsupported(node, 'channelsFirst');
  const { data, encoding } = weightOf(builder.graph, node, 'kernel')!;
  const kernel = turned(data, encoding);
  const [rows, columns] = shape as [number, number];
  const sizes = [kernel.height, kernel.width] as const;
  const strides = node.attributes.strides as [number, number];
  const { height, width, channels } = input!;
  const indices = (axis: 0 | 1, from: number, to: number): Int32Array =>
    spread(node, from, to, sizes[axis], strides[axis]);
  let view = picked(
    { base: input!, shape: [height, width, channels] },
    0,
    indices(0, height, rows),
  );
  view = picked(view, 1, indices(1, width, columns));
  const wide = new Value(view.shape, true);
  const { layer } = node;
  const places = placesByPixel(view);
  builder.wiring.add({
    kind: 'rearrange',
    layer,
    input: input!,
    output: wide,
    ...places,
    ...none(),
  });
  const attributes = { ...node.attributes, strides: 1, padding: 'valid' };
  const plain: GraphNode = { ...node, attributes };
  const window = windowOf(plain, [kernel.height, kernel.width], wide, {
    height: rows,
    width: columns,
  });
  builder.conv(plain, wide, kernel, turnedEncoding(encoding), window, shape, endingOf(node));
};

/** Along one axis: the pixel that lies at each place of the widened input. */
function spread(
  { attributes }: GraphNode,
  from: number,
  to: number,
  size: number,
  stride: number,
): Int32Array {
  const total = attributes.padding === 'same' ? Math.max(0, (from - 1) * stride + size - to) : 0;
  const first = Math.floor(total / 2) - (size - 1);
  return Int32Array.from({ length: to + size - 1 }, (_, place) => {
    const index = (place + first) / stride;
    return Number.isInteger(index) && index >= 0 && index < from ? index : NOWHERE;
  });
}

/** [height, width, out, in] turned by half a circle, as [height, width, in, out]. */
function turned(data: Float32Array, { shape }: Encoding): Kernel {
  const [height, width, outputs, inputs] = shape as [number, number, number, number];
  const turnedData = new Float32Array(data.length);
  const taps = height * width;
  for (let tap = 0; tap < taps; tap++) {
    for (let o = 0; o < outputs; o++) {
      for (let i = 0; i < inputs; i++) {
        const to = ((taps - 1 - tap) * inputs + i) * outputs + o;
        turnedData[to] = data[(tap * outputs + o) * inputs + i]!;
      }
    }
  }
  return { data: turnedData, height, width, inputs, outputs, separate: false };
}

function turnedEncoding({ shape, values, nonzero }: Encoding): Encoding {
  const [height, width, outputs, inputs] = shape as [number, number, number, number];
  const axis = 'axis' in values ? values.axis : undefined;
  const own = typeof axis === 'number' && 'axis' in values ? { ...values, axis: 5 - axis } : values;
  return { shape: [height, width, inputs, outputs], values: own, nonzero };
}
