// Small models for contracts: built, trained, saved and compared.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { withSeed } from '@thimble/base';
import { expect } from 'vitest';

/** The layer, flattened into one dense unit, compiled with momentum SGD; the same at every call. */
export function smallModel(make: () => tfl.layers.Layer, inputShape: number[]): tfl.Sequential {
  return withSeed(11, () => {
    const model = tfl.sequential();
    model.add(tfl.layers.inputLayer({ inputShape }));
    model.add(make());
    if (model.outputs[0]!.shape.length > 2) model.add(tfl.layers.flatten());
    model.add(tfl.layers.dense({ units: 1, name: 'head' }));
    compile(model);
    return model;
  });
}

export function compile(model: tfl.LayersModel): void {
  model.compile({ optimizer: tf.train.momentum(0.05, 0.9), loss: 'meanSquaredError' });
}

/** One epoch of TensorFlow.js's own model.fit, two steps, in order. */
export async function train(model: tfl.LayersModel, x: tf.Tensor): Promise<void> {
  const y = tf.ones([x.shape[0]!, 1]);
  await model.fit(x, y, { epochs: 1, batchSize: x.shape[0]! / 2, shuffle: false, verbose: 0 });
  y.dispose();
}

/** A copy of a model by way of its saved form. */
export async function savedAndLoaded(model: tfl.LayersModel): Promise<tfl.LayersModel> {
  let saved: tf.io.ModelArtifacts | undefined;
  await model.save(
    tf.io.withSaveHandler(async (artifacts) => {
      saved = artifacts;
      return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' } };
    }),
  );
  // Through text, as a file would do.
  const modelTopology = JSON.parse(JSON.stringify(saved!.modelTopology)) as object;
  return tfl.loadLayersModel(tf.io.fromMemory({ ...saved!, modelTopology }));
}

/** Saves and loads a model, expects the copy to have its weights and outputs, and returns the copy. */
export async function expectSurvivesSaving(
  model: tfl.LayersModel,
  x: tf.Tensor,
): Promise<tfl.LayersModel> {
  const loaded = await savedAndLoaded(model);
  expect(snapshot(loaded)).toEqual(snapshot(model));
  expectSameOutputs(model, loaded, x);
  return loaded;
}

/** The values of all weights by name, without the numbers that tell layers of one class apart. */
export function snapshot(model: tfl.LayersModel): Record<string, number[]> {
  return Object.fromEntries(
    model.weights.map((weight) => [plainName(weight), Array.from(weight.read().dataSync())]),
  );
}

/** 'dense_Dense/kernel' for 'dense_Dense12/kernel'. */
export function plainName({ originalName }: tfl.LayerVariable): string {
  return originalName.replace(/(_[A-Z][A-Za-z0-9]*?)\d+(?=[/_])/g, '$1');
}

/** The outputs of a model, as numbers. */
export function outputs(model: tfl.LayersModel, x: tf.Tensor): number[] {
  return tf.tidy(() => [model.predict(x)].flat().flatMap((y) => Array.from(y.dataSync())));
}

/** Expects two models to give exactly the same outputs. */
export function expectSameOutputs(a: tfl.LayersModel, b: tfl.LayersModel, x: tf.Tensor): void {
  expect(outputs(b, x)).toEqual(outputs(a, x));
}

/** 24 examples of three classes in turn, as one-hot rows; their inputs are random, and the same for a seed. */
export function threeClasses(inputs: number, seed: number): { xs: tf.Tensor2D; ys: tf.Tensor2D } {
  return {
    xs: tf.randomNormal([24, inputs], 0, 1, 'float32', seed),
    ys: tf.tidy(() => {
      const labels = Int32Array.from({ length: 24 }, (_, i) => i % 3);
      return tf.cast(tf.oneHot(tf.tensor1d(labels, 'int32'), 3), 'float32') as tf.Tensor2D;
    }),
  };
}
