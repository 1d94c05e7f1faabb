// Milliseconds per training step, batch 60, Adam, tfjs's trainOnBatch, on the stock backend `wasm` and on
// `thimble`: one model, one process, in turn. Stock wasm cannot train a convolution, so it is lent the
// gradients that it lacks.
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

/** The gradients of convolutions, which stock wasm lacks: there it borrows those of `thimble`. */
const BORROWED = [
  'Conv2DBackpropFilter',
  'DepthwiseConv2dNativeBackpropFilter',
  'DepthwiseConv2dNativeBackpropInput',
];

function lendGradients(): void {
  for (const name of BORROWED) {
    const kernel = tf.getKernel(name, 'thimble');
    if (kernel && !tf.getKernel(name, 'wasm')) {
      tf.registerKernel({ ...kernel, backendName: 'wasm' });
    }
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
  const model = withSeed(1, () => network.make());
  model.compile({ optimizer: 'adam', loss: 'categoricalCrossentropy' });
  for (let round = 0; round <= repeats; round++) {
    for (const [backend, times] of Object.entries(samples)) {
      await tf.setBackend(backend);
      const milliseconds = await time(model, x, y);
      if (round > 0) times.push(milliseconds); // round 0 warms up
    }
  }
  tf.dispose([x, y]);
  model.dispose();
  return { network: network.name, milliseconds: samples };
}

async function run(repeats: number): Promise<Measured> {
  lendGradients();
  const figures = [];
  for (const network of NETWORKS) figures.push(await measure(network, repeats));
  const rows = figures.map(({ network, milliseconds }) => {
    const [wasm, thimble] = [milliseconds.wasm!, milliseconds.thimble!];
    const cell = (times: number[]) =>
      `${median(times).toFixed(1)} (${Math.min(...times).toFixed(1)}-${Math.max(...times).toFixed(1)})`;
    const ratio = median(wasm.map((ms, i) => ms / thimble[i]!));
    return [network, cell(wasm), cell(thimble), `${ratio.toFixed(2)}x`];
  });
  const head = ['ms per step: median (min-max)', 'wasm', 'thimble', 'ratio, median of pairs'];
  return { table: [head, ...rows], figures };
}

export const training: Task = {
  about: 'step time of small networks on `wasm` and on `thimble`',
  run,
};
