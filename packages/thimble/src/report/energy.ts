// What an inference would take, by published figures: an estimate, not a measurement.
import { sizeOf } from '@thimble/base';
import { cost, type Graph, type GraphNode, type GraphWeight } from '@thimble/graph';

/**
 * Picojoules in 45 nm at 0.9 V: M. Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014,
 * figure 1.1.9. The caches and memory there are for 64 bits; here for 32, as Han et al. (2015) quote them.
 */
export const PICOJOULES: Readonly<
  Record<'floatMultiply' | 'floatAdd' | 'int8Multiply' | 'int32Add' | 'sram32' | 'dram32', number>
> = {
  floatMultiply: 3.7,
  floatAdd: 0.9,
  int8Multiply: 0.2,
  int32Add: 0.1,
  /** A cache of 8 kB. */
  sram32: 5,
  dram32: 640,
};

/** Where the figures are from, in a line. */
export const ENERGY_SOURCE: string =
  "M. Horowitz, Computing's energy problem, ISSCC 2014 (45 nm, 0.9 V)";

/** Microjoules for one example. */
export interface Energy {
  /** Multiply-accumulates with weights that are not zero. */
  arithmetic: number;
  /** Every stored weight is read from memory once. */
  weights: number;
  /** Every value between layers is written into a cache and read from it once. */
  values: number;
  total: number;
}

/**
 * Estimates the energy of one inference from the network as data, by the figures of Horowitz (2014):
 *
 * - arithmetic: a float multiplication and addition for each multiply-accumulate with a weight that is not zero; with
 *   weights and inputs of at most 8 bits an 8-bit multiplication and a 32-bit integer addition; with binary weights
 *   the addition alone
 * - weights: their bits before entropy coding, from DRAM, once
 * - values: 32 bits or what they are rounded to, written into a cache and read once
 *
 * It says what an ideal machine for the network would take, which skips zeros; nothing is measured.
 *
 * @example
 * const { total } = energyOf(lower(model));
 * console.log(`${total.toFixed(2)} microjoules an example`);
 */
export function energyOf(graph: Graph): Energy {
  const { nodes, total } = cost(graph);
  const macs = new Map(nodes.map((node) => [node.name, node.macs]));
  let [arithmetic, values] = [0, 0];
  for (const node of graph.nodes) {
    const own = macs.get(node.name) ?? 0;
    if (own > 0) arithmetic += own * density(graph, node) * perMultiply(graph, node);
    const bits = node.codes?.output?.bits ?? 32;
    values += (valuesOf(node) * bits * 2 * PICOJOULES.sram32) / 32;
  }
  const weights = (total.bits * PICOJOULES.dram32) / 32;
  const [a, w, v] = [arithmetic, weights, values].map((picojoules) => picojoules / 1e6);
  return { arithmetic: a!, weights: w!, values: v!, total: a! + w! + v! };
}

/** Numbers that a node gives for one example; those of open sizes are left out. */
export function valuesOf({ outputs }: GraphNode): number {
  return outputs.reduce(
    (sum, shape) => sum + (shape.includes(null) ? 0 : sizeOf(shape as number[])),
    0,
  );
}

function kernelsOf(graph: Graph, node: GraphNode): GraphWeight[] {
  return Object.entries(node.weights)
    .filter(([role]) => /kernel$/i.test(role))
    .map(([, key]) => graph.weights[key]!);
}

/** Share of the entries of the kernels that are not zero. */
function density(graph: Graph, node: GraphNode): number {
  let [nonzero, all] = [0, 0];
  for (const { encoding } of kernelsOf(graph, node)) {
    nonzero += encoding.nonzero;
    all += sizeOf(encoding.shape);
  }
  return all > 0 ? nonzero / all : 1;
}

/** Picojoules of one multiply-accumulate. */
function perMultiply(graph: Graph, node: GraphNode): number {
  const { floatMultiply, floatAdd, int8Multiply, int32Add } = PICOJOULES;
  const kernels = kernelsOf(graph, node).map(({ encoding }) => encoding.values);
  const inputs = node.codes?.inputs ?? [];
  const rounded = inputs.length > 0 && inputs.every((code) => code !== null && code.bits <= 8);
  const binary = kernels.length > 0 && kernels.every(({ type }) => type === 'binary');
  if (node.op.startsWith('xnor')) return int32Add;
  if (binary) return rounded ? int32Add : floatAdd;
  const small = kernels.every(({ type, bits }) => type === 'affine' && bits <= 8);
  return rounded && small ? int8Multiply + int32Add : floatMultiply + floatAdd;
}
