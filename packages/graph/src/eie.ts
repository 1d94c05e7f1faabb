// EIE: what an engine of many small processing elements would save on sparse dense layers, by simulation.
import {
  checkInteger,
  checkOptions,
  DataError,
  NoMatchError,
  ShapeError,
  UnsupportedError,
} from '@thimble/base';
import type { Graph } from './graph.ts';

/** Options of {@link simulateEie}. */
export interface EieOptions {
  /** Processing elements N; output i belongs to element i mod N. Default 64. */
  processingElements?: number;
  /** Activations that can wait in front of each element. Default 8. */
  fifoDepth?: number;
  /** Bits of a distance between kept weights, 1 to 16; longer ones take filler zeros. Default 4. */
  indexBits?: number;
}

/** What {@link simulateEie} found for one layer, over all examples. */
export interface EieLayer {
  layer: string;
  /** Multiply-accumulates of the dense layer. */
  macs: number;
  /** Those of kept weights with activations that are not zero. */
  done: number;
  /** Filler zeros multiplied on the way. */
  fillers: number;
  cycles: number;
  /** Share of the elements' cycles that multiply: (done + fillers) / (N cycles). */
  busy: number;
  /** Work of the busiest element over the mean; 1 where it is even, NaN without work. */
  imbalance: number;
}

/** Rows of the engine's memory: how many entries each element has in each column. */
interface Columns {
  inputs: number;
  /** Kept weights and fillers, [column, element]. */
  kept: Uint32Array;
  fillers: Uint32Array;
}

const OWNER = 'simulateEie';
const KNOWN = ['processingElements', 'fifoDepth', 'indexBits'];

/**
 * Simulates dense layers on EIE, cycle by cycle. The kernel is stored column by column (a column: the weights of
 * one input), each column spread over the N elements by output number; an element stores the distance to
 * its next kept weight in `indexBits`, with a filler zero for every 2^indexBits zeros of a gap.
 *
 * - inputs that are zero are skipped; one that is not is sent to all elements, one a cycle, in order
 * - an element multiplies one entry a cycle and takes a waiting activation at once when it is done with the
 *   last: `start_k(j) = max(sent(j), end_k(j - 1))`, `end_k(j) = start_k(j) + entries_k(j)`
 * - sending waits for room: `sent(j) = max(sent(j - 1) + 1, max_k start_k(j - fifoDepth))`
 * - a product ends with its last element; examples follow one another
 *
 * Work is saved by zeros on both sides: for weights and activations that are independent,
 * `done / macs = weight density * activation density`. The chip itself is not at hand: memory and the pipeline's
 * latency are left out.
 *
 * Paper: Han et al., "EIE: Efficient Inference Engine on Compressed Deep Neural Network", 2016, sections 3-4.
 *
 * @param activations what each dense layer gets, by the layer's name: examples one after the other
 * @throws {NoMatchError} for a name that is no layer; {UnsupportedError} for layers that are not dense and kernels
 *   without values; {ShapeError} for activations that are no whole number of examples; {DataError} for NaN.
 * @example
 * const [layer] = simulateEie(graph, { hidden: image }, { processingElements: 4 });
 * console.log(layer.done / layer.macs, layer.cycles, layer.imbalance);
 */
export function simulateEie(
  graph: Graph,
  activations: Readonly<Record<string, Float32Array>>,
  options: EieOptions = {},
): EieLayer[] {
  checkOptions(OWNER, options, KNOWN);
  const { processingElements = 64, fifoDepth = 8, indexBits = 4 } = options;
  checkInteger(OWNER, 'processingElements', processingElements, 1);
  checkInteger(OWNER, 'fifoDepth', fifoDepth, 1);
  checkInteger(OWNER, 'indexBits', indexBits, 1, 16);
  return Object.entries(activations).map(([layer, values]) => {
    const { data, shape } = kernelOf(graph, layer);
    const [inputs, outputs] = shape as [number, number];
    if (values.length === 0 || values.length % inputs !== 0) {
      throw new ShapeError(
        `${OWNER}: "${layer}" takes ${inputs} values for an example; ${values.length} were given.`,
      );
    }
    if (values.some(Number.isNaN)) throw new DataError(`${OWNER}: a NaN in what "${layer}" gets.`);
    const columns = columnsOf(data, inputs, outputs, processingElements, 2 ** indexBits);
    return run(layer, columns, values, outputs, processingElements, fifoDepth);
  });
}

function kernelOf(graph: Graph, layer: string): { data: Float32Array; shape: number[] } {
  const node = graph.nodes.find((each) => each.layer === layer && each.op !== 'input');
  if (!node) {
    const dense = graph.nodes.filter(({ op }) => op === 'dense').map((each) => each.layer);
    throw new NoMatchError(
      `${OWNER}: there is no layer "${layer}". Dense layers: ${dense.join(', ') || 'none'}.`,
    );
  }
  if (node.op !== 'dense') {
    throw new UnsupportedError(
      `${OWNER}: "${layer}" is ${node.op}; the engine takes dense layers.`,
    );
  }
  const { data, encoding } = graph.weights[node.weights.kernel!]!;
  if (data) return { data, shape: encoding.shape };
  throw new UnsupportedError(
    `${OWNER}: the kernel of "${layer}" has no values. Lower the model with its weights.`,
  );
}

function columnsOf(
  kernel: Float32Array,
  inputs: number,
  outputs: number,
  elements: number,
  reach: number,
): Columns {
  const kept = new Uint32Array(inputs * elements);
  const fillers = new Uint32Array(inputs * elements);
  for (let column = 0; column < inputs; column++) {
    for (let element = 0; element < elements; element++) {
      const at = column * elements + element;
      let gap = 0;
      for (let output = element; output < outputs; output += elements) {
        if (kernel[column * outputs + output] === 0) {
          gap++;
          continue;
        }
        kept[at]!++;
        fillers[at]! += Math.floor(gap / reach);
        gap = 0;
      }
    }
  }
  return { inputs, kept, fillers };
}

function run(
  layer: string,
  { inputs, kept, fillers }: Columns,
  values: Float32Array,
  outputs: number,
  elements: number,
  depth: number,
): EieLayer {
  const examples = values.length / inputs;
  const work = new Float64Array(elements);
  const end = new Float64Array(elements);
  /** When the last element began with each of the last `depth` activations. */
  const begun = new Float64Array(depth);
  let [done, filled, cycles] = [0, 0, 0];
  for (let example = 0; example < examples; example++) {
    end.fill(0);
    begun.fill(0);
    let [sent, count] = [-1, 0];
    for (let column = 0; column < inputs; column++) {
      if (values[example * inputs + column] === 0) continue;
      const slot = count % depth;
      sent = Math.max(sent + 1, begun[slot]!);
      begun[slot] = 0;
      for (let element = 0; element < elements; element++) {
        const at = column * elements + element;
        const start = Math.max(sent, end[element]!);
        const entries = kept[at]! + fillers[at]!;
        begun[slot] = Math.max(begun[slot]!, start);
        end[element] = start + entries;
        work[element]! += entries;
        done += kept[at]!;
        filled += fillers[at]!;
      }
      count++;
    }
    cycles += end.reduce((latest, time) => Math.max(latest, time), sent + 1);
  }
  const total = done + filled;
  const largest = work.reduce((most, each) => Math.max(most, each), 0);
  return {
    layer,
    macs: inputs * outputs * examples,
    done,
    fillers: filled,
    cycles,
    busy: cycles === 0 ? 0 : total / (elements * cycles),
    imbalance: (largest * elements) / total,
  };
}
