// Weights in the order that ONNX has them, as floats or as codes of 8 bits with their steps.
import { type Encoding, roundHalfToEven, sizeOf, UnsupportedError } from '@thimble/base';
import type { Graph, GraphNode } from '@thimble/graph';
import type { OnnxWriter, Value } from './writer.ts';

/** A node, and what is known when it is written. */
export interface Site {
  graph: Graph;
  node: GraphNode;
  /** What the node gets, rounded where it rounds it. */
  inputs: Value[];
  writer: OnnxWriter;
  /** Whether codes are written, rather than floats alone. */
  quantized: boolean;
}

/** How a stored weight is turned into ONNX's order. */
export interface Order {
  /** The sizes that the stored numbers are seen with, row by row. */
  view: number[];
  /** Its axes in the order in which they are wanted. */
  perm: number[];
  /** The sizes in ONNX. */
  dims: number[];
  /** The stored axis of the outputs, and that of ONNX. */
  outputs: { stored: number; onnx: number };
}

/** A kernel in the ONNX graph. */
export interface Kernel {
  name: string;
  /** Steps of its codes, one or one per output; absent where it is floats. */
  steps?: Float32Array;
}

/** The stored weight of a node; undefined where it has none of that role. */
export function storedWeight(
  { graph, node }: Pick<Site, 'graph' | 'node'>,
  role: string,
): { key: string; data: Float32Array; encoding: Encoding } | undefined {
  const key = node.weights[role];
  if (key === undefined) return undefined;
  const { data, encoding } = graph.weights[key]!;
  if (!data) {
    throw new UnsupportedError(
      `toOnnx: the ${role} of layer "${node.layer}" has no values. Lower the model with its weights.`,
    );
  }
  return { key, data, encoding };
}

/** The name of a weight of floats, or of `missing` where the node has none of that role. */
export function vector(site: Site, role: string, size: number, missing?: number): string {
  const { writer, node } = site;
  const stored = storedWeight(site, role);
  if (stored) return writer.initializer(stored.key, () => ({ data: stored.data, dims: [size] }));
  const data = new Float32Array(size).fill(missing!);
  return writer.initializer(`${node.name}/${role}`, () => ({ data, dims: [size] }));
}

/** A kernel, as codes where it is stored as such with one step, or one per output, of at most 8 bits. */
export function kernel(site: Site, role: string, order: Order): Kernel {
  const { writer } = site;
  const { key, data, encoding } = storedWeight(site, role)!;
  const { view, perm, dims, outputs } = order;
  const turned = `${key} ${view} ${perm} ${dims}`;
  const { values } = encoding;
  const coded =
    site.quantized &&
    values.type === 'affine' &&
    values.bits <= 8 &&
    values.group === undefined &&
    (values.axis === null || values.axis === outputs.stored);
  if (!coded) {
    const make = () => ({ data: permuted(data, view, perm), dims });
    return { name: writer.initializer(key, make, turned) };
  }
  const { scale, zeroPoint, bits } = values;
  const inner = sizeOf(encoding.shape.slice(outputs.stored + 1));
  const channel = (i: number) => Math.floor(i / inner) % scale.length;
  const whole = Float32Array.from(data, (value, i) => Math.round(value / scale[channel(i)]!));
  // Codes without their zero point need more than 8 bits where the range is far from even.
  const shifted = whole.some((code) => code < -128 || code > 127);
  const zeros = Int32Array.from(zeroPoint, (zero) => (shifted ? zero - 2 ** (bits - 1) : 0));
  for (let i = 0; shifted && i < whole.length; i++) whole[i]! += zeros[channel(i)]!;
  // With several outputs for each channel, as depthwise kernels may have, each has the step of its channel.
  const single = scale.length === 1;
  const repeat = single ? 1 : dims[outputs.onnx]! / scale.length;
  const steps = Float32Array.from(
    { length: scale.length * repeat },
    (_, i) => scale[Math.floor(i / repeat)]!,
  );
  const sizes = single ? [] : [steps.length];
  const codes = writer.initializer(
    key,
    () => ({ data: Int8Array.from(permuted(whole, view, perm)), dims }),
    turned,
  );
  const step = writer.initializer(`${key}/scale`, () => ({ data: steps, dims: sizes }));
  const zero = writer.initializer(`${key}/zeroPoint`, () => ({
    data: Int8Array.from(steps, (_, i) => zeros[Math.floor(i / repeat)]!),
    dims: sizes,
  }));
  const attributes = single ? {} : { axis: outputs.onnx };
  const inputs = [codes, step, zero];
  return { name: writer.add('DequantizeLinear', inputs, attributes, `${key}/values`), steps };
}

const LARGEST_BIAS = 2 ** 30;

/**
 * The bias of a node, undefined where it has none. With a kernel of codes and an input of codes it is whole
 * numbers with the step of the sums, as integers add it up.
 */
export function bias(site: Site, outputs: number, { steps }: Kernel): string | undefined {
  const { node, writer } = site;
  const stored = storedWeight(site, 'bias');
  if (!stored) return undefined;
  const input = node.codes?.inputs?.[0];
  if (!steps || !input || !site.quantized) return vector(site, 'bias', outputs);
  const scale = steps.map((step) => step * Math.fround(input.scale));
  const { key, data } = stored;
  const id = `${key} ${input.scale}`;
  const codes = writer.initializer(
    key,
    () => ({
      data: Int32Array.from(data, (value, i) => {
        const code = roundHalfToEven(Math.fround(value / scale[i % scale.length]!));
        return Math.min(LARGEST_BIAS, Math.max(-LARGEST_BIAS, code));
      }),
      dims: [outputs],
    }),
    id,
  );
  const sizes = scale.length === 1 ? [] : [outputs];
  const make = () => ({ data: scale, dims: sizes });
  const step = writer.initializer(`${key}/scale`, make, `${id}/scale`);
  const attributes = sizes.length === 0 ? {} : { axis: 0 };
  return writer.add('DequantizeLinear', [codes, step], attributes, `${key}/values`);
}

/** Numbers of a tensor with its axes in another order, row by row. */
export function permuted(data: Float32Array, shape: number[], perm: number[]): Float32Array {
  const strides = shape.map((_, i) => sizeOf(shape.slice(i + 1)));
  const sizes = perm.map((axis) => shape[axis]!);
  const steps = perm.map((axis) => strides[axis]!);
  const result = new Float32Array(data.length);
  const at = new Int32Array(perm.length);
  let from = 0;
  for (let i = 0; i < result.length; i++) {
    result[i] = data[from]!;
    for (let axis = perm.length - 1; axis >= 0; axis--) {
      from += steps[axis]!;
      if (++at[axis]! < sizes[axis]!) break;
      from -= steps[axis]! * sizes[axis]!;
      at[axis] = 0;
    }
  }
  return result;
}
