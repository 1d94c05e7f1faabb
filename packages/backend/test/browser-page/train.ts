import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { startThimble } from '@thimble/backend';

/** What a page or worker reports about a training run. */
export interface Outcome {
  backend?: string;
  losses?: number[];
  error?: string;
}

/** Trains a small conv net to tell horizontal from vertical stripes. */
export async function train(steps: number): Promise<Outcome> {
  try {
    await startThimble();
    const model = tfl.sequential();
    const initializer = () => tfl.initializers.glorotUniform({ seed: 7 });
    model.add(
      tfl.layers.conv2d({
        inputShape: [8, 8, 1],
        filters: 4,
        kernelSize: 3,
        activation: 'relu',
        kernelInitializer: initializer(),
      }),
    );
    model.add(tfl.layers.maxPooling2d({ poolSize: 2 }));
    model.add(tfl.layers.flatten());
    model.add(
      tfl.layers.dense({ units: 2, activation: 'softmax', kernelInitializer: initializer() }),
    );
    model.compile({ optimizer: tf.train.adam(0.05), loss: 'categoricalCrossentropy' });
    const pixels = Float32Array.from({ length: 16 * 64 }, (_, i) => {
      const image = i >> 6;
      return (((image % 2 === 0 ? i >> 3 : i) + (image >> 1)) % 2) + 0.1 * Math.sin(i);
    });
    const x = tf.tensor4d(pixels, [16, 8, 8, 1]);
    const y = tf.oneHot(
      tf.tensor1d(
        [...Array(16).keys()].map((i) => i % 2),
        'int32',
      ),
      2,
    );
    const losses: number[] = [];
    for (let step = 0; step < steps; step++) {
      losses.push((await model.trainOnBatch(x, y)) as number);
    }
    return { backend: tf.getBackend(), losses };
  } catch (error) {
    return { error: (error as Error).message };
  }
}
