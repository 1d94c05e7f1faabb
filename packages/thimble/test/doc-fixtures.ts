// The things that examples in the documentation take for granted: a few digits and small models.
import { readFile } from 'node:fs/promises';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { data, encode, lower, Random, withSeed } from 'thimble';

/** Stands in for the loaders of real data sets, so that examples need no download. */
export const digits: typeof data.mnist = () =>
  data.syntheticDigits({ train: 60, test: 20, onProgress: false });

function network(units: number): tfl.Sequential {
  return withSeed(units, () => {
    const model = tfl.sequential({
      layers: [
        tfl.layers.flatten({ inputShape: [28, 28, 1] }),
        tfl.layers.dense({ name: 'hidden', units, activation: 'relu' }),
        tfl.layers.dense({ units: 10, activation: 'softmax' }),
      ],
    });
    model.compile({ optimizer: 'adam', loss: 'categoricalCrossentropy', metrics: ['accuracy'] });
    return model;
  });
}

function convolutional(filters: number): tfl.Sequential {
  return withSeed(filters, () => {
    const model = tfl.sequential({
      layers: [
        tfl.layers.conv2d({
          name: 'conv',
          filters,
          kernelSize: 7,
          strides: 7,
          inputShape: [28, 28, 1],
        }),
        tfl.layers.flatten(),
        tfl.layers.dense({ units: 10, activation: 'softmax' }),
      ],
    });
    model.compile({ optimizer: 'adam', loss: 'categoricalCrossentropy' });
    return model;
  });
}

/** The kernels of the dense layers of a network, as they are now. */
function kernelsOf(model: tfl.Sequential): Map<string, Float32Array> {
  const dense = model.layers.filter((layer) => layer.getClassName() === 'Dense');
  return new Map(
    dense.map((layer) => [
      `${layer.name}/kernel`,
      Float32Array.from(layer.getWeights()[0]!.dataSync()),
    ]),
  );
}

const KERAS_FILE = new URL('../../io/test/keras/sequential.keras', import.meta.url);

/** Fresh values under the names that the examples use. */
export async function fixtures(): Promise<Record<string, unknown>> {
  const { train, test } = await digits();
  const { images, labels } = test.tensors();
  const network8 = network(8);
  return {
    tf,
    tfl,
    console: { log() {}, table() {} },
    mnist: digits,
    fashionMnist: digits,
    kmnist: digits,
    cifar10: digits,
    digits,
    train,
    test,
    data: train,
    images,
    labels,
    x: images,
    y: labels,
    random: new Random(1),
    model: network8,
    layer: network8.layers[1],
    initial: kernelsOf(network8),
    graph: lower(network8),
    file: await encode(network8),
    image: new Float32Array(28 * 28),
    kerasFile: await readFile(KERAS_FILE),
    // An IDX file of unsigned bytes (08), one axis (01) of length 2.
    bytes: Uint8Array.of(0, 0, 8, 1, 0, 0, 0, 2, 5, 7),
    buildModel: () => network(4),
    teacher: network(16),
    student: network(6),
    small: network(6),
    convTeacher: convolutional(4),
    convStudent: convolutional(2),
    w: tf.variable(tf.ones([3])),
    variables: [tf.variable(tf.ones([3]))],
    optimizer: tf.train.adam(),
  };
}
