// Binary weights where a backend has kernels for them, beside the same in plain numbers.
import '@thimble/backend';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { Random, withSeed } from '@thimble/base';
import { fit, lower, parametrize } from '@thimble/core';
import { binaryWeights, xnorConv2d, xnorDense } from '@thimble/quantization';
import { useCpu } from '@thimble/testing';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';

useCpu();

const cases = fc.record({
  height: fc.integer({ min: 1, max: 3 }),
  inputs: fc.integer({ min: 2, max: 9 }),
  outputs: fc.integer({ min: 1, max: 11 }),
  seed: fc.nat(),
});

/** A matrix [rows, columns] in numbers: what the paper's formulas make of it, with n rows to a column. */
function formulas(w: Float32Array, dy: Float32Array, columns: number) {
  const n = w.length / columns;
  const sign = (x: number) => (x < 0 ? -1 : 1);
  const scale = new Float64Array(columns);
  const along = new Float64Array(columns);
  for (const [i, x] of w.entries()) {
    scale[i % columns]! += Math.abs(x) / n;
    along[i % columns]! += (dy[i]! * sign(x)) / n;
  }
  const value = Array.from(w, (x, i) => scale[i % columns]! * sign(x));
  const gradient = Array.from(w, (x, i) => {
    const bySign = Math.abs(x) <= 1 ? dy[i]! * scale[i % columns]! : 0;
    return bySign + sign(x) * along[i % columns]!;
  });
  return { value, gradient };
}

describe.each(['cpu', 'thimble'])('binary weights on %s', (backend) => {
  beforeAll(async () => {
    await tf.setBackend(backend);
  });

  it('are signs with the mean magnitude of each filter, and have its gradient', () => {
    fc.assert(
      fc.property(cases, ({ height, inputs, outputs, seed }) => {
        const random = new Random(seed);
        const size = height * inputs * outputs;
        const w = Float32Array.from({ length: size }, () => random.normal(0, 1));
        w[0] = 0;
        const dy = Float32Array.from({ length: size }, () => random.normal(0, 1));
        const layer = parametrize(
          tfl.layers.conv2d({
            filters: outputs,
            kernelSize: [height, 1],
            useBias: false,
            inputShape: [height, 1, inputs],
          }),
          { kernel: [binaryWeights()] },
        );
        const model = tfl.sequential({ layers: [layer] });
        const shape = [height, 1, inputs, outputs];
        layer.setWeights([tf.tensor(w, shape)]);
        // The inputs that pick each entry of the kernel, weighed by dy.
        const x = tf.reshape(tf.eye(height * inputs), [-1, height, 1, inputs]);
        const rows = tf.tensor(dy, [height * inputs, outputs]);
        const loss = () =>
          tf.sum(tf.mul(tf.reshape(model.apply(x) as tf.Tensor, rows.shape), rows)) as tf.Scalar;
        const seen = tf.tidy(() => Array.from((model.predict(x) as tf.Tensor).dataSync()));
        const { grads } = tf.variableGrads(
          loss,
          layer.trainableWeights.map((v) => v.read() as tf.Variable),
        );
        const got = Array.from(Object.values(grads)[0]!.dataSync());
        const expected = formulas(w, dy, outputs);
        for (const [i, value] of expected.value.entries()) expect(seen[i]).toBeCloseTo(value, 5);
        for (const [i, value] of expected.gradient.entries()) expect(got[i]).toBeCloseTo(value, 4);
        tf.dispose([x, rows]);
        tf.dispose(grads);
        model.dispose();
      }),
      { numRuns: 30 },
    );
  });

  it('are counted as the values that they have, to the last bit', () => {
    const layer = parametrize(tfl.layers.dense({ units: 33, inputShape: [101] }), {
      kernel: [binaryWeights()],
    });
    const model = tfl.sequential({ layers: [layer] });
    const { data, encoding } = Object.values(lower(model).weights).find(
      ({ encoding: { shape } }) => shape.length === 2,
    )!;
    expect(encoding.values.type).toBe('binary');
    const { scale } = encoding.values as { scale: Float32Array };
    for (const [i, value] of data!.entries()) expect(Math.abs(value)).toBe(scale[i % 33]);
    model.dispose();
  });

  it('are centred over the input channels and cut after a step', async () => {
    const layer = parametrize(
      tfl.layers.conv2d({ filters: 5, kernelSize: [2, 1], useBias: false, inputShape: [2, 1, 6] }),
      { kernel: [binaryWeights({ centre: true })] },
    );
    const model = tfl.sequential({ layers: [layer, tfl.layers.flatten()] });
    model.compile({ optimizer: tf.train.sgd(0), loss: 'meanSquaredError' });
    const random = new Random(3);
    const w = Float32Array.from({ length: 60 }, () => random.normal(0, 2));
    layer.setWeights([tf.tensor(w, [2, 1, 6, 5])]);
    await fit(
      model,
      { xs: tf.ones([4, 2, 1, 6]), ys: tf.ones([4, 5]) },
      { epochs: 1, progress: false },
    );
    const got = layer.getWeights()[0]!.dataSync();
    for (const [i, x] of w.entries()) {
      const others = [0, 1, 2, 3, 4, 5].map((c) => w[Math.floor(i / 30) * 30 + c * 5 + (i % 5)]!);
      const centred = x - others.reduce((a, b) => a + b) / 6;
      expect(got[i]).toBeCloseTo(Math.min(1, Math.max(-1, centred)), 5);
    }
    model.dispose();
  });
});

it('xnor layers have the same losses and gradients on thimble as on cpu', async () => {
  const build = () =>
    tfl.sequential({
      layers: [
        xnorConv2d({ filters: 5, kernelSize: 3, activation: 'relu', inputShape: [6, 6, 3] }),
        xnorConv2d({ filters: 4, kernelSize: 3, scaling: 'none', padding: 'same' }),
        tfl.layers.flatten(),
        xnorDense({ units: 7, activation: 'tanh' }),
        xnorDense({ units: 3, scaling: 'weightsAndInputs' }),
      ],
    });
  const outcome = (backend: string, weights?: Float32Array[]) =>
    tf.setBackend(backend).then(() => {
      const model = withSeed(7, build);
      const random = new Random(1);
      const x = tf.tensor(
        Float32Array.from({ length: 8 * 108 }, () => random.normal(0, 1)),
        [8, 6, 6, 3],
      );
      if (weights) {
        model.setWeights(model.weights.map((v, i) => tf.tensor(weights[i]!, v.shape as number[])));
      }
      const given = model.getWeights().map((w) => w.dataSync() as Float32Array);
      const variables = model.trainableWeights.map((v) => v.read() as tf.Variable);
      const { value, grads } = tf.variableGrads(
        () => tf.mean(tf.square(model.apply(x, { training: true }) as tf.Tensor)) as tf.Scalar,
        variables,
      );
      const result = [value, ...variables.map(({ name }) => grads[name]!)].map((g) =>
        Array.from(g.dataSync()),
      );
      const moved = model.getWeights().map((w) => Array.from(w.dataSync()));
      tf.dispose([x, value]);
      tf.dispose(grads);
      model.dispose();
      return { given, result, moved };
    });
  const stock = await outcome('cpu');
  const ours = await outcome('thimble', stock.given);
  for (const key of ['result', 'moved'] as const) {
    for (const [i, values] of ours[key].entries()) {
      for (const [j, value] of values.entries()) expect(value).toBeCloseTo(stock[key][i]![j]!, 4);
    }
  }
});
