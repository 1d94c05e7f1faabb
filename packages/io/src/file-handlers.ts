// file:// addresses for TensorFlow.js's own save and loadLayersModel in Node, without tfjs-node.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { crc32, FileFormatError, joined, readBytes, removeFile, writeBytes } from '@thimble/base';
import { bytesOf, pathOf } from './files.ts';
import { type TfjsOptions, tfjsArtifacts } from './tfjs-artifacts.ts';

const MODEL = 'model.json';

let registered = false;

/**
 * Lets TensorFlow.js itself save to and load from files in Node: `model.save('file://folder')` and
 * `tf.loadLayersModel('file://folder/model.json')`. A folder gets `model.json` and its weights; a reader sees the
 * old model or the new one, never a mixture. Calling it again does nothing.
 *
 * @example
 * registerFileHandlers();
 * await model.save('file://saved');
 * const again = await tfl.loadLayersModel('file://saved');
 */
export function registerFileHandlers(): void {
  if (registered) return;
  registered = true;
  const router = (address: string | string[]) =>
    typeof address === 'string' && address.startsWith('file://')
      ? fileHandler(address)
      : (null as unknown as tf.io.IOHandler);
  tf.io.registerSaveRouter(router);
  tf.io.registerLoadRouter(router);
}

/**
 * Writes a model in TensorFlow.js's own format into a folder, in Node, as {@link tfjsArtifacts} makes it.
 *
 * @example
 * await saveTfjs(model, 'file://stock', { quantization: 'uint8' });
 */
export async function saveTfjs(
  model: LayersModel,
  address: string,
  options: TfjsOptions = {},
): Promise<void> {
  const handler = fileHandler(address);
  await handler.save!(await tfjsArtifacts(model, options));
}

/** What a folder, or the model.json in it, is to TensorFlow.js. */
function fileHandler(address: string): tf.io.IOHandler {
  const path = pathOf('file handler', address).replace(/[\\/]+$/, '');
  const isJson = path.endsWith('.json');
  const model = isJson ? path : `${path}/${MODEL}`;
  const folder = isJson ? path.replace(/[^\\/]*$/, '') : `${path}/`;
  return {
    async save(artifacts) {
      const data = new Uint8Array(tf.io.CompositeArrayBuffer.join(artifacts.weightData!));
      const before = await weightsOf(model);
      // Weights under a name of their own first, then what points to them, then the old ones go.
      const name = `weights-${crc32(data).toString(16).padStart(8, '0')}.bin`;
      await writeBytes(folder + name, data);
      const { weightData: _, weightSpecs, ...rest } = artifacts;
      const manifest = [{ paths: [name], weights: weightSpecs ?? [] }];
      const text = JSON.stringify({ ...rest, weightsManifest: manifest });
      await writeBytes(model, new TextEncoder().encode(text));
      for (const old of before) {
        if (old !== name && /^weights-[0-9a-f]{8}\.bin$/.test(old)) await removeFile(folder + old);
      }
      return {
        modelArtifactsInfo: {
          dateSaved: new Date(),
          modelTopologyType: 'JSON',
          weightDataBytes: data.length,
        },
      };
    },
    async load() {
      const json = parse(model, await bytesOf('loadLayersModel', model));
      const { weightsManifest = [], ...rest } = json;
      const files: Uint8Array[] = [];
      for (const { paths } of weightsManifest) {
        for (const name of paths) files.push(await bytesOf('loadLayersModel', folder + name));
      }
      const weightSpecs = weightsManifest.flatMap(({ weights }) => weights);
      return { ...rest, weightSpecs, weightData: joined(Uint8Array, files).buffer as ArrayBuffer };
    },
  };
}

function parse(path: string, bytes: Uint8Array): tf.io.ModelJSON {
  try {
    return JSON.parse(new TextDecoder().decode(bytes)) as tf.io.ModelJSON;
  } catch {
    throw new FileFormatError(`"${path}" is no model.json of TensorFlow.js: it is not JSON.`);
  }
}

/** The names of the weight files that a model.json points to, if there is one. */
async function weightsOf(model: string): Promise<string[]> {
  const bytes = await readBytes(model);
  if (!bytes) return [];
  try {
    return (parse(model, bytes).weightsManifest ?? []).flatMap(({ paths }) => paths);
  } catch {
    return [];
  }
}
