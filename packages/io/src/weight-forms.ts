// Weights put into another form when they are written: the `weights` option of `encode`.
import { NoMatchError, OptionError, type ValueCode } from '@thimble/base';
import type { Graph, GraphNode, GraphWeight } from '@thimble/graph';
import { codesOf, halfOf, scaleAt } from './codes.ts';
import { kmeansLinear } from './kmeans-linear.ts';
import { halfToFloat } from './values-of-codes.ts';

/**
 * What a weight can be made into:
 *
 * - 'float32', 'float16': floats
 * - 'sparse': its own form, entries that are 0 left out
 * - 'int8', 'int4': whole numbers from -127 to 127 or -7 to 7, with a scale per output channel
 * - 'codebook': shared values, 32 for matrices and 256 for convolutions, as Deep Compression has them; zeros
 *   stay zeros
 * - 'binary': signs, with the mean magnitude per output channel
 */
export type WeightForm = 'sparse' | 'codebook' | 'int8' | 'int4' | 'binary' | 'float16' | 'float32';

/** One form for all kernels, or forms by layer, or by 'layer/weight'; '*' stands for any letters. */
export type WeightForms = WeightForm | Readonly<Record<string, WeightForm>>;

const FORMS: Record<WeightForm, (weight: GraphWeight, out: number | null) => GraphWeight> = {
  float32: ({ encoding, data }) => ({
    encoding: { ...encoding, values: { type: 'float', bits: 32 } },
    data: data!,
  }),
  float16: ({ encoding, data }) =>
    changed(
      { encoding, data: data! },
      { type: 'float', bits: 16 },
      data!.map((value) => halfToFloat(halfOf(value))),
    ),
  sparse: ({ encoding, data }) => ({
    encoding: { ...encoding, mask: Uint8Array.from(data!, (value) => (value === 0 ? 0 : 1)) },
    data: data!,
  }),
  int8: (weight, out) => affine(weight, out, 8),
  int4: (weight, out) => affine(weight, out, 4),
  codebook: (weight) => shared(weight),
  binary: (weight, out) => signs(weight, out),
};

const KERNEL = /kernel$|^embeddings$/i;

/** Whether a weight is a kernel: what a form without a name is for. */
export function isKernel(role: string): boolean {
  return KERNEL.test(role);
}

/**
 * A graph with the weights in the forms that are asked for; the given one stays.
 *
 * @throws {NoMatchError} for a name that fits no weight; {OptionError} for an unknown form.
 */
export function withForms(owner: string, graph: Graph, forms: WeightForms): Graph {
  const rules = typeof forms === 'string' ? { '*': forms } : forms;
  for (const form of Object.values(rules)) {
    if (!Object.hasOwn(FORMS, form)) {
      const known = Object.keys(FORMS).join(', ');
      throw new OptionError(`${owner}: weights cannot be "${form}". Known: ${known}.`);
    }
  }
  const unused = new Set(Object.keys(rules));
  const weights = { ...graph.weights };
  for (const node of graph.nodes) {
    for (const [role, key] of Object.entries(node.weights)) {
      const form = formFor(rules, node, role, unused);
      if (form)
        weights[key] = FORMS[form](
          graph.weights[key]!,
          outAxis(node.op, role, graph.weights[key]!),
        );
    }
  }
  const [wrong] = unused;
  if (wrong !== undefined) {
    const names = Object.keys(graph.weights).join(', ');
    throw new NoMatchError(
      `${owner}: weights: "${wrong}" fits no layer and no weight. The weights: ${names || 'none'}.`,
    );
  }
  return { ...graph, weights };
}

/** The rule for one weight itself goes before those for its layer. */
function formFor(
  rules: Readonly<Record<string, WeightForm>>,
  { layer }: GraphNode,
  role: string,
  unused: Set<string>,
): WeightForm | undefined {
  let found: WeightForm | undefined;
  for (const [name, form] of Object.entries(rules)) {
    if (!fits(name, `${layer}/${role}`)) continue;
    unused.delete(name);
    if (name !== '*') return form;
    if (isKernel(role)) found = form;
  }
  for (const [name, form] of Object.entries(rules)) {
    if (name === '*' || !fits(name, layer) || !isKernel(role)) continue;
    unused.delete(name);
    return form;
  }
  return found;
}

function fits(pattern: string, name: string): boolean {
  const parts = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`).test(name);
}

/** The axis of the output channels; null where all share one scale. */
export function outAxis(op: string, role: string, { encoding }: GraphWeight): number | null {
  const rank = encoding.shape.length;
  if (rank < 2) return null;
  if (/^depthwiseKernel$/i.test(role) || (/transpose/i.test(op) && rank > 2)) return rank - 2;
  return rank - 1;
}

function changed({ encoding }: GraphWeight, values: ValueCode, data: Float32Array): GraphWeight {
  let nonzero = 0;
  for (const value of data) if (value !== 0) nonzero++;
  return { encoding: { ...encoding, values, nonzero }, data };
}

/** `w' = s k`, `k = clip(round(w / s))`, `s = max|w| / (2^(bits-1) - 1)` of each channel. */
function affine(weight: GraphWeight, axis: number | null, bits: number): GraphWeight {
  const { encoding, data } = weight;
  const own = codesOf(weight).values;
  if (own.type === 'affine' && own.bits <= bits) return weight;
  const { shape } = encoding;
  const count = axis === null ? 1 : shape[axis]!;
  const top = 2 ** (bits - 1) - 1;
  const at = scaleAt(shape, axis, undefined, count);
  const largest = new Float32Array(count);
  for (let i = 0; i < data!.length; i++) {
    largest[at(i)] = Math.max(largest[at(i)]!, Math.abs(data![i]!));
  }
  const scale = largest.map((value) => (value === 0 ? 1 : value / top));
  const values = new Float32Array(data!.length);
  for (let i = 0; i < values.length; i++) {
    const step = scale[at(i)]!;
    values[i] = step * Math.max(-top, Math.min(top, Math.round(data![i]! / step)));
  }
  const zeroPoint = new Int32Array(count).fill(2 ** (bits - 1));
  return changed(weight, { type: 'affine', bits, scale, zeroPoint, axis }, values);
}

function signs(weight: GraphWeight, axis: number | null): GraphWeight {
  const { encoding, data } = weight;
  if (encoding.values.type === 'binary') return weight;
  const { shape, mask } = encoding;
  const count = axis === null ? 1 : shape[axis]!;
  const at = scaleAt(shape, axis, undefined, count);
  const sums = new Float64Array(count);
  const kept = new Float64Array(count);
  for (let i = 0; i < data!.length; i++) {
    if (mask && !mask[i]) continue;
    sums[at(i)]! += Math.abs(data![i]!);
    kept[at(i)]!++;
  }
  const scale = Float32Array.from(sums, (sum, k) => sum / Math.max(1, kept[k]!));
  const values = data!.map((value, i) =>
    mask && !mask[i] ? 0 : value < 0 ? -scale[at(i)]! : scale[at(i)]!,
  );
  return changed(weight, { type: 'binary', bits: 1, scale, axis }, values);
}

const SHARED_IN_MATRICES = 32;
const SHARED_IN_CONVOLUTIONS = 256;

function shared(weight: GraphWeight): GraphWeight {
  const { encoding, data } = weight;
  if (encoding.values.type === 'codebook') return weight;
  const clusters = encoding.shape.length > 2 ? SHARED_IN_CONVOLUTIONS : SHARED_IN_MATRICES;
  const used = data!.filter((value) => value !== 0);
  if (used.length === 0) return weight;
  const centroids = kmeansLinear(used, clusters);
  const values = data!.map((value) => (value === 0 ? 0 : nearest(centroids, value)));
  const bits = Math.max(1, Math.ceil(Math.log2(centroids.length)));
  return changed(weight, { type: 'codebook', bits, centroids, axis: null }, values);
}

function nearest(ascending: Float32Array, value: number): number {
  let low = 0;
  let high = ascending.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (ascending[middle]! <= value) low = middle;
    else high = middle;
  }
  return value - ascending[low]! <= ascending[high]! - value ? ascending[low]! : ascending[high]!;
}
