// From a tfjs model to a graph of plain data.
import type { LayersModel, LayerVariable, SymbolicTensor } from '@tensorflow/tfjs-layers';
import { UnsupportedError } from '@thimble/base';
import type { Graph, GraphNode, Shape, Source } from '@thimble/graph';
import { internals, type Layer } from './internals.ts';
import { attributesOf, cellsOf, codesOf, opOf, weightsToStore } from './lower-layer.ts';

/**
 * The network as plain data, for counting, writing and running without TensorFlow.js: every application
 * of every layer a node, nested models and wrappers taken apart, every weight as it is stored (what the
 * transforms say of its encoding, values as baked). The weights of transforms are part of the encodings.
 *
 * A layer inside TimeDistributed becomes its own node with the time axis in front and the attribute
 * `timeDistributed`; a Bidirectional becomes a node for each direction and one that merges them.
 *
 * @throws {UnsupportedError} when the model is not built yet, and when two layers have the same path.
 */
export function lower(model: LayersModel): Graph {
  return lowering(model, true).graph;
}

/** A graph without the values of its weights, and what each of its names stands for in the model. */
export interface Traced {
  graph: Graph;
  /** By the `layer` of a node: the layer; the wrapper for the nodes of a Bidirectional. */
  layers: ReadonlyMap<string, Layer>;
  /** By the keys that the nodes have for their weights. */
  variables: ReadonlyMap<string, LayerVariable>;
  /** What comes in at the input layers of nested models, once per application. */
  entries: readonly { layer: Layer; source: Source }[];
}

/** As {@link lower}, but reads no weight: `graph.weights` is empty. */
export function trace(model: LayersModel): Traced {
  return lowering(model, false);
}

function lowering(model: LayersModel, store: boolean): Lowering {
  if (!(model.outputs?.length > 0)) {
    throw new UnsupportedError(
      `Model "${model.name}" is not built yet: give its first layer an inputShape, or add layers.`,
    );
  }
  const made = new Lowering(model.name, store);
  const inputs = model.inputs.map((tensor) => made.addInput(tensor));
  made.graph.outputs = made.addModel(model, inputs, { path: '', lead: [] });
  return made;
}

/** A node of tfjs's own graph: one application of a layer. */
interface Application {
  inboundLayers: Layer[];
  nodeIndices: number[];
  tensorIndices: number[];
  inputShapes: Shape[];
  outputShapes: Shape[];
}

interface Place {
  /** What names get in front: 'outer/' inside a nested model. */
  path: string;
  /** The axes in front of a layer's own: the time steps of TimeDistributed. */
  lead: Shape;
}

class Lowering implements Traced {
  readonly graph: Graph;
  readonly layers: Map<string, Layer> = new Map();
  readonly variables: Map<string, LayerVariable> = new Map();
  readonly entries: { layer: Layer; source: Source }[] = [];
  readonly #store: boolean;
  readonly #applications = new Map<string, number>();
  readonly #keys = new Map<object, string>();

  constructor(name: string, store: boolean) {
    this.graph = { name, nodes: [], weights: {}, inputs: [], outputs: [] };
    this.#store = store;
  }

  addInput({ sourceLayer, shape }: SymbolicTensor): Source {
    const { name } = sourceLayer;
    const outputs = [withoutBatch(shape)];
    const input = { op: 'input', layer: name, inputs: [], outputs, attributes: {}, weights: {} };
    this.graph.inputs.push(name);
    return this.#add({ name, ...input })[0]!;
  }

  /** Adds the layers of a model applied to `inputs`; returns where its outputs come from. */
  addModel(model: LayersModel, inputs: Source[], place: Place): Source[] {
    const done = new Map<string, Source[]>();
    for (const [i, { sourceLayer }] of model.inputs.entries()) {
      done.set(`${sourceLayer.id}:0`, [inputs[i]!]);
    }
    const visit = (layer: Layer, index: number): Source[] => {
      const key = `${layer.id}:${index}`;
      const known = done.get(key);
      if (known) return known;
      const application = layer.inboundNodes[index] as unknown as Application;
      const { inboundLayers, nodeIndices, tensorIndices } = application;
      const sources = inboundLayers.map(
        (inbound, i) => visit(inbound, nodeIndices[i]!)[tensorIndices[i]!]!,
      );
      const shapes = {
        inputs: application.inputShapes.map(withoutBatch),
        outputs: application.outputShapes.map(withoutBatch),
      };
      const outputs = this.#addLayer(layer, sources, shapes, place);
      done.set(key, outputs);
      return outputs;
    };
    return model.outputs.map((tensor) => {
      const { nodeIndex, tensorIndex } = tensor as SymbolicTensor & Record<string, number>;
      return visit(tensor.sourceLayer, nodeIndex!)[tensorIndex!]!;
    });
  }

  #addLayer(
    layer: Layer,
    inputs: Source[],
    shapes: { inputs: Shape[]; outputs: Shape[] },
    { path, lead }: Place,
  ): Source[] {
    const { layers, layer: wrapped, forwardLayer } = internals(layer);
    const name = path + layer.name;
    if (layers) {
      const model = layer as LayersModel;
      model.inputs.forEach(({ sourceLayer }, i) => {
        this.entries.push({ layer: sourceLayer, source: inputs[i]! });
      });
      return this.addModel(model, inputs, { path: `${name}/`, lead });
    }
    if ((this.layers.get(name) ?? layer) !== layer) {
      throw new UnsupportedError(
        `Model "${this.graph.name}": two layers of it have the path "${name}". Give one of them ` +
          "another name, without '/'.",
      );
    }
    this.layers.set(name, layer);
    if (forwardLayer) return this.#addBidirectional(layer, inputs, shapes, { path, lead });
    if (wrapped) {
      // TimeDistributed: the time axis goes in front of what the layer inside sees.
      const time = shapes.inputs[0]!.slice(0, 1);
      const inner = { path: `${name}/`, lead: [...lead, ...time] };
      const withoutTime = (shape: Shape) => shape.slice(1);
      const stepShapes = {
        inputs: shapes.inputs.map(withoutTime),
        outputs: shapes.outputs.map(withoutTime),
      };
      return this.#addLayer(wrapped, inputs, stepShapes, inner);
    }
    return this.#addNode(layer, name, inputs, shapes.outputs, lead);
  }

  #addNode(
    layer: Layer,
    name: string,
    inputs: Source[],
    shapes: Shape[],
    lead: Shape,
    reportedAs: string = name,
  ): Source[] {
    const weights: Record<string, string> = {};
    for (const [owner, prefix] of cellsOf(layer)) {
      for (const { role, variable, store } of weightsToStore(owner)) {
        let key = this.#keys.get(variable);
        if (key === undefined) {
          key = `${name}/${prefix}${role}`;
          this.#keys.set(variable, key);
          this.variables.set(key, variable);
          if (this.#store) this.graph.weights[key] = store();
        }
        weights[prefix + role] = key;
      }
    }
    const attributes = attributesOf(layer);
    if (lead.length > 0) attributes.timeDistributed = true;
    const outputs = shapes.map((shape) => [...lead, ...shape]);
    const codes = this.#store ? codesOf(layer) : undefined;
    const times = lead.reduce<number>((product, size) => product * (size ?? Number.NaN), 1);
    const macs = internals(layer).countMacs?.(shapes[0]!);
    return this.#add({
      name,
      op: opOf(layer),
      layer: reportedAs,
      inputs,
      outputs,
      attributes,
      weights,
      ...(codes ? { codes } : {}),
      ...(macs === undefined ? {} : { macs: macs * times }),
    });
  }

  #addBidirectional(
    layer: Layer,
    inputs: Source[],
    shapes: { inputs: Shape[]; outputs: Shape[] },
    { path, lead }: Place,
  ): Source[] {
    const { forwardLayer, backwardLayer } = internals(layer);
    const name = path + layer.name;
    const { mergeMode, returnSequences } = layer as Layer & {
      mergeMode: string | null;
      returnSequences: boolean;
    };
    const [merged, ...states] = shapes.outputs;
    const half = mergeMode === 'concat' ? [...merged!.slice(0, -1), merged!.at(-1)! / 2] : merged!;
    const direction = (inner: Layer, side: string) => {
      const shapesOut = [half, ...states.slice(0, states.length / 2)];
      return this.#addNode(inner, `${name}/${side}`, inputs, shapesOut, lead, name);
    };
    const [forward, ...forwardStates] = direction(forwardLayer!, 'forward');
    let [backward, ...backwardStates] = direction(backwardLayer!, 'backward');
    const add = (suffix: string, op: string, from: Source[], shape: Shape, axis?: number) =>
      this.#add({
        name: name + suffix,
        op,
        layer: name,
        inputs: from,
        outputs: [[...lead, ...shape]],
        attributes: axis === undefined ? {} : { axis },
        weights: {},
      })[0]!;
    // The backward layer answers in its own order of time; axis 0 is time, the batch axis left out.
    if (returnSequences) {
      backward = add('/reverse', 'reverse', [backward!], half, lead.length);
    }
    const op = mergeMode === null ? undefined : MERGES[mergeMode];
    const merge = op
      ? [add('', op, [forward!, backward!], merged!, op === 'concatenate' ? -1 : undefined)]
      : [forward!, backward!];
    return [...merge, ...forwardStates, ...backwardStates];
  }

  #add(node: GraphNode): Source[] {
    const times = this.#applications.get(node.name) ?? 0;
    this.#applications.set(node.name, times + 1);
    const name = times === 0 ? node.name : `${node.name}:${times}`;
    this.graph.nodes.push({ ...node, name });
    return node.outputs.map((_, output) => ({ node: name, output }));
  }
}

const MERGES: Record<string, string> = {
  concat: 'concatenate',
  sum: 'add',
  ave: 'average',
  mul: 'multiply',
};

function withoutBatch(shape: Shape): Shape {
  return shape.slice(1);
}
