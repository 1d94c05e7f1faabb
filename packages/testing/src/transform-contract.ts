// What every weight transform, and every chain of them, must do on every layer type.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  type Axes,
  finalize,
  type ParametrizedWeight,
  parametrize,
  parametrizedWeights,
  releaseMoment,
  setMoment,
  type WeightTransform,
} from '@thimble/core';
import { describe, expect, it } from 'vitest';
import { inputsFor, type LayerCase, layerCases, type Regularizer } from './layer-cases.ts';
import { expectNoLeaks } from './leaks.ts';
import {
  compile,
  expectSameOutputs,
  expectSurvivesSaving,
  plainName,
  smallModel,
  snapshot,
  train,
} from './models.ts';

/** What the contract needs to know about a transform. */
export interface TransformContract {
  /** A new transform, or chain of them. */
  make(): WeightTransform | WeightTransform[];
  /**
   * The gradient with respect to the stored weight in closed form, given that with respect to the weight
   * that the layer computes with. Absent where the stored weight is not trained.
   */
  gradient?(stored: number[], upstream: number[], shape: number[], axes: Axes): number[];
}

/**
 * Runs the contract on every layer type: the plain model that `finalize` makes gives the same outputs;
 * saving and loading changes nothing; the gradient is the closed form; freezing freezes; the layer's
 * regularizer sees the stored weight; nothing leaks; a seed fixes training; predicting changes no weight.
 */
export function describeTransformContract(name: string, contract: TransformContract): void {
  for (const layerCase of layerCases) {
    describe(`${name} on ${layerCase.name}`, () => describeOn(layerCase, contract));
  }
}

function describeOn(layerCase: LayerCase, { make, gradient }: TransformContract): void {
  const { weights, inputShape } = layerCase;
  const decorated = (regularizer?: Regularizer) =>
    parametrize(
      layerCase.make(regularizer),
      Object.fromEntries(weights.map((weight) => [weight, [make()].flat()])),
    );
  const build = () => smallModel(() => decorated(), inputShape);
  const x = () => inputsFor(layerCase);

  it('gives the outputs of its plain model', async () => {
    const model = build();
    await train(model, x());
    const plain = await finalize(model);
    expect(plain.layers.map((layer) => layer.getClassName())).not.toContain('ThimbleParametrized');
    expectSameOutputs(model, plain, x());
  });

  it('comes back from a saved model, and trains on as before', async () => {
    const model = build();
    await train(model, x());
    const loaded = await expectSurvivesSaving(model, x());
    for (const each of [model, loaded]) {
      setMoment({ step: 0, seed: 5 }); // the same draws for both
      releaseMoment();
      compile(each);
      await train(each, x());
    }
    expect(snapshot(loaded)).toEqual(snapshot(model));
  });

  if (gradient) {
    it('passes the gradient back by its formula', async () => {
      const model = build();
      const plain = await finalize(model);
      const chained = parametrizedWeights(model);
      const seen = gradientsOf(plain, plain.trainableWeights.map(variableOf), x());
      const stored = gradientsOf(
        model,
        chained.map((weight) => weight.variable),
        x(),
      );
      chained.forEach((weight, i) => {
        const upstream = seen[plainIndex(plain, nameIn(model, weight))]!;
        const { shape } = weight.variable;
        const values = Array.from(weight.variable.dataSync());
        expect(stored[i]!).toBeAllClose(gradient(values, upstream, shape, weight.axes), 1e-4);
      });
    });
  }

  it('trains, and trains the same way with the same seed', async () => {
    const before = snapshot(build());
    const run = async () => {
      setMoment({ step: 0, seed: 5 });
      releaseMoment();
      const model = build();
      await train(model, x());
      return model;
    };
    const [a, b] = [await run(), await run()];
    expect(snapshot(a)).toEqual(snapshot(b));
    for (const { variable } of parametrizedWeights(a)) {
      if (!variable.trainable) continue;
      const name = nameIn(a, { variable });
      expect(snapshot(a)[name], `${name} never moved`).not.toEqual(before[name]);
    }
  });

  it('freezes with its layer', async () => {
    const model = build();
    const layer = model.layers[1]!;
    layer.trainable = false;
    compile(model);
    const before = snapshot(model);
    await train(model, x());
    const after = snapshot(model);
    const moving = /moving_|^head/;
    for (const weight of Object.keys(before).filter((key) => !moving.test(key))) {
      expect(after[weight], weight).toEqual(before[weight]);
    }
  });

  if (!layerCase.recurrent) {
    it("leaves the layer's regularizer on the stored weight", () => {
      const model = smallModel(() => decorated(tfl.regularizers.l2({ l2: 0.5 })), inputShape);
      const regularized = parametrizedWeights(model).filter(({ weight }) => weight !== 'bias');
      const losses = (model as unknown as { calculateLosses(): tf.Scalar[] }).calculateLosses();
      const squares = regularized.map(({ variable }) =>
        Array.from(variable.dataSync()).reduce((sum, value) => sum + 0.5 * value * value, 0),
      );
      expect(losses.slice(0, squares.length).map((loss) => loss.dataSync()[0]!)).toBeAllClose(
        squares,
      );
    });
  }

  it('leaves no tensor behind', async () => {
    const model = build();
    const inputs = x();
    await expectNoLeaks(async () => {
      await train(model, inputs);
      tf.dispose(model.predict(inputs));
      const plain = await finalize(model);
      plain.dispose();
      for (const weight of parametrizedWeights(model)) weight.encoding();
    });
  });

  it('keeps its weights when predicting', () => {
    const model = build();
    const before = snapshot(model);
    tf.dispose(model.predict(x()));
    tf.dispose(model.evaluate(x(), tf.ones([4, 1]), { verbose: 0 }));
    expect(snapshot(model)).toEqual(before);
  });

  it('counts what it stores', () => {
    for (const weight of parametrizedWeights(build())) {
      const encoding = weight.encoding();
      const baked = weight.bake();
      expect(encoding.shape).toEqual(weight.variable.shape);
      expect(encoding.nonzero).toBe(baked.dataSync().filter((value) => value !== 0).length);
      encoding.mask?.forEach((keep, i) => {
        if (!keep) expect(Math.abs(baked.dataSync()[i]!)).toBe(0);
      });
    }
  });
}

function variableOf(weight: tfl.LayerVariable): tf.Variable {
  return weight.read() as tf.Variable;
}

/** Gradients of a fixed weighted sum of the outputs in training mode. */
function gradientsOf(model: tfl.LayersModel, variables: tf.Variable[], x: tf.Tensor): number[][] {
  const loss = () => {
    const y = model.apply(x, { training: true }) as tf.Tensor;
    return tf.sum(tf.mul(y, tf.reshape(tf.range(1, y.size + 1), y.shape))) as tf.Scalar;
  };
  const { value, grads } = tf.variableGrads(loss, variables);
  value.dispose();
  return variables.map((variable) => Array.from(grads[variable.name]!.dataSync()));
}

/** The name of a stored weight among the weights of its model. */
function nameIn(
  model: tfl.LayersModel,
  { variable }: Pick<ParametrizedWeight, 'variable'>,
): string {
  return plainName(model.weights.find((weight) => weight.read() === variable)!);
}

function plainIndex(plain: tfl.LayersModel, name: string): number {
  return plain.trainableWeights.findIndex((candidate) => plainName(candidate) === name);
}
