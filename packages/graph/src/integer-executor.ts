// The reference for inference in integers: slow, plain, and exact. What quantisation-aware training
// simulates is what this computes.
import { checkOptions, DataError, ShapeError, sizeOf, UnsupportedError } from '@thimble/base';
import type { Graph, GraphNode } from './graph.ts';
import { integerRules } from './integer-rules.ts';
import { type CodedValue, dequantize, type IntegerValue, quantize } from './integer-value.ts';
import { validateGraph } from './validate.ts';

/** What {@link runInteger} found. */
export interface IntegerRun {
  /** The outputs, in real numbers. */
  outputs: Float32Array[];
  /** What every node gave: whole numbers with their step, or real numbers, by name. */
  values: Map<string, IntegerValue>;
  /** The codes of what every node with quantised inputs got, the zero point taken off, by name. */
  inputCodes: Map<string, Int32Array[]>;
  /**
   * Nodes with sums that could exceed 2^24 in magnitude for some input; where there are none, float32 adds
   * up to the same bits in any order.
   */
  beyondFloat32: string[];
}

/** Options of {@link runInteger}. */
export interface IntegerRunOptions {
  /** Examples in the inputs. Default: as many as the first input holds. */
  batch?: number;
}

/**
 * Runs a lowered network on integers. Kernels must be stored as affine codes and the inputs of all layers
 * with kernels be coded, as `lower` gives it for a model that went through `quantizeAware` and training.
 *
 * Arithmetic, with `R` rounding halves to even, `F` rounding to float32, and every code k taken without its
 * zero point, so that it stands for `s k`:
 *
 * - an input: `k = clip(R(F(x / s)) , low - z, high - z)`
 * - a product: `acc = sum k_x k_w + k_b` in int32, `k_b = clip(R(F(b / s_acc)), -2^30, 2^30)`,
 *   `s_acc = F(s_x s_w)`, one per output channel where the kernel has one each
 * - ReLU, maximum pooling, flatten and reshape work on `acc` or codes as they are: they commute with the
 *   rounding that follows
 * - average pooling: `acc = sum k_x` with the step `F(s_x / n)`
 * - requantisation: `k' = clip(R(F(F(s_acc acc) / s')), low - z', high - z')`: one float32 product and one
 *   float32 quotient per value
 * - add, subtract, multiply, average and concatenate: `F` of the values `F(s k)` from left to right, then
 *   rounded by the next layer's input
 *
 * The same operations in the same order as a layer with quantised activations and weights has in training
 * and prediction, on values that float32 holds exactly while sums stay below 2^24 (`beyondFloat32` tells
 * where they might not). So outputs equal those of the model bit for bit on backends with IEEE arithmetic
 * (cpu, wasm, thimble), but for the sign of zeros. Softmax, sigmoid and tanh are computed in double precision
 * and rounded; there the last bit may differ.
 *
 * @param inputs the examples of every input one after the other, row by row
 * @throws {UnsupportedError} for operations that it does not know, and layers that are not quantised;
 *   {ShapeError} for inputs of the wrong size; {DataError} for NaN in them and sums beyond int32.
 * @example
 * quantizeAware(model);
 * model.compile({ optimizer: 'adam', loss: 'categoricalCrossentropy' });
 * await fit(model, train, { epochs: 1 });
 * const { outputs } = runInteger(lower(model), [Float32Array.from(images.dataSync())]);
 */
export function runInteger(
  graph: Graph,
  inputs: readonly Float32Array[],
  options: IntegerRunOptions = {},
): IntegerRun {
  checkOptions('runInteger', options, ['batch']);
  validateGraph(graph);
  const byName = new Map(graph.nodes.map((node) => [node.name, node]));
  if (inputs.length !== graph.inputs.length) {
    throw new ShapeError(
      `runInteger: ${inputs.length} inputs for a network with ${graph.inputs.length}.`,
    );
  }
  const run: IntegerRun = {
    outputs: [],
    values: new Map(),
    inputCodes: new Map(),
    beyondFloat32: [],
  };
  let { batch } = options;
  graph.inputs.forEach((name, i) => {
    const shape = fixedShape(byName.get(name)!);
    const data = inputs[i]!;
    if (!ArrayBuffer.isView(data) && typeof data?.[0] !== 'number') {
      throw new DataError(
        `runInteger: input "${name}" must be a Float32Array with all values one after the other. Of nested lists ` +
          'Float32Array.from(list.flat(9)) makes one.',
      );
    }
    batch ??= data.length / sizeOf(shape);
    if (data.length !== batch * sizeOf(shape) || !Number.isInteger(batch)) {
      throw new ShapeError(
        `runInteger: input "${name}" has ${data.length} numbers; it takes ${sizeOf(shape)} per example.`,
      );
    }
    const bad = data.find((value) => !Number.isFinite(value));
    if (bad !== undefined) throw new DataError(`runInteger: ${bad} in input "${name}".`);
    run.values.set(name, { kind: 'real', shape: [batch, ...shape], data });
  });
  for (const node of graph.nodes) {
    if (node.op === 'input') continue;
    const rule = integerRules[node.op];
    if (!rule || node.attributes.timeDistributed) {
      throw new UnsupportedError(
        `runInteger: node "${node.name}" is a ${node.op}${node.attributes.timeDistributed ? ' in TimeDistributed' : ''}, which has no rule in integers. ` +
          `It knows: ${Object.keys(integerRules).join(', ')}.`,
      );
    }
    const given = node.inputs.map((source) => run.values.get(source.node)!);
    const codes = node.codes?.inputs ?? [];
    const coded = given.map((value, i) => (codes[i] ? quantize(value, codes[i]) : value));
    if (codes.some(Boolean)) {
      run.inputCodes.set(
        node.name,
        coded.filter(isCoded).map(({ data }) => data),
      );
    }
    const made = rule({ graph, node, inputs: coded, run });
    run.values.set(node.name, node.codes?.output ? quantize(made, node.codes.output) : made);
  }
  run.outputs = graph.outputs.map(({ node }) => dequantize(run.values.get(node)!));
  return run;
}

function isCoded(value: IntegerValue): value is CodedValue {
  return value.kind === 'coded';
}

function fixedShape({ name, outputs }: GraphNode): number[] {
  const [shape] = outputs;
  if (!shape || shape.includes(null)) {
    throw new ShapeError(`runInteger: the shape of input "${name}" is open: [${shape}].`);
  }
  return shape as number[];
}
