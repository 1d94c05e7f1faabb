// What every layer must do.
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import { describe, expect, it } from 'vitest';
import { checkGradients, type GradientCheckOptions } from './gradients.ts';
import { inputsFor } from './layer-cases.ts';
import { expectNoLeaks } from './leaks.ts';
import { compile, expectSurvivesSaving, smallModel, snapshot, train } from './models.ts';

/** What the contract needs to know about a layer. */
export interface LayerContract {
  /** A new, unbuilt layer. */
  make(): tfl.layers.Layer;
  /** Shape of one input. */
  inputShape: number[];
  /** Inputs are whole numbers from 0 to this, exclusive; absent for real numbers. */
  classes?: number;
  /** How gradients are compared with finite differences, or why they cannot be. */
  gradients?: GradientCheckOptions | { skip: string };
}

/**
 * Runs the contract on a layer: its output has the shape that it says; saving and loading changes
 * nothing; gradients agree with finite differences; freezing freezes; nothing leaks; a seed fixes
 * training; predicting changes no weight.
 */
export function describeLayerContract(name: string, contract: LayerContract): void {
  const { make, inputShape, classes, gradients = {} } = contract;
  const build = () => smallModel(make, inputShape);
  const x = () => inputsFor({ inputShape, ...(classes ? { classes } : {}) });

  describe(`${name} as a layer`, () => {
    it('makes outputs of the shape that it says', () => {
      const model = build();
      const layer = model.layers[1]!;
      const said = layer.computeOutputShape([4, ...inputShape]);
      const made = layer.apply(x()) as tf.Tensor | tf.Tensor[];
      expect(Array.isArray(made) ? made.map((y) => y.shape) : made.shape).toEqual(said);
    });

    it('comes back from a saved model', async () => {
      const model = build();
      await train(model, x());
      await expectSurvivesSaving(model, x());
    });

    if ('skip' in gradients) it.skip(`has the right gradients: ${gradients.skip}`, () => {});
    else {
      it('has the right gradients', () => {
        const model = build();
        const inputs = x();
        const loss = () => {
          const y = model.apply(inputs, { training: true }) as tf.Tensor;
          return tf.mean(tf.square(tf.sub(y, 1))) as tf.Scalar;
        };
        const variables = Object.fromEntries(
          model.trainableWeights.map((weight) => [
            weight.originalName,
            weight.read() as tf.Variable,
          ]),
        );
        checkGradients(loss, variables, gradients);
        if (classes) return;
        const input = tf.variable(inputs);
        const layer = model.layers[1]!;
        const layerLoss = () => {
          const y = layer.apply(input, { training: true }) as tf.Tensor;
          return tf.mean(tf.square(tf.sub(y, 1))) as tf.Scalar;
        };
        checkGradients(layerLoss, { input }, gradients);
      });
    }

    it('freezes', async () => {
      const model = build();
      model.layers[1]!.trainable = false;
      compile(model);
      const before = snapshot(model);
      await train(model, x());
      const after = snapshot(model);
      for (const weight of Object.keys(before).filter((key) => !/moving_|^head/.test(key))) {
        expect(after[weight], weight).toEqual(before[weight]);
      }
    });

    it('trains the same way with the same seed', async () => {
      const [a, b] = [build(), build()];
      await train(a, x());
      await train(b, x());
      expect(snapshot(a)).toEqual(snapshot(b));
    });

    it('leaves no tensor behind', async () => {
      const model = build();
      const inputs = x();
      await expectNoLeaks(async () => {
        await train(model, inputs);
        tf.dispose(model.predict(inputs));
      });
    });

    it('keeps its weights when predicting', () => {
      const model = build();
      const before = snapshot(model);
      tf.dispose(model.predict(x()));
      expect(snapshot(model)).toEqual(before);
    });
  });
}
