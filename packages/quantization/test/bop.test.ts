import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { withSeed } from '@thimble/base';
import { type CheckpointStore, fit, parametrizedWeights } from '@thimble/core';
import { binaryDense, bop, flipRatio, xnorDense } from '@thimble/quantization';
import { expectNoLeaks, snapshot, threeClasses, useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';

useCpu();

/** Two binary layers with batch normalization between them, and a real one at the end. */
function network(seed: number): tfl.Sequential {
  return withSeed(seed, () =>
    tfl.sequential({
      layers: [
        binaryDense({ units: 6, inputShape: [4] }),
        tfl.layers.batchNormalization(),
        xnorDense({ units: 5, scaling: 'none', batchNormalization: false }),
        tfl.layers.dense({ units: 3 }),
      ],
    }),
  );
}

const data = () => threeClasses(4, 1);
const training = {
  loss: 'squaredHinge',
  epochs: 3,
  batchSize: 8,
  seed: 5,
  progress: false,
} as const;
const quick = () => bop({ gamma: 0.5, threshold: 1e-4 });

describe('bop', () => {
  it('flips where the average of the gradients has the sign of the weight and exceeds the threshold', () => {
    const model = tfl.sequential({
      layers: [
        binaryDense({
          units: 4,
          useBias: false,
          weights: [tf.tensor2d([[0.3, 1, -1, -0.2]])],
          inputShape: [1],
        }),
      ],
    });
    const { variable } = parametrizedWeights(model)[0]!;
    const optimizer = bop({ gamma: 0.25, threshold: 0.1 });
    const step = (gradient: number[]) => {
      const tensor = tf.tensor2d([gradient]);
      optimizer.applyGradients([{ name: variable.name, tensor }]);
      return Array.from(variable.dataSync());
    };
    // averages 0.25, 0.05, -0.25, 0.25: over 0.1 with the sign of the weight are the first and the third
    expect(step([1, 0.2, -1, 1])).toEqual([-1, 1, 1, -1]);
    // averages 0.1875, 0.2375, -0.1875, -0.3125
    expect(step([0, 0.8, 0, -2])).toEqual([-1, -1, 1, 1]);
    optimizer.dispose();
  });

  it('trains the weights that are not binary as Adam does', async () => {
    const [own, adam] = [network(1), network(1)];
    const { xs, ys } = data();
    // One step: the gradients are those of the same network, so the real layers move alike.
    const once = { ...training, epochs: 1, batchSize: 24 };
    await fit(own, { xs, ys }, { ...once, optimizer: bop({ learningRate: 0.01 }) });
    await fit(adam, { xs, ys }, { ...once, optimizer: tf.train.adam(0.01) });
    const [a, b] = [snapshot(own), snapshot(adam)];
    const real = Object.keys(a).filter((name) => !/kernel/.test(name) || /^dense_/.test(name));
    expect(real.length).toBeGreaterThanOrEqual(6);
    for (const name of real) expect(a[name], name).toEqual(b[name]);
    for (const { variable } of parametrizedWeights(own)) {
      expect(new Set(variable.dataSync().map(Math.abs))).toEqual(new Set([1]));
    }
  });

  it('goes on from a checkpoint as if it had never stopped, and leaks nothing', async () => {
    const unbroken = network(1);
    await fit(unbroken, data(), { ...training, optimizer: quick() });
    for (const stop of [2, 3, 5]) {
      let kept: Uint8Array | undefined;
      const store: CheckpointStore = {
        read: async () => kept,
        write: async (bytes) => {
          kept = bytes.slice();
        },
      };
      const abort = new AbortController();
      let steps = 0;
      const stopper = {
        onBatchEnd() {
          steps += 1;
          if (steps === stop) abort.abort();
        },
      };
      const options = { ...training, checkpoint: { store } };
      const first = fit(network(1), data(), {
        ...options,
        optimizer: quick(),
        signal: abort.signal,
        callbacks: [stopper],
      });
      await expect(first).rejects.toThrow(/abort/i);
      const resumed = network(2);
      await fit(resumed, data(), {
        ...options,
        optimizer: quick(),
        callbacks: [{ onBatchEnd() {} }],
      });
      expect(snapshot(resumed)).toEqual(snapshot(unbroken));
    }
    const optimizer = quick();
    const [model, examples] = [network(1), data()];
    await expectNoLeaks(() => fit(model, examples, { ...training, optimizer }));
  });

  it("works in tfjs's own fit, also when layers are frozen", async () => {
    const model = network(1);
    model.layers[0]!.trainable = false;
    model.compile({ optimizer: quick(), loss: 'meanSquaredError' });
    const { xs, ys } = data();
    await model.fit(xs, ys, { epochs: 2, verbose: 0 });
    const [frozen, free] = parametrizedWeights(model);
    expect(Array.from(free!.variable.dataSync()).every((value) => Math.abs(value) === 1)).toBe(
      true,
    );
    expect(Array.from(frozen!.variable.dataSync()).some((value) => Math.abs(value) !== 1)).toBe(
      true,
    );
  });

  it('refuses networks without binary weights, and numbers out of range', async () => {
    const plain = tfl.sequential({ layers: [tfl.layers.dense({ units: 3, inputShape: [4] })] });
    await expect(fit(plain, data(), { ...training, optimizer: bop() })).rejects.toThrow(
      'none of the trained',
    );
    const centred = tfl.sequential({
      layers: [xnorDense({ units: 3, batchNormalization: false, useBias: false, inputShape: [4] })],
    });
    await expect(fit(centred, data(), { ...training, optimizer: bop() })).rejects.toThrow(
      'centre: false',
    );
    for (const scaling of ['weights', 'weightsAndInputs'] as const) {
      const remedied = tfl.sequential({
        layers: [xnorDense({ units: 3, scaling, centre: false, useBias: false, inputShape: [4] })],
      });
      await fit(remedied, data(), { ...training, optimizer: bop() });
      const { variable } = parametrizedWeights(remedied)[0]!;
      expect(tf.abs(variable).dataSync()).toEqual(new Float32Array(12).fill(1));
    }
    expect(() => bop({ gamma: 2 })).toThrow('gamma');
    expect(() => bop({ threshold: -1 })).toThrow('threshold');
  });
});

describe('flipRatio', () => {
  // larq/larq, larq/metrics_test.py, FlipRatio: weights [1, 1], then [2, 2], then [1, 2] give 0, 1 and 0.75,
  // where every change counts. Here a change of sign counts: 1 and 2 become +1 and -1.
  it('is the mean fraction of weights that change from step to step, as in larq', async () => {
    const model = tfl.sequential({
      layers: [
        binaryDense({ units: 2, useBias: false, weights: [tf.ones([1, 2])], inputShape: [1] }),
      ],
    });
    const { variable } = parametrizedWeights(model)[0]!;
    const callback = flipRatio();
    callback.setModel(model);
    await callback.onTrainBegin();
    await callback.onEpochBegin();
    expect(callback.result()).toBe(0);
    variable.assign(tf.tensor2d([[-1, -1]]));
    await callback.onBatchEnd();
    expect(callback.result()).toBe(1);
    variable.assign(tf.tensor2d([[1, -1]]));
    await callback.onBatchEnd();
    expect(callback.result()).toBe(0.75);
    await callback.onTrainEnd();
    expect(callback.result()).toBe(0.75);
  });

  it('goes into the history, changes nothing, leaks nothing', async () => {
    const [watched, alone] = [network(1), network(1)];
    const { logs } = await fit(watched, data(), {
      ...training,
      optimizer: quick(),
      callbacks: [flipRatio()],
    });
    await fit(alone, data(), { ...training, optimizer: quick() });
    expect(snapshot(watched)).toEqual(snapshot(alone));
    expect(logs.flipRatio).toHaveLength(3);
    for (const ratio of logs.flipRatio!) {
      expect(ratio).toBeGreaterThan(0);
      expect(ratio).toBeLessThan(1);
    }
    const [examples, callback, optimizer] = [data(), flipRatio(), quick()];
    await expectNoLeaks(() =>
      fit(watched, examples, { ...training, optimizer, callbacks: [callback] }),
    );
  });

  it('refuses networks without binary weights', async () => {
    const plain = tfl.sequential({ layers: [tfl.layers.dense({ units: 3, inputShape: [4] })] });
    await expect(fit(plain, data(), { ...training, callbacks: [flipRatio()] })).rejects.toThrow(
      'no binary weight',
    );
  });
});
