// Milliseconds per training step (batch 60, Adam, trainOnBatch) on the stock wasm backend and on thimble,
// in turns in one process. LeNet-5 cannot train on stock wasm, so there the stock backend borrows one
// kernel of thimble's: the filter gradient.
// Run after a build: node packages/backend/scripts/measure-steps.mjs [rounds]
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import '@thimble/backend';

const { layers } = tfl;
const rounds = Number(process.argv[2] ?? 5);
const dense = (units, activation) => layers.dense({ units, activation });
const conv = (filters, inputShape) =>
  layers.conv2d({ filters, kernelSize: 5, activation: 'relu', inputShape });
const pool = () => layers.maxPooling2d({ poolSize: 2 });

const nets = {
  'LeNet-300-100': {
    shape: [784],
    steps: 20,
    layers: () => [
      layers.dense({ units: 300, activation: 'relu', inputShape: [784] }),
      dense(100, 'relu'),
      dense(10, 'softmax'),
    ],
  },
  'LeNet-5 (20-50-500)': {
    shape: [28, 28, 1],
    steps: 6,
    layers: () => [
      conv(20, [28, 28, 1]),
      pool(),
      conv(50),
      pool(),
      layers.flatten(),
      dense(500, 'relu'),
      dense(10, 'softmax'),
    ],
  },
};

await tf.setBackend('thimble');
const borrowed = tf.getKernel('Conv2DBackpropFilter', 'thimble');
tf.registerKernel({ ...borrowed, backendName: 'wasm' });

for (const [name, net] of Object.entries(nets)) {
  const times = { wasm: [], thimble: [] };
  const model = tfl.sequential({ layers: net.layers() });
  model.compile({ optimizer: 'adam', loss: 'categoricalCrossentropy' });
  const x = tf.randomUniform([60, ...net.shape], 0, 1, 'float32', 1);
  const labels = tf.tensor1d(
    [...Array(60).keys()].map((i) => i % 10),
    'int32',
  );
  const y = tf.oneHot(labels, 10);
  for (let round = 0; round <= rounds; round++) {
    for (const backend of ['wasm', 'thimble']) {
      await tf.setBackend(backend);
      for (let step = 0; step < net.steps; step++) {
        const start = performance.now();
        await model.trainOnBatch(x, y);
        if (round > 0) times[backend].push(performance.now() - start); // round 0 warms up
      }
    }
  }
  for (const [backend, all] of Object.entries(times)) {
    all.sort((a, b) => a - b);
    const [best, median] = [all[0], all[all.length >> 1]].map((ms) => ms.toFixed(1));
    console.log(`${name} on ${backend}: best ${best} ms, median ${median} ms`);
  }
}
