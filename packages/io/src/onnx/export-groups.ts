// Convolutions of groups of channels, which TensorFlow.js has as parts put together, in one piece.
import { joined } from '@thimble/base';
import type { GraphNode, Shape } from '@thimble/graph';
import { activated } from './export-activations.ts';
import { permuted, type Site, storedWeight } from './export-weights.ts';
import { windows } from './export-windows.ts';
import type { Value } from './writer.ts';

/** A convolution of some of the channels. */
interface Part {
  node: GraphNode;
  /** What the channels are cut from: the node and its output. */
  from: string;
  first: number;
  last: number;
}

/**
 * One convolution with groups for a concatenation of convolutions that are alike and have the channels of one
 * value among them, in order; undefined where it is anything else, or where it is coded. The parts are left
 * without a use.
 */
export function groupedConvolution(
  site: Site,
  values: ReadonlyMap<string, Value>,
): Value | undefined {
  const { graph, node, writer } = site;
  const byName = new Map(graph.nodes.map((other) => [other.name, other]));
  const parts = node.inputs.map((source) => partOf(site, byName, source.node));
  const [first] = parts;
  if (!first || parts.length < 2) return undefined;
  const key = alikeKey(site, first);
  const input = values.get(first.from)!;
  let channels = 0;
  for (const part of parts) {
    if (!part || part.from !== first.from || part.first !== channels) return undefined;
    if (alikeKey(site, part) !== key) return undefined;
    channels = part.last;
  }
  if (channels !== input.shape.at(-1)) return undefined;
  const nodes = parts.map((part) => part!.node);
  const [rows, columns, depth, filters] = kernelShape(site, nodes[0]!);
  const all = filters * nodes.length;
  const kernel = writer.initializer(`${node.name}/kernel`, () => ({
    data: joined(
      Float32Array,
      nodes.map((part) => {
        const { data, encoding } = storedWeight({ graph, node: part }, 'kernel')!;
        return permuted(data, encoding.shape, [3, 2, 0, 1]);
      }),
    ),
    dims: [all, depth, rows, columns],
  }));
  const names = [writer.first(input).name, kernel];
  if (nodes[0]!.weights.bias !== undefined) {
    const make = () => ({
      data: joined(
        Float32Array,
        nodes.map((part) => storedWeight({ graph, node: part }, 'bias')!.data),
      ),
      dims: [all],
    });
    names.push(writer.initializer(`${node.name}/bias`, make));
  }
  const shape = node.outputs[0]!;
  const size = { kernel: [rows, columns], dilated: true };
  const attributes = { group: nodes.length, ...windows(nodes[0]!, size, input.shape, shape) };
  const { activation = 'linear' } = nodes[0]!.attributes;
  const { as, end } = activated({ ...site, node: { ...node, attributes: { activation } } });
  return end({ name: writer.add('Conv', names, attributes, as), shape, layout: 'first' });
}

function partOf(
  site: Site,
  byName: ReadonlyMap<string, GraphNode>,
  name: string,
): Part | undefined {
  const node = byName.get(name)!;
  const crop = node.op === 'conv2d' ? byName.get(node.inputs[0]!.node)! : undefined;
  const { dataFormat } = node.attributes;
  if (crop?.op !== 'cropping2d' || crop.attributes.dataFormat !== 'channelsFirst') return undefined;
  if (dataFormat === 'channelsFirst') return undefined;
  const coded = storedWeight({ ...site, node }, 'kernel')!.encoding.values.type === 'affine';
  if (site.quantized && (coded || node.codes || crop.codes || site.node.codes)) return undefined;
  const [rows, channels] = crop.attributes.cropping as [[number, number], [number, number]];
  const [shape] = crop.outputs as [Shape];
  if (rows[0] !== 0 || rows[1] !== 0) return undefined;
  const first = channels[0];
  return { node, from: crop.inputs[0]!.node, first, last: first + (shape.at(-1) as number) };
}

function kernelShape(site: Site, node: GraphNode): [number, number, number, number] {
  return storedWeight({ ...site, node }, 'kernel')!.encoding.shape as [
    number,
    number,
    number,
    number,
  ];
}

/** What groups have in common. */
function alikeKey(site: Site, { node }: Part): string {
  const { strides, padding, dilationRate, activation } = node.attributes;
  const shape = kernelShape(site, node);
  const biased = node.weights.bias !== undefined;
  return JSON.stringify([strides, padding, dilationRate, activation, shape, biased]);
}
