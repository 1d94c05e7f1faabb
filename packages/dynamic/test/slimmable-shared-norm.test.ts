// A network whose widths share the statistics of batch normalisation fails; with statistics for each it does not.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { startThimble } from '@thimble/backend';
import { Random, withSeed } from '@thimble/base';
import { evaluate, fit } from '@thimble/core';
import {
  calibrateWidths,
  setWidth,
  slimmableBatchNormalization,
  slimmableDense,
  slimmableTraining,
  type Widths,
} from '@thimble/dynamic';
import { beforeAll, expect, it } from 'vitest';

beforeAll(async () => {
  tf.env().set('IS_TEST', true);
  await startThimble();
});

/** Batch normalisation with one set of everything, of which each width takes the first channels. */
class SharedNorm extends tfl.layers.Layer {
  /** Thimble takes it for an activation, which may stand between slimmable layers. */
  static className = 'ThimbleActivation';
  #weights: tfl.LayerVariable[] = [];

  override build([, channels]: tfl.Shape): void {
    const make = (name: string, initializer: 'ones' | 'zeros', trainable: boolean) => {
      const made = tfl.initializers[initializer]();
      this.#weights.push(this.addWeight(name, [channels!], 'float32', made, undefined, trainable));
    };
    make('gamma', 'ones', true);
    make('beta', 'zeros', true);
    make('moving_mean', 'zeros', false);
    make('moving_variance', 'ones', false);
    this.built = true;
  }

  override call(inputs: tf.Tensor | tf.Tensor[], { training }: { training?: boolean }): tf.Tensor {
    return tf.tidy(() => {
      const x = (Array.isArray(inputs) ? inputs[0] : inputs) as tf.Tensor2D;
      const channels = x.shape[1];
      const [gamma, beta, ...moving] = this.#weights.map((w) => w.read() as tf.Tensor1D);
      const cut = (vector: tf.Tensor1D) => tf.slice(vector, [0], [channels]);
      const batch = tf.moments(x, 0);
      const used = [batch.mean, batch.variance] as tf.Tensor1D[];
      if (training) {
        moving.forEach((vector, i) => {
          const mixed = tf.add(tf.mul(cut(vector), 0.9), tf.mul(used[i]!, 0.1));
          const rest = tf.slice(vector, [channels], [-1]);
          this.#weights[i + 2]!.write(tf.concat([mixed, rest]));
        });
      }
      const [mean, variance] = training ? used : moving.map(cut);
      const normal = tf.div(tf.sub(x, mean!), tf.sqrt(tf.add(variance!, 1e-3)));
      return tf.add(tf.mul(normal, cut(gamma!)), cut(beta!));
    });
  }

  override getConfig(): tf.serialization.ConfigDict {
    return { ...super.getConfig() };
  }
}

const WIDTHS = [0.25, 1];

const INPUTS = 16;

/** Ten classes, each a cloud around a random point. */
function clouds(count: number, name: string): { xs: tf.Tensor; ys: tf.Tensor } {
  const centres = new Random('centres');
  const points = Float32Array.from({ length: 10 * INPUTS }, () => centres.normal());
  const noise = new Random(name);
  const values = Float32Array.from(
    { length: count * INPUTS },
    (_, i) => points[(Math.floor(i / INPUTS) % 10) * INPUTS + (i % INPUTS)]! + noise.normal(0, 0.6),
  );
  const labels = Int32Array.from({ length: count }, (_, i) => i % 10);
  return {
    xs: tf.tensor2d(values, [count, INPUTS]),
    ys: tf.tidy(() => tf.cast(tf.oneHot(tf.tensor1d(labels, 'int32'), 10), 'float32')),
  };
}

/** A deep perceptron: what is wrong in one layer grows in the next. */
function perceptron(widths: Widths, norm: () => tfl.layers.Layer): tfl.Sequential {
  const hidden = (units: number) => [
    slimmableDense({ units, widths, useBias: false }),
    norm(),
    tfl.layers.reLU(),
  ];
  return withSeed(1, () =>
    tfl.sequential({
      layers: [
        tfl.layers.inputLayer({ inputShape: [INPUTS] }),
        ...hidden(48),
        ...hidden(48),
        ...hidden(48),
        ...hidden(48),
        ...hidden(48),
        slimmableDense({ units: 10, widths, activation: 'softmax' }),
      ],
    }),
  );
}

it('needs statistics for each width', async () => {
  const [train, test] = [clouds(600, 'train'), clouds(200, 'test')];
  const accuracies = async (model: tfl.Sequential, calibrate = false) => {
    await fit(model, train, {
      epochs: 6,
      batchSize: 50,
      learningRate: 0.01,
      loss: 'categoricalCrossentropy',
      callbacks: [slimmableTraining()],
      progress: false,
    });
    if (calibrate) {
      await calibrateWidths(model, train, { widths: WIDTHS, limit: 500, progress: false });
    }
    const found: number[] = [];
    for (const width of WIDTHS) {
      setWidth(model, width);
      const options = { metrics: ['accuracy'], batchSize: 100, progress: false } as const;
      found.push((await evaluate(model, test, options)).accuracy!);
    }
    return found;
  };
  const norm = { momentum: 0.9 };
  const own = await accuracies(
    perceptron(WIDTHS, () => slimmableBatchNormalization({ widths: WIDTHS, ...norm })),
  );
  expect(Math.min(...own), `private ${own}`).toBeGreaterThan(0.9);
  const range = { min: 0.25 };
  const universal = await accuracies(
    perceptron(range, () => slimmableBatchNormalization({ widths: range, ...norm })),
    true,
  );
  expect(Math.min(...universal), `calibrated ${universal}`).toBeGreaterThan(0.9);
  const shared = await accuracies(perceptron(WIDTHS, () => new SharedNorm({})));
  expect(Math.min(...shared), `shared ${shared}`).toBeLessThan(0.6);
}, 60_000);
