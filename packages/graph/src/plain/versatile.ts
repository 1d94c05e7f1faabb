// Convolutions whose filters are parts of a few primary ones, as plain convolutions.
import { countNonzero, ShapeError, sizeOf } from '@thimble/base';
import type { GraphNode, GraphWeight } from '../graph.ts';
import { entriesAt, FLOATS } from './entries.ts';
import type { PlainForm } from './plain-graph.ts';

/**
 * The kernel of all filters: each is its primary filter with zeros where the crop leaves rows and columns out, and in
 * the channels outside its window.
 */
export const versatileConv2d: PlainForm = (node, weight, [input]) => {
  const bias = weight('bias');
  const { spatial, channelDelta, channelStride, ...attributes } = node.attributes;
  return {
    op: 'conv2d',
    attributes,
    weights: {
      kernel: spread(weight('kernel')!, node, input!.at(-1)!),
      ...(bias ? { bias } : {}),
    },
    outputs: node.outputs,
  };
};

interface Attributes {
  filters: number;
  spatial: boolean;
  channelDelta: number;
  channelStride: number;
}

function spread(
  kernel: GraphWeight,
  { layer, attributes }: GraphNode,
  channels: number,
): GraphWeight {
  const { filters, spatial, channelDelta, channelStride } = attributes as unknown as Attributes;
  const [rows, columns, window, primaries] = kernel.encoding.shape as [
    number,
    number,
    number,
    number,
  ];
  const windows = Math.ceil(channelDelta / channelStride) + 1;
  const crops = spatial ? Math.ceil(Math.min(rows, columns) / 2) : 1;
  if (!(filters <= crops * windows * primaries) || window + channelDelta !== channels) {
    throw new ShapeError(
      `layer "${layer}": a kernel of shape [${kernel.encoding.shape}] does not make ${filters} filters of ${channels} channels.`,
    );
  }
  const { encoding, data } = entriesAt(
    kernel,
    3,
    Array.from({ length: filters }, (_, n) => n % primaries),
  );
  const shape = [rows, columns, channels, filters];
  const whole = new Float32Array(sizeOf(shape));
  for (let n = 0; n < filters; n++) {
    const use = Math.floor(n / primaries);
    const crop = Math.floor(use / windows);
    const first = Math.min((use % windows) * channelStride, channelDelta);
    for (let i = crop; i < rows - crop; i++) {
      for (let j = crop; j < columns - crop; j++) {
        for (let c = 0; c < window; c++) {
          const from = ((i * columns + j) * window + c) * filters + n;
          const to = ((i * columns + j) * channels + first + c) * filters + n;
          whole[to] = data?.[from] ?? 0;
        }
      }
    }
  }
  const { values } = encoding;
  const hasZero = values.type === 'affine' && (values.axis === null || values.axis === 3);
  return {
    data: whole,
    encoding: { shape, values: hasZero ? values : FLOATS, nonzero: countNonzero(whole) },
  };
}
