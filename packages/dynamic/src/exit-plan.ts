// A model taken apart at its outputs: what has to run to reach each of them, given those before.
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import type { LayersModel, SymbolicTensor } from '@tensorflow/tfjs-layers';
import { ShapeError, UnsupportedError } from '@thimble/base';

type Layer = tfl.layers.Layer;

/** One application of a layer; values are numbered. */
interface Application {
  layer: Layer;
  inputs: number[];
  outputs: number[];
  /** What the model says of the outputs. */
  tensors: readonly SymbolicTensor[];
}

/** What leads from one exit to the next. */
export interface Segment {
  applications: readonly Application[];
  /** The value that the exit gives. */
  output: number;
  /** The values that later segments want. */
  live: ReadonlySet<number>;
  /** True where the scores are probabilities, false where they are logits. */
  probabilities: boolean;
}

/** A model as a way from exit to exit. */
export interface ExitPlan {
  inputs: readonly number[];
  segments: readonly Segment[];
  /** Number of scores, the same at every exit. */
  classes: number;
}

interface Node {
  inboundLayers: Layer[];
  nodeIndices: number[];
  tensorIndices: number[];
  outputTensors: SymbolicTensor[];
}

/** Visits the applications that lead to a value, each once, in an order in which they can run. */
class Walk {
  readonly numbers = new Map<string, number>();
  readonly found: Application[] = [];
  readonly #seen = new Set<string>();

  number(layer: Layer, node: number, tensor: number): number {
    const key = `${layer.id}:${node}:${tensor}`;
    const known = this.numbers.get(key) ?? this.numbers.size;
    this.numbers.set(key, known);
    return known;
  }

  visit(layer: Layer, index: number): void {
    const key = `${layer.id}:${index}`;
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    const node = layer.inboundNodes[index] as unknown as Node;
    node.inboundLayers.forEach((inbound, i) => {
      this.visit(inbound, node.nodeIndices[i]!);
    });
    if (node.inboundLayers.length === 0) return; // an input
    this.found.push({
      layer,
      inputs: node.inboundLayers.map((inbound, i) =>
        this.number(inbound, node.nodeIndices[i]!, node.tensorIndices[i]!),
      ),
      outputs: node.outputTensors.map((_, i) => this.number(layer, index, i)),
      tensors: node.outputTensors,
    });
  }
}

/** Where a symbolic tensor comes from. */
export function originOf(tensor: SymbolicTensor): [layer: Layer, node: number, tensor: number] {
  const { nodeIndex, tensorIndex } = tensor as SymbolicTensor & Record<string, number>;
  return [tensor.sourceLayer, nodeIndex!, tensorIndex!];
}

/** True where the output is one of probabilities: its layer ends in a softmax. */
export function givesProbabilities({ sourceLayer }: SymbolicTensor): boolean {
  const { activation } = sourceLayer.getConfig();
  return activation === 'softmax' || sourceLayer.getClassName() === 'Softmax';
}

const plans = new WeakMap<LayersModel, ExitPlan>();

/** The applications of layers that lead to an output, in an order in which they can run. */
export function applicationsTo(output: SymbolicTensor): readonly Application[] {
  const walk = new Walk();
  const [layer, node] = originOf(output);
  walk.visit(layer, node);
  return walk.found;
}

/** The layers that lead to an output, without the inputs. */
export function layersTo(output: SymbolicTensor): Set<Layer> {
  return new Set(applicationsTo(output).map(({ layer }) => layer));
}

/**
 * The way through a model with several outputs, each of shape [batch, classes].
 *
 * @throws UnsupportedError where a layer hands on a mask of time steps; ShapeError where the outputs differ.
 */
export function exitPlan(owner: string, model: LayersModel): ExitPlan {
  const known = plans.get(model);
  if (known) return known;
  const shapes = model.outputs.map(({ shape }) => shape.slice(1));
  const [first] = shapes;
  if (shapes.some((shape) => shape.length !== 1 || shape[0] === null || shape[0] !== first![0])) {
    const text = shapes.map((shape) => `[${shape.map((n) => n ?? '?').join(', ')}]`);
    throw new ShapeError(
      `${owner}: every output must be scores of the same classes, [classes] per example, but they are ${text.join(', ')}.`,
    );
  }
  const walk = new Walk();
  const inputs = model.inputs.map((tensor) => walk.number(...originOf(tensor)));
  let done = 0;
  const parts = model.outputs.map((tensor) => {
    const [layer, node, index] = originOf(tensor);
    walk.visit(layer, node);
    const applications = walk.found.slice(done);
    done = walk.found.length;
    const output = walk.number(layer, node, index);
    return { applications, output, probabilities: givesProbabilities(tensor) };
  });
  for (const { layer } of walk.found) {
    if (layer.getClassName() === 'Masking' || (layer as { maskZero?: boolean }).maskZero) {
      throw new UnsupportedError(
        `${owner}: layer "${layer.name}" hides time steps by a mask, which is not passed on between exits. Use predict.`,
      );
    }
  }
  const segments = parts.map((part, i) => {
    const later = parts.slice(i + 1);
    const wanted = [
      ...later.flatMap(({ applications }) => applications.flatMap((each) => each.inputs)),
      ...later.map(({ output }) => output),
    ];
    const made = new Set(
      later.flatMap(({ applications }) => applications.flatMap((a) => a.outputs)),
    );
    return { ...part, live: new Set(wanted.filter((value) => !made.has(value))) };
  });
  const plan = { inputs, segments, classes: first![0]! };
  plans.set(model, plan);
  return plan;
}

/** Values by number. */
export type Values = Map<number, tf.Tensor>;

/**
 * Runs a segment on the values so far and returns its output and the values to go on with; those that are
 * needed no more are disposed of.
 */
export function runSegment(
  { applications, output, live }: Segment,
  values: Values,
): { output: tf.Tensor; values: Values } {
  const [made, ...kept] = tf.tidy(() => {
    const all: Values = new Map(values);
    for (const { layer, inputs, outputs } of applications) {
      const given = inputs.map((value) => all.get(value)!);
      const answer = layer.apply(given.length === 1 ? given[0]! : given, {});
      [answer].flat().forEach((tensor, i) => void all.set(outputs[i]!, tensor as tf.Tensor));
    }
    return [tf.clone(all.get(output)!), ...[...live].map((value) => tf.clone(all.get(value)!))];
  });
  tf.dispose([...values.values()]);
  return { output: made!, values: new Map([...live].map((value, i) => [value, kept[i]!])) };
}

/** The rows of all values; the values themselves are disposed of. */
export function takeRows(values: Values, rows: Int32Array): Values {
  const indices = tf.tensor1d(rows, 'int32');
  const taken = new Map([...values].map(([key, value]) => [key, tf.gather(value, indices)]));
  tf.dispose([indices, ...values.values()]);
  return taken;
}
