// What the tests share: random weights for a tfjs model, its outputs, and those of the packed one.
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import { lower } from '@thimble/core';
import type { Graph } from '@thimble/graph';
import { type PackOptions, pack } from '../src/index.ts';

/** Numbers from 0 to 1, the same for the same seed. */
export function random(seed: number): () => number {
  let state = (seed * 2_654_435_761 + 12_345) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = Math.imul(state ^ (state >>> 15), 1 | state);
    z = (z + Math.imul(z ^ (z >>> 7), 61 | z)) ^ z;
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Values between -1 and 1. */
export function reals(length: number, seed: number): Float32Array {
  const next = random(seed);
  return Float32Array.from({ length }, () => 2 * next() - 1);
}

/** Gives a model weights that are not those of its start: variances positive, some kernels sparse. */
export function fill(model: tfl.LayersModel, seed: number, zeros: number = 0): void {
  const next = random(seed);
  const values = model.weights.map(({ originalName, shape }) => {
    const size = (shape as number[]).reduce((n, s) => n * s, 1);
    const kernel = /kernel/i.test(originalName);
    const fan = kernel ? Math.sqrt(size / (shape.at(-1) ?? 1)) : 1;
    const data = Float32Array.from({ length: size }, () => {
      if (/variance/.test(originalName)) return 0.5 + next();
      if (kernel && next() < zeros) return 0;
      return (2 * next() - 1) / Math.max(1, fan / 2);
    });
    return tf.tensor(data, shape as number[]);
  });
  model.setWeights(values);
  tf.dispose(values);
}

/** The outputs of a tfjs model for a batch of inputs. */
export function expected(
  model: tfl.LayersModel,
  inputs: Float32Array[],
  batch: number,
): Float32Array[] {
  return tf.tidy(() => {
    const tensors = inputs.map((values, i) =>
      tf.tensor(values, [batch, ...(model.inputs[i]!.shape.slice(1) as number[])]),
    );
    const outputs = model.predict(tensors.length === 1 ? tensors[0]! : tensors);
    return [outputs].flat().map((output) => Float32Array.from(output.dataSync()));
  });
}

/** The outputs of a graph on packed kernels. */
export async function packed(
  graph: Graph,
  inputs: Float32Array[],
  options: PackOptions = {},
): Promise<Float32Array[]> {
  const net = await pack(graph, options);
  try {
    const named = Object.fromEntries(net.inputs.map(({ name }, i) => [name, inputs[i]!]));
    const outputs = net.predict(named);
    return outputs instanceof Float32Array
      ? [outputs]
      : net.outputs.map(({ name }) => outputs[name]!);
  } finally {
    net.dispose();
  }
}

/** Inputs for a model. */
export function inputsFor(model: tfl.LayersModel, batch: number, seed: number): Float32Array[] {
  return model.inputs.map(({ shape }, i) =>
    reals(batch * (shape.slice(1) as number[]).reduce((n, s) => n * s, 1), seed + i),
  );
}

export { lower };
