// What every callback must do.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { Random, withSeed } from '@thimble/base';
import { type CheckpointStore, type FitOptions, fit, type ThimbleCallback } from '@thimble/core';
import { describe, expect, it } from 'vitest';
import { expectNoLeaks } from './leaks.ts';
import { snapshot } from './models.ts';

/** What the contract needs to know about a callback. */
export interface CallbackContract {
  /** A new callback for a model with 6 inputs and 3 logits; called once per run. */
  make(): ThimbleCallback;
  /** A model with 6 inputs and 3 logits, the same for a seed; default {@link classifier}. */
  model?(seed: number): tfl.LayersModel;
  /** True when the weights must come out other than without the callback. */
  changesTraining: boolean;
  /** Epochs that it needs at least, 1 to 3; default 1. */
  epochs?: number;
  /** Why it does nothing in tfjs's own fit, where that is so. */
  onlyInsideFit?: string;
}

const INPUTS = 6;
const CLASSES = 3;
const EXAMPLES = 24;
const TRAINING: FitOptions = {
  epochs: 3,
  batchSize: 8,
  loss: 'categoricalCrossentropyFromLogits',
  seed: 5,
  progress: false,
};

/** A model with 6 inputs, layers hidden, dropout and logits (3), the same at every call with the same seed. */
export function classifier(seed: number = 1): tfl.Sequential {
  return withSeed(seed, () =>
    tfl.sequential({
      layers: [
        tfl.layers.dense({ name: 'hidden', units: 8, activation: 'tanh', inputShape: [INPUTS] }),
        tfl.layers.dropout({ name: 'dropout', rate: 0.25 }),
        tfl.layers.dense({ name: 'logits', units: CLASSES }),
      ],
    }),
  );
}

function examples(): { xs: tf.Tensor2D; ys: tf.Tensor2D } {
  const random = new Random('callback contract');
  const values = Float32Array.from({ length: EXAMPLES * INPUTS }, () => random.normal());
  const labels = Int32Array.from({ length: EXAMPLES }, () => random.integer(CLASSES));
  const ys = tf.tidy(() => tf.cast(tf.oneHot(tf.tensor1d(labels, 'int32'), CLASSES), 'float32'));
  return { xs: tf.tensor2d(values, [EXAMPLES, INPUTS]), ys: ys as tf.Tensor2D };
}

function memoryStore(): CheckpointStore {
  let kept: Uint8Array | undefined;
  return {
    read: async () => kept,
    write: async (bytes) => {
      kept = bytes.slice();
    },
  };
}

/**
 * Runs the contract on a callback: a seed fixes training; a run that was stopped at any step and goes on
 * from its checkpoint ends bit-identical to an unbroken one; nothing leaks; it works in tfjs's own
 * `model.fit`; it changes training, or says that it does not.
 */
export function describeCallbackContract(name: string, contract: CallbackContract): void {
  const { make, changesTraining, epochs = 1, onlyInsideFit } = contract;
  const build = (seed = 1) => contract.model?.(seed) ?? classifier(seed);
  const trained = async (callbacks: ThimbleCallback[], options: FitOptions = {}) => {
    const model = build();
    await fit(model, examples(), { ...TRAINING, ...options, callbacks });
    return snapshot(model);
  };

  describe(`${name} as a callback`, () => {
    it('trains to the same bits from the same seed', async () => {
      expect(await trained([make()])).toEqual(await trained([make()]));
    });

    it(changesTraining ? 'changes training' : 'leaves training as it is', async () => {
      const [without, with_] = [await trained([]), await trained([make()])];
      if (changesTraining) expect(with_).not.toEqual(without);
      else expect(with_).toEqual(without);
    });

    it.each([1, 3, 4, 8])(
      'goes on after a stop at step %i as if there had been none',
      async (step) => {
        const unbroken = await trained([make()]);
        const checkpoint = { store: memoryStore() };
        const abort = new AbortController();
        let steps = 0;
        const model = build();
        const stopper = {
          onBatchEnd: () => {
            steps += 1;
            if (steps === step) abort.abort();
          },
        };
        const options = { ...TRAINING, checkpoint };
        const callbacks = [make(), stopper];
        const stopped = fit(model, examples(), { ...options, callbacks, signal: abort.signal });
        await expect(stopped).rejects.toThrow(/abort/i);
        const resumed = build(2); // other weights: all must come from the checkpoint
        await fit(resumed, examples(), { ...options, callbacks: [make(), { onBatchEnd() {} }] });
        expect(snapshot(resumed)).toEqual(unbroken);
      },
    );

    it('leaks nothing', async () => {
      const model = build();
      const data = examples();
      const callback = make();
      await expectNoLeaks(() => fit(model, data, { ...TRAINING, epochs, callbacks: [callback] }));
    });

    if (onlyInsideFit) it.skip(`works in tfjs's own fit: ${onlyInsideFit}`, () => {});
    else {
      it("works in tfjs's own fit, and leaks nothing there", async () => {
        const model = build();
        const { xs, ys } = examples();
        model.compile({ optimizer: tf.train.sgd(0.1), loss: 'meanSquaredError' });
        const callback = make();
        const before = snapshot(model);
        const options = { epochs, batchSize: 8, callbacks: [callback], verbose: 0 } as const;
        await expectNoLeaks(() => model.fit(xs, ys, options as unknown as tfl.ModelFitArgs));
        expect(snapshot(model)).not.toEqual(before);
      });
    }
  });
}
