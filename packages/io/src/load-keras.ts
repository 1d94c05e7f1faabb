// Keras 3 models with their weights, from `.keras` and `.h5` files.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { FileFormatError, ThimbleError, UnsupportedError } from '@thimble/base';
import { bytesAt, streamAt } from '@thimble/runtime/file';
import { unzipSync } from 'fflate';
import { File } from 'jsfive';
import { type Dictionary, type Json, type KerasLayer, layerOfKeras } from './keras-layer.ts';
import {
  type KerasWeight,
  legacyWeights,
  storeWeights,
  type WeightSource,
} from './keras-weights.ts';

type Layer = tfl.layers.Layer;
type Symbolic = tfl.SymbolicTensor;

/**
 * Reads a model that Keras 3 saved, with its weights, as a plain tfjs-layers model: Sequential and functional
 * models, nested ones, shared layers, several inputs and outputs. Whatever serves training alone
 * (optimizer, losses, initialisers, regularisers) is left out; the model is not compiled.
 *
 * Keras's GRU resets after the product, which TensorFlow.js has no layer for: it becomes a
 * {@link resetAfterGru}.
 *
 * @param source the bytes of a `.keras` or `.h5` file, or its address: "file://..." in Node, "https://..."
 * @throws {UnsupportedError} naming a layer that TensorFlow.js has not, or an argument that it has not;
 *   {FileFormatError} for a file that is damaged or something else.
 * @example
 * const model = await loadKeras(kerasFile);
 * model.summary();
 */
export async function loadKeras(
  source: string | Uint8Array | ArrayBuffer,
): Promise<tfl.LayersModel> {
  const bytes = await bytesOf(source);
  const { config, weights } = opened(bytes);
  const made: Layer[] = [];
  try {
    const { model, assign } = modelOf(config, made);
    assign(weights);
    return model;
  } catch (error) {
    for (const layer of made) layer.dispose();
    throw named(error);
  }
}

async function bytesOf(source: string | Uint8Array | ArrayBuffer): Promise<Uint8Array> {
  if (typeof source !== 'string') return new Uint8Array(source);
  if (source.startsWith('file://')) return bytesAt('loadKeras', source);
  const body = await streamAt('loadKeras', source);
  return new Uint8Array(await new Response(body).arrayBuffer());
}

/** Errors of readers of foreign files, as ours. */
function named(error: unknown): Error {
  if (error instanceof ThimbleError) return error;
  return new FileFormatError(`loadKeras: the file cannot be read: ${(error as Error).message}`);
}

const CONFIG = 'config.json';
const WEIGHTS = 'model.weights.h5';

function opened(bytes: Uint8Array): { config: KerasLayer; weights: WeightSource } {
  const isZip = bytes[0] === 0x50 && bytes[1] === 0x4b;
  const isHdf5 = bytes[0] === 0x89 && bytes[1] === 0x48 && bytes[2] === 0x44 && bytes[3] === 0x46;
  try {
    if (isZip) {
      const parts = unzipSync(bytes, { filter: ({ name }) => [CONFIG, WEIGHTS].includes(name) });
      const [config, weights] = [parts[CONFIG], parts[WEIGHTS]];
      if (!config) throw new FileFormatError(`loadKeras: the file holds no ${CONFIG}.`);
      if (!weights) throw new FileFormatError(`loadKeras: the file holds no ${WEIGHTS}.`);
      return {
        config: JSON.parse(new TextDecoder().decode(config)) as KerasLayer,
        weights: storeWeights(hdf5(weights)),
      };
    }
    if (isHdf5) {
      const file = hdf5(bytes);
      const config = file.attrs.model_config;
      if (typeof config !== 'string') {
        throw new FileFormatError('loadKeras: the file holds weights but no model_config.');
      }
      return { config: JSON.parse(config) as KerasLayer, weights: legacyWeights(file) };
    }
  } catch (error) {
    throw named(error);
  }
  throw new FileFormatError('loadKeras: this is neither a .keras nor an .h5 file.');
}

function hdf5(bytes: Uint8Array): File {
  return new File(bytes.slice().buffer, 'weights');
}

interface Made {
  model: tfl.LayersModel;
  /** Sets the weights of all layers. */
  assign(weights: WeightSource): void;
}

interface Entry {
  name: string;
  className: string;
  layer: Layer;
  /** For a model inside. */
  inner?: Made;
}

function modelOf({ class_name: className, config }: KerasLayer, made: Layer[]): Made {
  if (className === 'Sequential') return sequential(config, made);
  if (className === 'Functional' || className === 'Model') return functional(config, made);
  throw new UnsupportedError(
    `loadKeras: the model is a ${className}; only Sequential and functional models hold their own description.`,
  );
}

function entryOf(layer: KerasLayer, input: Symbolic, made: Layer[]): Entry {
  const name = (layer.config.name ?? layer.name) as string;
  const isModel = ['Sequential', 'Functional', 'Model'].includes(layer.class_name);
  const inner = isModel ? modelOf(layer, made) : undefined;
  const own = inner?.model ?? layerOfKeras(layer, input.shape.length);
  if (!inner) made.push(own);
  return { name, className: layer.class_name, layer: own, ...(inner ? { inner } : {}) };
}

function layersOf(config: Dictionary): KerasLayer[] {
  if (!Array.isArray(config.layers)) throw new FileFormatError('loadKeras: a model has no layers.');
  return config.layers as unknown as KerasLayer[];
}

function inputOf(name: string, shape: Json): Symbolic {
  if (!Array.isArray(shape)) {
    throw new UnsupportedError(
      `loadKeras: the shape of input "${name}" is not known. Build the model first.`,
    );
  }
  return tfl.input({ name, shape: shape.slice(1) as number[] });
}

function sequential(config: Dictionary, made: Layer[]): Made {
  const entries: Entry[] = [];
  let input: Symbolic | undefined;
  let value: Symbolic | undefined;
  for (const layer of layersOf(config)) {
    const { class_name: className, config: own } = layer;
    if (className === 'InputLayer') {
      input = inputOf(own.name as string, own.batch_shape ?? own.batch_input_shape!);
      value = input;
      continue;
    }
    if (!value) {
      const shape = own.batch_shape ?? config.build_input_shape ?? layer.build_config?.input_shape;
      input = inputOf(`${own.name}_input`, shape ?? null);
      value = input;
    }
    const entry = entryOf(layer, value, made);
    entries.push(entry);
    value = applied(entry, layer, value)[0]!;
  }
  if (!input || !value) throw new FileFormatError('loadKeras: a model has no layers.');
  const model = tfl.model({ inputs: input, outputs: value, name: config.name as string });
  return { model, assign: (weights) => assignAll(entries, weights) };
}

function functional(config: Dictionary, made: Layer[]): Made {
  const entries: Entry[] = [];
  const outputs = new Map<string, Symbolic[]>();
  const key = (history: Json) => {
    const [name, node] = history as [string, number, number];
    return `${name}:${node}`;
  };
  const take = (history: Json) =>
    outputs.get(key(history))?.[(history as [string, number, number])[2]];
  const layers = layersOf(config).map((layer) => {
    const { inbound_nodes: nodes = [] } = layer;
    return { layer, calls: nodes.map(historiesOf), entry: undefined as Entry | undefined, done: 0 };
  });
  for (const { layer } of layers) {
    if (layer.class_name !== 'InputLayer') continue;
    const { name, batch_shape: shape, batch_input_shape: old } = layer.config;
    outputs.set(`${name}:0`, [inputOf(name as string, shape ?? old!)]);
  }
  // Layers are listed by their first call; later calls may take what comes after them.
  for (let progress = true; progress; ) {
    progress = false;
    for (const item of layers) {
      while (item.done < item.calls.length) {
        const inputs = item.calls[item.done]!.map(take);
        if (inputs.some((input) => !input)) break;
        if (!item.entry) {
          item.entry = entryOf(item.layer, inputs[0]!, made);
          entries.push(item.entry);
        }
        const values = inputs as Symbolic[];
        const given = values.length === 1 && !isMerge(item.layer) ? values[0]! : values;
        const { entry } = item;
        outputs.set(`${entry.name}:${item.done}`, applied(entry, item.layer, given));
        item.done++;
        progress = true;
      }
    }
  }
  const stuck = layers.find(({ done, calls }) => done < calls.length);
  if (stuck) {
    throw new FileFormatError(
      `loadKeras: layer "${stuck.layer.config.name}" takes its input from one that is not there.`,
    );
  }
  const ends = (list: Json) =>
    endsOf(list).map((history) => {
      const value = take(history);
      if (!value)
        throw new FileFormatError('loadKeras: an input or output of the model is not there.');
      return value;
    });
  const model = tfl.model({
    name: config.name as string,
    inputs: ends(config.input_layers!),
    outputs: ends(config.output_layers!),
  });
  return { model, assign: (weights) => assignAll(entries, weights) };
}

/** One end, a list of them, or a dictionary. */
function endsOf(list: Json): Json[] {
  if (!Array.isArray(list)) return Object.values(list ?? {});
  return Array.isArray(list[0]) ? list : [list];
}

/**
 * What a layer gives. Batch normalisation along another axis than the last, which TensorFlow.js computes as along
 * that, is computed with its axis behind the others.
 */
function applied(
  { layer }: Entry,
  { config }: KerasLayer,
  given: Symbolic | Symbolic[],
): Symbolic[] {
  if (layer.getClassName() !== 'BatchNormalization' || Array.isArray(given)) {
    return [layer.apply(given)].flat() as Symbolic[];
  }
  const rank = given.shape.length;
  const [named] = [config.axis ?? -1].flat() as [number];
  const axis = named < 0 ? rank + named : named;
  const others = given.shape.map((_, i) => i).filter((i) => i > 0 && i !== axis);
  const { permute } = tfl.layers;
  (layer as unknown as { axis: number }).axis = -1;
  if (axis === rank - 1) return [layer.apply(given) as Symbolic];
  const turned = layer.apply(permute({ dims: [...others, axis] }).apply(given)) as Symbolic;
  const back = [...others, axis].map((_, i) => {
    return i + 1 === axis ? rank - 1 : others.indexOf(i + 1) + 1;
  });
  return [permute({ dims: back }).apply(turned) as Symbolic];
}

function isMerge({ class_name: name }: KerasLayer): boolean {
  return /^(Add|Multiply|Average|Maximum|Minimum|Concatenate|Dot)$/.test(name);
}

/** The places [layer, call, output] that one call of a layer takes its inputs from. */
function historiesOf(node: Json): Json[] {
  const found: Json[] = [];
  const visit = (value: Json) => {
    if (value === null || typeof value !== 'object') return;
    if (Array.isArray(value)) value.forEach(visit);
    else if (value.class_name === '__keras_tensor__') {
      found.push((value.config as Dictionary).keras_history!);
    }
  };
  if (Array.isArray(node)) {
    // As Keras 2 wrote it: [[layer, call, output, arguments], ...]
    for (const entry of node as [string, number, number][]) found.push(entry.slice(0, 3));
  } else if (node !== null && typeof node === 'object') {
    visit(node.args!);
    visit(Object.values((node.kwargs ?? {}) as Dictionary));
  }
  return found;
}

function assignAll(entries: Entry[], weights: WeightSource): void {
  for (const { name, className, layer, inner } of entries) {
    const inside = inner && weights.inside(name, className);
    if (inner && inside) inner.assign(inside);
    else assign(name, layer, weights.of(name, className));
  }
}

function assign(name: string, layer: Layer, values: KerasWeight[]): void {
  const { weights } = layer;
  if (weights.length === 0) return;
  if (weights.length !== values.length) {
    throw new FileFormatError(
      `loadKeras: layer "${name}" has ${weights.length} weights; the file has ${values.length} for it.`,
    );
  }
  tf.tidy(() => {
    for (const [i, weight] of weights.entries()) {
      const { shape, data } = values[i]!;
      if (shape.join() !== weight.shape.join()) {
        throw new FileFormatError(
          `loadKeras: weight ${i} of layer "${name}" has shape [${shape}] in the file, not [${weight.shape}].`,
        );
      }
      (weight.read() as tf.Variable).assign(tf.tensor(data, shape, 'float32'));
    }
  });
}
