// Milliseconds per training step on the stock backend `wasm` and on `thimble`, in one process and in turn.
import '@thimble/backend';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { Random, withSeed } from 'thimble';
import type { Measured, Task } from '../task.ts';

const BATCH = 60;
const STEPS = 10;

interface Network {
  name: string;
  make(): tfl.Sequential;
}

const NETWORKS: Network[] = [
  {
    name: 'LeNet-300-100',
    make: () =>
      tfl.sequential({
        layers: [
          tfl.layers.flatten({ inputShape: [28, 28, 1] }),
          tfl.layers.dense({ units: 300, activation: 'relu' }),
          tfl.layers.dense({ units: 100, activation: 'relu' }),
          tfl.layers.dense({ units: 10, activation: 'softmax' }),
        ],
      }),
  },
  {
    name: 'LeNet-5 (20-50-500)',
    make: () =>
      tfl.sequential({
        layers: [
          tfl.layers.conv2d({
            filters: 20,
            kernelSize: 5,
            activation: 'relu',
            inputShape: [28, 28, 1],
          }),
          tfl.layers.maxPooling2d({ poolSize: 2 }),
          tfl.layers.conv2d({ filters: 50, kernelSize: 5, activation: 'relu' }),
          tfl.layers.maxPooling2d({ poolSize: 2 }),
          tfl.layers.flatten(),
          tfl.layers.dense({ units: 500, activation: 'relu' }),
          tfl.layers.dense({ units: 10, activation: 'softmax' }),
        ],
      }),
  },
  {
    name: 'depthwise-separable (16-32-64)',
    make: () =>
      tfl.sequential({
        layers: [
          tfl.layers.conv2d({
            filters: 16,
            kernelSize: 3,
            strides: 2,
            padding: 'same',
            activation: 'relu',
            inputShape: [28, 28, 1],
          }),
          tfl.layers.separableConv2d({
            filters: 32,
            kernelSize: 3,
            padding: 'same',
            activation: 'relu',
          }),
          tfl.layers.separableConv2d({
            filters: 64,
            kernelSize: 3,
            strides: 2,
            padding: 'same',
            activation: 'relu',
          }),
          tfl.layers.globalAveragePooling2d({}),
          tfl.layers.dense({ units: 10, activation: 'softmax' }),
        ],
      }),
  },
];

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Mean milliseconds of a step, over a few steps. */
async function time(model: tfl.LayersModel, x: tf.Tensor, y: tf.Tensor): Promise<number> {
  const started = performance.now();
  for (let i = 0; i < STEPS; i++) await model.trainOnBatch(x, y);
  return (performance.now() - started) / STEPS;
}

/** The message of the error that a step ends in, or undefined where it works. */
async function failure(
  model: tfl.LayersModel,
  x: tf.Tensor,
  y: tf.Tensor,
): Promise<string | undefined> {
  try {
    await model.trainOnBatch(x, y);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

async function measure(network: Network, repeats: number) {
  const random = new Random('training bench');
  const pixels = Float32Array.from({ length: BATCH * 784 }, () => random.uniform());
  const labels = Int32Array.from({ length: BATCH }, () => random.integer(10));
  await tf.setBackend('thimble');
  const x = tf.tensor4d(pixels, [BATCH, 28, 28, 1]);
  const y = tf.tidy(() => tf.cast(tf.oneHot(tf.tensor1d(labels, 'int32'), 10), 'float32'));
  const samples: Record<string, number[]> = { wasm: [], thimble: [] };
  const models: Record<string, tfl.LayersModel> = {};
  let reason: string | undefined;
  for (const backend of Object.keys(samples)) {
    await tf.setBackend(backend);
    const model = withSeed(1, () => network.make());
    model.compile({ optimizer: 'adam', loss: 'categoricalCrossentropy' });
    const failed = await failure(model, x, y);
    if (failed === undefined) models[backend] = model;
    else reason = failed;
  }
  for (let i = 0; i < repeats; i++) {
    for (const [backend, model] of Object.entries(models)) {
      await tf.setBackend(backend);
      samples[backend]!.push(await time(model, x, y));
    }
  }
  return { network: network.name, samples, ...(reason ? { wasmFails: reason } : {}) };
}

async function run(repeats: number): Promise<Measured> {
  const figures = [];
  for (const network of NETWORKS) figures.push(await measure(network, repeats));
  const rows = figures.map(({ network, samples }) => {
    const [wasm, thimble] = [samples.wasm!, samples.thimble!];
    const spread = `${Math.min(...thimble).toFixed(1)}-${Math.max(...thimble).toFixed(1)}`;
    return [
      network,
      wasm.length > 0 ? median(wasm).toFixed(1) : 'cannot train',
      median(thimble).toFixed(1),
      spread,
      wasm.length > 0 ? `${(median(wasm) / median(thimble)).toFixed(2)}x` : '-',
    ];
  });
  return {
    table: [['network, batch 60, Adam', 'wasm ms', 'thimble ms', 'min-max', 'faster'], ...rows],
    figures,
  };
}

export const training: Task = {
  about: 'step time of small networks on `wasm` and on `thimble`, tfjs trainOnBatch',
  run,
};
