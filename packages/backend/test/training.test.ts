import '../src/index.ts';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { expect, test } from 'vitest';
import { expectClose, values } from './helpers.ts';

tf.env().set('IS_TEST', false); // the engine's own leak check miscounts fused ops
tf.env().set('PROD', true);

const { layers } = tfl;

/** A net that meets every kernel of thimble's: both conv gradients, depthwise, pooling, embedding. */
function convNet(): tfl.LayersModel {
  const input = tfl.input({ shape: [8, 8, 2] });
  const steps = [
    layers.conv2d({ filters: 4, kernelSize: 3, activation: 'relu' }),
    layers.conv2d({ filters: 4, kernelSize: 2, strides: 2, activation: 'relu' }),
    layers.separableConv2d({ filters: 4, kernelSize: 2, padding: 'same' }),
    layers.depthwiseConv2d({ kernelSize: 2, strides: 2, padding: 'same', depthMultiplier: 2 }),
    layers.maxPooling2d({ poolSize: 2, strides: 1 }),
    layers.averagePooling2d({ poolSize: 1 }),
    layers.flatten(),
    layers.dense({ units: 2, activation: 'softmax' }),
  ];
  const output = steps.reduce((x, layer) => layer.apply(x) as tfl.SymbolicTensor, input);
  return tfl.model({ inputs: input, outputs: output });
}

function seed(model: tfl.LayersModel): void {
  model.weights.forEach((weight, i) => {
    const shape = weight.shape as number[];
    weight.write(tf.tidy(() => tf.mul(tf.tensor(values(shape, i), shape), 0.5)));
  });
}

const x = () => tf.tensor(values([6, 8, 8, 2], 1), [6, 8, 8, 2]);
const y = () => tf.oneHot(tf.tensor1d([0, 1, 0, 1, 0, 1], 'int32'), 2);

function state() {
  const backend = tf.backend() as unknown as { wasm: { HEAPU8: Uint8Array } };
  return {
    tensors: tf.memory().numTensors,
    buffers: tf.memory().numDataBuffers,
    dataIds: tf.backend().numDataIds(),
    heap: backend.wasm.HEAPU8.length,
  };
}

test('1,000 steps leave as many tensors, buffers and bytes of heap as 50', async () => {
  await tf.setBackend('thimble');
  const model = convNet();
  const optimizer = tf.train.momentum(0.01, 0.5);
  const [images, labels] = [x(), y()];
  const table = tf.variable(tf.tensor(values([5, 3], 2), [5, 3]));
  const ids = tf.tensor1d([0, 3, 3, 1, 0, 4], 'int32');
  const variables = model.trainableWeights.map(
    (weight) => (weight as unknown as { val: tf.Variable }).val,
  );
  const step = () =>
    optimizer.minimize(
      () => {
        const scores = model.apply(images, { training: true }) as tf.Tensor2D;
        const vectors = tf.gather(table, ids);
        const products = tf.matMul(
          tf.reshape(vectors, [2, 3, 3]),
          tf.reshape(vectors, [2, 3, 3]),
          false,
          true,
        );
        return tf.add(
          tf.losses.softmaxCrossEntropy(labels, scores),
          tf.mean(tf.square(products)),
        ) as tf.Scalar;
      },
      false,
      [...variables, table],
    );
  for (let i = 0; i < 50; i++) step();
  const before = state();
  for (let i = 50; i < 1000; i++) step();
  expect(state()).toEqual(before);
});

test('what XNNPACK packs for temporary filters is released with them', async () => {
  await tf.setBackend('thimble');
  // Packed dy: 16 x 100 x 64 floats = 400 KB a time, so 200 times would add 80 MB to the heap.
  const images = tf.tensor4d(values([16, 10, 10, 8], 1), [16, 10, 10, 8]);
  const filter = tf.tensor4d(values([3, 3, 8, 64], 2), [3, 3, 8, 64]);
  const gradients = () =>
    tf.dispose(
      tf.grads((p, q) => tf.conv2d(p as tf.Tensor4D, q as tf.Tensor4D, 1, 'same'))([
        images,
        filter,
      ]),
    );
  for (let i = 0; i < 3; i++) gradients();
  const before = state();
  for (let i = 0; i < 200; i++) gradients();
  expect(state()).toEqual(before);
});

test('a model trained on thimble predicts the same on wasm and on cpu', async () => {
  await tf.setBackend('thimble');
  const model = convNet();
  seed(model);
  model.compile({ optimizer: tf.train.adam(0.02), loss: 'categoricalCrossentropy' });
  const first = (await model.trainOnBatch(x(), y())) as number;
  let last = first;
  for (let i = 0; i < 60; i++) last = (await model.trainOnBatch(x(), y())) as number;
  expect(last).toBeLessThan(0.5 * first);
  const predict = () => Array.from((model.predict(x()) as tf.Tensor).dataSync());
  const expected = predict();
  for (const backend of ['wasm', 'cpu']) {
    await tf.setBackend(backend);
    expectClose(predict(), expected, 1e-5);
  }
});

test('the same seed gives bit-identical weights', async () => {
  await tf.setBackend('thimble');
  const train = async () => {
    const model = convNet();
    seed(model);
    model.compile({ optimizer: tf.train.adam(0.02), loss: 'categoricalCrossentropy' });
    for (let i = 0; i < 5; i++) await model.trainOnBatch(x(), y());
    return model.getWeights().map((weight) => Array.from(weight.dataSync()));
  };
  expect(await train()).toEqual(await train());
});
