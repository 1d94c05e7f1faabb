// A network that a report is about: as a model, as a file, or as both.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { UnsupportedError } from '@thimble/base';
import { lower } from '@thimble/core';
import type { Graph } from '@thimble/graph';
import { encode, modelOfGraph } from '@thimble/io';
import { decode, type PackedModel, pack } from '@thimble/runtime';

/** A trained model; a `.thimble` file; or a model with its file, as `compress` gives them back. */
export type ReportSubject =
  | LayersModel
  | Uint8Array
  | { readonly model: LayersModel; readonly bytes: Uint8Array };

/** The network as it is looked at. */
export interface Network {
  readonly model: LayersModel;
  readonly graph: Graph;
  /** Bytes of the `.thimble` file. */
  readonly bytes: number;
  /** The outputs for a batch, of several the last, row by row. */
  predict(x: tf.Tensor): Promise<Float32Array>;
  dispose(): void;
}

/** Opens a network; what it makes for that is disposed of with it. */
export async function openSubject(subject: ReportSubject): Promise<Network> {
  if (subject instanceof Uint8Array) {
    const { graph } = await decode(subject);
    const model = modelOfGraph(graph);
    // What is rounded between layers is not in a plain model, but the packed one has it.
    const rounds = graph.nodes.some(({ codes }) => codes);
    const net = rounds ? await packedOf(graph) : undefined;
    const dispose = () => {
      net?.dispose();
      model.dispose();
    };
    return opened(model, graph, subject.length, net, dispose);
  }
  if ('bytes' in subject) {
    const { graph } = await decode(subject.bytes);
    return opened(subject.model, graph, subject.bytes.length, undefined, () => {});
  }
  const bytes = await encode(subject, { progress: false });
  return opened(subject, lower(subject), bytes.length, undefined, () => {});
}

function opened(
  model: LayersModel,
  graph: Graph,
  bytes: number,
  net: PackedModel | undefined,
  dispose: () => void,
): Network {
  if (model.inputs.length > 1) {
    dispose();
    throw new UnsupportedError(
      `report: "${model.name}" has ${model.inputs.length} inputs; it takes networks with one.`,
    );
  }
  const predict = async (x: tf.Tensor): Promise<Float32Array> => {
    if (net) {
      const found = net.predict((await x.data()) as Float32Array, { batch: x.shape[0]! });
      return found instanceof Float32Array ? found : found[net.outputs.at(-1)!.name]!;
    }
    const output = tf.tidy(() => [model.predict(x)].flat().at(-1)!);
    try {
      return (await output.data()) as Float32Array;
    } finally {
      output.dispose();
    }
  };
  return { model, graph, bytes, predict, dispose };
}

/** On packed kernels; undefined where there are none for a layer. */
export async function packedOf(graph: Graph): Promise<PackedModel | undefined> {
  try {
    return await pack(graph);
  } catch (error) {
    if (error instanceof UnsupportedError) return undefined;
    throw error;
  }
}
