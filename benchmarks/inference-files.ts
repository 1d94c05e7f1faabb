// The networks of the inference benchmark as files for every runtime.
import { access, mkdir, readFile, writeFile } from 'node:fs/promises';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  type data,
  encode,
  foldBatchNorm,
  load,
  lower,
  modelOfGraph,
  quantize,
  saveTfjs,
  toOnnx,
} from 'thimble';
import { MODELS, type Net } from './inference-nets.ts';
import type { Builder } from './peers/flat-table.ts';
import { importPeer } from './peers/install.ts';
import { toTflite } from './peers/tflite.ts';
import { channelPairs, separable, sparse } from './random-weights.ts';

/** A network in one form in one runtime. */
export interface Form {
  runtime: string;
  /** 'dense f32', 'int8' ... */
  form: string;
  /** The file, or for tfjs the folder. */
  path: string;
  /** The floats of the file have 16 bits; they are computed with in 32. */
  halves?: true;
  /** What its outputs are compared with: the same weights in Thimble, in floats or in whole numbers. */
  like?: 'dense f32' | 'int8';
}

/** The forms of a network, and where its test images lie. */
export interface NetFiles {
  title: string;
  side: number;
  forms: Form[];
  /** Absent where weights are random: there is no accuracy then. */
  test?: data.ImageDataset;
}

/** Training images over which the ranges of activations are found. */
const CALIBRATION = 500;
const WEB = 'onnxruntime-web';
const NATIVE = 'onnxruntime-node';
const LITE = 'LiteRT.js';

/** Whether the network was trained: the last of its files is there. */
export function isTrained({ name, xnorEpochs }: Net): Promise<boolean> {
  return access(`${MODELS}${name}-${xnorEpochs ? 'xnor' : 'squares90'}.thimble`).then(
    () => true,
    () => false,
  );
}

/** Writes the files of a trained network into a folder. */
export async function filesOf(
  net: Net,
  folder: string,
  { train, test }: Record<'train' | 'test', data.ImageDataset>,
): Promise<NetFiles> {
  const calibration = train.take(Math.min(CALIBRATION, train.size));
  const kept = (form: string) => `${MODELS}${net.name}-${form}.thimble`;
  const read = async (form: string) => load(new Uint8Array(await readFile(kept(form))));
  const place = `${folder}/${net.name}`;
  const forms = await peerForms(await read('dense'), place, calibration);
  const own = (form: string, path: string, like?: Form['like']): void => {
    forms.push({ runtime: 'Thimble', form, path, ...(like ? { like } : {}) });
  };
  const halves = (form: string, name: string, like?: Form['like']): void => {
    own(form, kept(name), like);
    forms.at(-1)!.halves = true;
  };
  halves('dense f32', 'dense', 'dense f32');
  own('int8', await inBytes(await read('dense'), `${place}-int8`, calibration), 'int8');
  halves('sparse 80 %', 'sparse80');
  halves('sparse 90 %', 'sparse90');
  own('int8 x sparse 90 %', await inBytes(await read('sparse90'), `${place}-s`, calibration));
  own('int8 x squares 90 %', await inBytes(await read('squares90'), `${place}-q`, calibration));
  if (net.xnorEpochs) own('XNOR', kept('xnor'));
  return { title: net.title, side: net.side, test, forms };
}

/** Writes the files of the separable network of 13 layers with random weights. */
export async function randomFiles(folder: string): Promise<NetFiles> {
  const model = separable('softmax');
  const [, side] = model.inputs[0]!.shape as [null, number];
  const images = tf.randomUniform([CALIBRATION / 10, side, side, 1], 0, 1, 'float32', 7);
  const labels = tf.oneHot(tf.zeros([CALIBRATION / 10], 'int32'), 10);
  const calibration = { images, labels: tf.cast(labels, 'float32') };
  const place = `${folder}/separable13`;
  const graph = lower(model);
  const forms = await peerForms(model, place, calibration);
  const own = (form: string, path: string, like?: Form['like']): void => {
    forms.push({ runtime: 'Thimble', form, path, ...(like ? { like } : {}) });
  };
  const floats = async (made: tfl.LayersModel, name: string) => {
    const path = `${place}-${name}.thimble`;
    await writeFile(path, await encode(made, { entropy: 'none' }));
    return path;
  };
  const blocks = sparse(graph, 2, 0.9);
  own('dense f32', await floats(model, 'dense'), 'dense f32');
  own('int8', await inBytes(model, `${place}-int8`, calibration), 'int8');
  own('sparse 80 %', await floats(modelOfGraph(sparse(graph, 2, 0.8)), 'sparse80'));
  own('sparse 90 %', await floats(modelOfGraph(blocks), 'sparse90'));
  own('int8 x sparse 90 %', await inBytes(modelOfGraph(blocks), `${place}-s`, calibration));
  const squares = modelOfGraph(channelPairs(blocks));
  own('int8 x squares 90 %', await inBytes(squares, `${place}-q`, calibration));
  tf.dispose([images, labels, calibration.labels]);
  return { title: '13-layer separable net, random weights (kernels only)', side, forms };
}

type Calibration = data.ImageDataset | { images: tf.Tensor; labels: tf.Tensor };

/** In 8 bits after training, channels made even and biases corrected. */
function eightBits(model: tfl.LayersModel, calibration: Calibration): Promise<tfl.LayersModel> {
  return quantize(model, {
    calibration,
    examples: CALIBRATION,
    equalize: true,
    biasCorrection: true,
    progress: false,
  });
}

/** Quantises a model after training and writes its .thimble file. */
async function inBytes(
  model: tfl.LayersModel,
  place: string,
  calibration: Calibration,
): Promise<string> {
  const made = await eightBits(model, calibration);
  const path = `${place}.thimble`;
  await writeFile(path, await encode(made));
  made.dispose();
  model.dispose();
  return path;
}

/** The files of the peers: floats, and 8 bits for those that have kernels for them. */
async function peerForms(
  model: tfl.LayersModel,
  place: string,
  calibration: Calibration,
): Promise<Form[]> {
  const normalized = model.layers.some((layer) => 'movingVariance' in layer);
  const folded = normalized ? await foldBatchNorm(model) : model;
  const quantized = await eightBits(model, calibration);
  await mkdir(`${place}-tfjs`, { recursive: true });
  await saveTfjs(folded, `file://${place}-tfjs`);
  const logits = logitsOf(folded, calibration);
  const layout = 'channelsFirst';
  await writeFile(`${place}.onnx`, toOnnx(folded, { layout }));
  await writeFile(`${place}-u8s8.onnx`, toOnnx(quantized, { layout }));
  const Builder = await flatBuilder();
  if (Builder) {
    await writeFile(`${place}.tflite`, toTflite(new Builder(1024), lower(folded)));
    const coded = toTflite(new Builder(1024), lower(quantized), { logits });
    await writeFile(`${place}-int8.tflite`, coded);
  }
  quantized.dispose();
  const float = { form: 'dense f32', like: 'dense f32' } as const;
  return [
    { runtime: 'tfjs cpu', ...float, path: `${place}-tfjs` },
    { runtime: 'tfjs wasm', ...float, path: `${place}-tfjs` },
    { runtime: WEB, ...float, path: `${place}.onnx` },
    { runtime: WEB, form: 'u8s8', like: 'int8', path: `${place}-u8s8.onnx` },
    { runtime: LITE, ...float, path: `${place}.tflite` },
    { runtime: LITE, form: 'int8', like: 'int8', path: `${place}-int8.tflite` },
    { runtime: NATIVE, ...float, path: `${place}.onnx` },
    { runtime: NATIVE, form: 'u8s8', like: 'int8', path: `${place}-u8s8.onnx` },
  ];
}

/** The package that writes FlatBuffers comes with the peers; without it LiteRT.js is not there either. */
async function flatBuilder(): Promise<(new (bytes: number) => Builder) | undefined> {
  const found = await importPeer('flatbuffers/mjs/flatbuffers.js').catch(() => undefined);
  return found?.Builder as (new (bytes: number) => Builder) | undefined;
}

/** The range of what goes into the softmax at the end. */
function logitsOf(model: tfl.LayersModel, calibration: Calibration): { min: number; max: number } {
  const last = model.layers.at(-1)!;
  const before = tfl.model({
    inputs: model.inputs,
    outputs: last.input as tfl.SymbolicTensor,
  });
  return tf.tidy(() => {
    const images =
      'images' in calibration
        ? calibration.images
        : calibration.tensors({ limit: CALIBRATION }).images;
    const [kernel, bias] = last.getWeights() as [tf.Tensor2D, tf.Tensor1D];
    const features = before.predict(images, { batchSize: 50 }) as tf.Tensor2D;
    const logits = tf.add(tf.matMul(features, kernel), bias);
    return { min: tf.min(logits).dataSync()[0]!, max: tf.max(logits).dataSync()[0]! };
  });
}
