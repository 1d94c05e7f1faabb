// First light in a page: a teacher with a convolution, distilled into a masked student in 8 bits.
import '@thimble/backend';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import * as thimble from 'thimble';

/** What the page found out. */
export interface Found {
  backend?: string;
  teacherAccuracy?: number;
  divergence?: number[];
  kept?: number;
  plainDiffers?: number;
  resumedEpochs?: number;
  error?: string;
}

async function run(): Promise<Found> {
  await tf.setBackend('thimble');
  const { train, test } = await thimble.data.syntheticDigits({ train: 600, test: 100 });
  const teacher = thimble.withSeed(1, () =>
    tfl.sequential({
      layers: [
        tfl.layers.conv2d({
          filters: 8,
          kernelSize: 5,
          strides: 2,
          activation: 'relu',
          inputShape: [28, 28, 1],
        }),
        tfl.layers.maxPooling2d({ poolSize: 2 }),
        tfl.layers.flatten(),
        tfl.layers.dense({ units: 10, activation: 'softmax' }),
      ],
    }),
  );
  let kept: Uint8Array | undefined;
  const store = {
    read: async () => kept,
    write: async (bytes: Uint8Array) => {
      kept = bytes;
    },
  };
  const training: thimble.FitOptions = {
    epochs: 6,
    loss: 'categoricalCrossentropy',
    learningRate: 0.01,
    checkpoint: { store },
  };
  await thimble.fit(teacher, train, training);
  const resumed = await thimble.fit(teacher, train, training);
  const { accuracy } = await thimble.evaluate(teacher, test, { metrics: ['accuracy'] });

  const student = thimble.withSeed(2, () =>
    tfl.sequential({
      layers: [
        tfl.layers.flatten({ inputShape: [28, 28, 1] }),
        thimble.parametrize(tfl.layers.dense({ units: 16, activation: 'relu' }), {
          kernel: [thimble.mask({ sparsity: 0.5 }), thimble.fakeQuant({ bits: 8 })],
        }),
        tfl.layers.dense({ units: 10 }),
      ],
    }),
  );
  const { history } = await thimble.distill({
    teacher,
    student,
    data: train,
    alpha: 1,
    epochs: 8,
    learningRate: 0.01,
  });
  const plain = await thimble.finalize(student);
  const plainDiffers = tf.tidy(() => {
    const { images } = test.tensors();
    const outputs = [student, plain].map((model) => model.predict(images) as tf.Tensor);
    return tf.max(tf.abs(tf.sub(outputs[0]!, outputs[1]!))).dataSync()[0]!;
  });
  return {
    backend: tf.getBackend(),
    teacherAccuracy: accuracy!,
    divergence: history.logs.loss!,
    kept: thimble.summarize(student).total.nonzero,
    plainDiffers,
    resumedEpochs: resumed.epochs,
  };
}

const result = document.createElement('pre');
result.id = 'result';
const found = await run().catch((error: Error): Found => ({ error: error.message }));
result.textContent = JSON.stringify(found);
document.body.append(result);
