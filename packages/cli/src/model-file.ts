// Models in files of every format that there is a reader for.
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as tfl from '@tensorflow/tfjs-layers';
import { startThimble } from '@thimble/backend';
import { FileFormatError, readBytes, ThimbleError, UnsupportedError } from '@thimble/base';
import * as thimble from 'thimble';
import { UsageError } from './failure.ts';

/** Names of the formats. */
export type Format = 'thimble' | 'tfjs' | 'keras' | 'onnx';

/** A file that was read. */
export interface ModelFile {
  format: Format;
  path: string;
  /** Of the file, with weights that lie beside it. */
  bytes: number;
  /** What is in it; of `.thimble` files alone. */
  content?: Uint8Array;
  /** What the file says beside the network; of `.thimble` files alone. */
  notes: Pick<thimble.runtime.ThimbleFile, 'labels' | 'preprocessing' | 'report'>;
  /** The network as plain data. */
  graph: thimble.Graph;
  /** The network as a tfjs model; made when it is asked for, where the file holds plain data. */
  model(): Promise<tfl.LayersModel>;
}

/** The format that a name stands for. @throws {UsageError} for one of none. */
export function formatOf(path: string): Format {
  if (/\.thimble$/i.test(path)) return 'thimble';
  if (/\.(keras|h5|hdf5)$/i.test(path)) return 'keras';
  if (/\.onnx$/i.test(path)) return 'onnx';
  if (/\.json$/i.test(path) || !/\.[a-z0-9]+$/i.test(path)) return 'tfjs';
  throw new UsageError(
    `"${path}" has an ending that stands for no format. Known: .thimble, .keras, .h5, .onnx, and model.json or a ` +
      'folder with it.',
  );
}

/**
 * Reads a model. The backend is started, but for `.thimble` and `.onnx` files whose `model` is never asked for.
 *
 * @throws {FileFormatError} for a file that is not there or damaged; {UnsupportedError} naming a layer that is not
 *   known.
 */
export async function readModel(path: string): Promise<ModelFile> {
  const there = await stat(path).catch(() => undefined);
  if (!there) {
    throw new FileFormatError(
      `There is no file "${path}". Check the name; it is relative to ${process.cwd()}.`,
    );
  }
  if (there.isDirectory()) return readTfjs(join(path, 'model.json'));
  const format = formatOf(path);
  if (format === 'tfjs') return readTfjs(path);
  const bytes = (await readBytes(path))!;
  try {
    return await readWhole(format, path, bytes);
  } catch (error) {
    // Readers of bytes do not know the name, and a command may read two models.
    if (error instanceof ThimbleError) error.message = `"${path}": ${error.message}`;
    throw error;
  }
}

/** Reads a model that is one file. */
async function readWhole(
  format: Exclude<Format, 'tfjs'>,
  path: string,
  bytes: Uint8Array,
): Promise<ModelFile> {
  if (format === 'thimble') {
    const { graph, labels, preprocessing, report } = await thimble.runtime.decode(bytes);
    const notes = {
      ...(labels === undefined ? {} : { labels }),
      ...(preprocessing === undefined ? {} : { preprocessing }),
      ...(report === undefined ? {} : { report }),
    };
    return { ...ofGraph(format, path, bytes.length, graph, notes), content: bytes };
  }
  if (format === 'onnx') {
    return ofGraph(format, path, bytes.length, thimble.graphOfOnnx(bytes), {});
  }
  await startThimble();
  return ofModel(format, path, bytes.length, await thimble.loadKeras(bytes));
}

function ofGraph(
  format: Format,
  path: string,
  bytes: number,
  graph: thimble.Graph,
  notes: ModelFile['notes'],
): ModelFile {
  const model = async () => {
    await startThimble();
    return thimble.modelOfGraph(graph);
  };
  return { format, path, bytes, notes, graph, model };
}

function ofModel(format: Format, path: string, bytes: number, model: tfl.LayersModel): ModelFile {
  const graph = thimble.lower(model);
  return { format, path, bytes, notes: {}, graph, model: async () => model };
}

async function readTfjs(path: string): Promise<ModelFile> {
  const bytes = await readBytes(path);
  if (!bytes) {
    throw new FileFormatError(
      `There is no "${path}": give a model.json, or a folder that has one.`,
    );
  }
  const json = parse(path, bytes);
  if (json?.format === 'graph-model') {
    throw new UnsupportedError(
      `"${path}" is a graph model, which has no layers. Save the model as a layers model (model.save in ` +
        'TensorFlow.js, or .keras in Keras) and use that.',
    );
  }
  if (!json?.modelTopology) {
    throw new FileFormatError(
      `"${path}" is no model.json of TensorFlow.js: it has no modelTopology.`,
    );
  }
  thimble.registerFileHandlers();
  await startThimble();
  try {
    const model = await tfl.loadLayersModel(`file://${path}`);
    const weights = (json.weightsManifest ?? []).flatMap(({ paths }) => paths);
    const sizes = await Promise.all(
      weights.map(async (name) => (await stat(join(path, '..', name))).size),
    );
    return ofModel(
      'tfjs',
      path,
      sizes.reduce((sum, size) => sum + size, bytes.length),
      model,
    );
  } catch (error) {
    throw explained(path, error);
  }
}

function parse(
  path: string,
  bytes: Uint8Array,
): { format?: string; modelTopology?: object; weightsManifest?: { paths: string[] }[] } | null {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new FileFormatError(`"${path}" is no model.json of TensorFlow.js: it is not JSON.`, {
      cause,
    });
  }
}

/** Errors of TensorFlow.js's reader as ours. */
function explained(path: string, error: unknown): Error {
  if (error instanceof ThimbleError) return error;
  const { message } = error as Error;
  const unknown = /^Unknown layer: ([^.\s]+)/.exec(message)?.[1];
  if (unknown) {
    return new UnsupportedError(
      `"${path}" has a layer of class "${unknown}", which neither TensorFlow.js nor Thimble has. Replace it in the ` +
        'model, or register the class in a program of your own and use the library.',
      { cause: error },
    );
  }
  return new FileFormatError(`"${path}" cannot be read as a layers model: ${message}`, {
    cause: error,
  });
}
