// From a network as plain data to a tfjs-layers model; the way back from core's `lower`.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { NoMatchError, ShapeError, sizeOf, UnsupportedError } from '@thimble/base';
import { layerFromConfig, opOfClass, storedVariable } from '@thimble/core';
import type { Graph, GraphNode, Shape } from '@thimble/graph';

type Layer = tfl.layers.Layer;
type Values = tfl.SymbolicTensor[];
type Config = tf.serialization.ConfigDict;

/**
 * A plain tfjs-layers model of a network, with its weights as they are computed with. Shared layers stay
 * shared; nested models come back as their layers, names with '_' in place of '/'. How activations are
 * coded is left out: the model computes in floats.
 *
 * @throws {UnsupportedError} naming a node whose operation no registered layer class has (import the package
 *   that defines it); {ShapeError} for weights that do not fit their layer.
 * @example
 * const again = modelOfGraph(lower(model));
 */
export function modelOfGraph(graph: Graph): tfl.LayersModel {
  const builder = new Builder(graph);
  try {
    return builder.model();
  } catch (error) {
    builder.dispose();
    throw error;
  }
}

class Builder {
  readonly #graph: Graph;
  readonly #nodes: Map<string, GraphNode>;
  readonly #layers = new Map<string, Layer>();
  readonly #values = new Map<string, Values>();
  readonly #names = new Set<string>();

  constructor(graph: Graph) {
    this.#graph = graph;
    this.#nodes = new Map(graph.nodes.map((node) => [node.name, node]));
  }

  model(): tfl.LayersModel {
    const { nodes, inputs, outputs, name } = this.#graph;
    const stored = Object.values(this.#graph.weights);
    const entries = stored.reduce((sum, { encoding }) => sum + sizeOf(encoding.shape), 0);
    withinBudget(FREE_ENTRIES + entries, () => this.#all(nodes));
    const value = (node: string, output: number) => this.#values.get(node)![output]!;
    return tfl.model({
      name,
      inputs: inputs.map((input) => value(input, 0)),
      outputs: outputs.map(({ node, output }) => value(node, output)),
    });
  }

  #all(nodes: readonly GraphNode[]): void {
    for (const node of nodes) {
      if (this.#values.has(node.name)) continue;
      if (node.op === 'input') this.#values.set(node.name, [this.#input(node)]);
      else if (node.layer !== node.name && /\/forward(:\d+)?$/.test(node.name)) {
        this.#bidirectional(node);
      } else this.#values.set(node.name, this.#apply(node));
    }
  }

  /** Frees the layers that were made. */
  dispose(): void {
    for (const layer of this.#layers.values()) layer.dispose();
  }

  #input({ name, outputs }: GraphNode): tfl.SymbolicTensor {
    return tfl.input({ name: this.#free(name), shape: outputs[0]! as Shape as number[] });
  }

  #apply(node: GraphNode): Values {
    const known = this.#layers.get(node.layer);
    const layer = known ?? this.#make(node);
    const inputs = node.inputs.map(
      ({ node: source, output }) => this.#values.get(source)![output]!,
    );
    const made = applied(node, layer, inputs);
    if (!known) {
      this.#layers.set(node.layer, layer);
      this.#setWeights(node, innerOf(layer));
    }
    return made;
  }

  #make(node: GraphNode): Layer {
    const { timeDistributed, ...attributes } = node.attributes;
    const name = this.#free(node.layer);
    if (!timeDistributed) return layerOf(node, { name, ...(attributes as Config) });
    const inner = layerOf(node, { name: this.#free(`${name}_inner`), ...(attributes as Config) });
    return tfl.layers.timeDistributed({ name, layer: inner });
  }

  /** The nodes `forward`, `backward`, perhaps `reverse` and the one that merges them, as one layer. */
  #bidirectional(node: GraphNode): void {
    const [, time = ''] = /(:\d+)?$/.exec(node.name)!;
    const part = (suffix: string) => this.#nodes.get(`${node.layer}${suffix}${time}`);
    const backward = part('/backward');
    if (!backward) throw new UnsupportedError(`Node "${node.name}" has no "backward" beside it.`);
    const merged = part('');
    const inputs = node.inputs.map(
      ({ node: source, output }) => this.#values.get(source)![output]!,
    );
    const known = this.#layers.get(node.layer);
    const layer = known ?? this.#makeBidirectional(node, merged);
    const outputs = applied(node, layer, inputs);
    if (!known) {
      this.#layers.set(node.layer, layer);
      const { forwardLayer, backwardLayer } = layer as unknown as Record<string, Layer>;
      this.#setWeights(node, forwardLayer!);
      this.#setWeights(backward, backwardLayer!);
    }
    const states = node.outputs.length - 1;
    const first = merged ? 1 : 2;
    const side = (value: tfl.SymbolicTensor, from: number) => [
      value,
      ...outputs.slice(from, from + states),
    ];
    this.#values.set(node.name, side(outputs[0]!, first));
    this.#values.set(backward.name, side(outputs[first - 1]!, first + states));
    const reverse = part('/reverse');
    if (reverse) this.#values.set(reverse.name, [outputs[first - 1]!]);
    if (merged) this.#values.set(merged.name, [outputs[0]!]);
  }

  #makeBidirectional(node: GraphNode, merged: GraphNode | undefined): Layer {
    const name = this.#free(node.layer);
    const config: Config = { ...(node.attributes as Config), name: this.#free(`${name}_forward`) };
    const mergeMode = merged ? MERGES[merged.op] : null;
    if (mergeMode === undefined || config.timeDistributed) {
      throw new UnsupportedError(
        `Layer "${node.layer}" is bidirectional in a way that is not known.`,
      );
    }
    return tfl.layers.bidirectional({
      name,
      layer: layerOf(node, config) as tfl.RNN,
      mergeMode: mergeMode as 'concat',
    });
  }

  #setWeights(node: GraphNode, layer: Layer): void {
    for (const [role, key] of Object.entries(node.weights)) {
      const { encoding, data } = this.#graph.weights[key]!;
      const variable = storedVariable(layer, role);
      if (!variable) {
        throw new UnsupportedError(`Layer "${node.layer}", a ${node.op}, has no weight "${role}".`);
      }
      if (variable.shape.join() !== encoding.shape.join()) {
        throw new ShapeError(
          `"${role}" of layer "${node.layer}" has shape [${variable.shape}]; the one given has [${encoding.shape}].`,
        );
      }
      // Not `write`, which would apply the constraint of the weight.
      tf.tidy(() => {
        (variable.read() as tf.Variable).assign(tf.tensor(data!, encoding.shape, 'float32'));
      });
    }
  }

  /** A layer's path as a name that is not in use yet. */
  #free(path: string): string {
    const name = path.replaceAll('/', '_');
    let free = name;
    for (let i = 1; this.#names.has(free); i++) free = `${name}_${i}`;
    this.#names.add(free);
    return free;
  }
}

/** Entries that the weights of layers may have beside those that are stored. */
const FREE_ENTRIES = 2 ** 20;
const MOST_AXES = 8;

/**
 * Makes layers whose weights have at most `entries` entries: those that a file asks for are made before it is known
 * that it has no values for them.
 *
 * @throws {ShapeError} for more.
 */
function withinBudget(entries: number, make: () => void): void {
  // Protected, but all layers make their weights with it, those inside others too.
  const prototype = tfl.layers.Layer.prototype as unknown as {
    addWeight(this: Layer, name: string, shape: Shape, ...rest: unknown[]): unknown;
  };
  const stock = prototype.addWeight;
  let left = entries;
  prototype.addWeight = function (name, shape, ...rest) {
    const size = shape.length > MOST_AXES ? Number.NaN : sizeOf(shape as number[]);
    left -= size;
    if (!(left >= 0 && Number.isInteger(size))) {
      throw new ShapeError(
        `"${name}" of layer "${this.name}" would have the shape [${shape.slice(0, MOST_AXES)}], more than there are values for.`,
      );
    }
    return stock.call(this, name, shape, ...rest);
  };
  try {
    make();
  } finally {
    prototype.addWeight = stock;
  }
}

const MERGES: Record<string, string> = {
  concatenate: 'concat',
  add: 'sum',
  average: 'ave',
  multiply: 'mul',
};

function applied({ name }: GraphNode, layer: Layer, inputs: Values): Values {
  try {
    return [layer.apply(inputs.length === 1 ? inputs[0]! : inputs)].flat() as Values;
  } catch (error) {
    throw new ShapeError(`Node "${name}" cannot be applied: ${(error as Error).message}`);
  }
}

/** The layer with the weights: the one inside TimeDistributed. */
function innerOf(layer: Layer): Layer {
  return (layer as unknown as { layer?: Layer }).layer ?? layer;
}

/** The class with an operation's name, of all that are registered. */
function layerOf({ op, layer: name }: GraphNode, config: Config): Layer {
  const { classNameMap } = tf.serialization.SerializationMap.getMap();
  const className = Object.keys(classNameMap).find(
    // Activation functions, initializers and optimizers are registered there too: "softmax" before "Softmax".
    (known) =>
      opOfClass(known) === op && classNameMap[known]![0].prototype instanceof tfl.layers.Layer,
  );
  if (!className || op === 'rnn' || op === 'stackedRNNCells') {
    throw new UnsupportedError(
      `Layer "${name}" is a ${op}: no layer class of that name is registered. Import the package that defines it.`,
    );
  }
  try {
    const layer = layerFromConfig(className, config);
    // The weights are overwritten: none need be drawn.
    for (const owner of [layer, (layer as unknown as { cell?: Layer }).cell]) {
      owner?.setFastWeightInitDuringBuild(true);
    }
    return layer;
  } catch (error) {
    if (error instanceof NoMatchError) throw error;
    throw new UnsupportedError(
      `Layer "${name}", a ${op}, cannot be made: ${(error as Error).message}`,
    );
  }
}
