// What the tests share: quiet tfjs, seeded tensors, finite differences, the chained ops that the recurrent
// layers of tfjs-layers call on tensors.
import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-layers';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { expect } from 'vitest';

// Silences tfjs's advice about other backends, and makes the engine check every kernel for leaked data.
tf.env().set('IS_TEST', true);

/** The same examples in every run. */
export const SEED = 20_240_601;

/** Runs an asynchronous property on `runs` generated examples, the same ones in every run. */
export function check<T>(
  arbitrary: fc.Arbitrary<T>,
  runs: number,
  property: (example: T) => Promise<void>,
): Promise<void> {
  return fc.assert(fc.asyncProperty(arbitrary, property), { seed: SEED, numRuns: runs });
}

/** Seeded values around 0; with `levels`, small whole numbers, which bring ties. */
export function values(shape: number[], seed: number, levels?: number): Float32Array {
  let state = (seed * 2_654_435_761 + 12_345) >>> 0;
  return Float32Array.from({ length: tf.util.sizeFromShape(shape) }, () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = Math.imul(state ^ (state >>> 15), 1 | state);
    z = (z + Math.imul(z ^ (z >>> 7), 61 | z)) ^ z;
    const unit = ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
    return levels ? Math.floor(unit * levels) - levels / 2 : 2 * unit - 1;
  });
}

/** Runs `compute` under a backend and brings its results to the JavaScript side; leaves no tensor behind. */
export async function on(
  backend: string,
  compute: () => tf.Tensor | tf.Tensor[],
): Promise<{ shape: number[]; data: number[] }[]> {
  await tf.setBackend(backend);
  const results = tf.tidy(compute);
  const list = Array.isArray(results) ? results : [results];
  const read = list.map((tensor) => ({
    shape: tensor.shape,
    data: Array.from(tensor.dataSync()),
  }));
  tf.dispose(list);
  return read;
}

/** Asserts that two lists of numbers agree to `tolerance`, relative to the largest among them. */
export function expectClose(actual: number[], expected: number[], tolerance = 1e-5): void {
  expect(actual.length).toBe(expected.length);
  const scale = Math.max(1, ...expected.map(Math.abs));
  let worst = 0;
  for (let i = 0; i < actual.length; i++) {
    const difference = Math.abs((actual[i] as number) - (expected[i] as number));
    worst = Math.max(worst, Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference);
  }
  expect(worst / scale).toBeLessThanOrEqual(tolerance);
}

/** Asserts that `compute` gives the same shapes and values under both backends. */
export async function expectSame(
  compute: () => tf.Tensor | tf.Tensor[],
  backends: [string, string] = ['thimble', 'cpu'],
  tolerance = 1e-5,
): Promise<void> {
  const [actual, expected] = [await on(backends[0], compute), await on(backends[1], compute)];
  expect(actual.map(({ shape }) => shape)).toEqual(expected.map(({ shape }) => shape));
  actual.forEach(({ data }, i) => {
    expectClose(data, (expected[i] as { data: number[] }).data, tolerance);
  });
}

/**
 * Asserts that the gradient of `loss` under `thimble` agrees with central differences in a few entries of
 * every input, spread over it.
 */
export async function expectGradient(
  loss: (...inputs: tf.Tensor[]) => tf.Scalar,
  inputs: { shape: number[]; data: Float32Array }[],
  { step = 1e-2, tolerance = 1e-3, entries = 6 } = {},
): Promise<void> {
  await tf.setBackend('thimble');
  const tensors = (data: Float32Array[]) =>
    data.map((d, i) => tf.tensor(d, (inputs[i] as { shape: number[] }).shape));
  const at = (data: Float32Array[]) =>
    tf.tidy(() => loss(...tensors(data)).dataSync()[0] as number);
  const data = inputs.map((input) => input.data);
  const gradients = tf.tidy(() =>
    tf
      .grads(loss)(tensors(data))
      .map((gradient) => Array.from(gradient.dataSync())),
  );
  inputs.forEach((input, which) => {
    const stride = Math.max(1, Math.floor(input.data.length / entries));
    for (let i = 0; i < input.data.length; i += stride) {
      const moved = (by: number) =>
        data.map((d, k) => (k === which ? d.map((v, j) => (j === i ? v + by : v)) : d));
      const slope = (at(moved(step)) - at(moved(-step))) / (2 * step);
      const gradient = (gradients[which] as number[])[i] as number;
      expect(Math.abs(gradient - slope)).toBeLessThanOrEqual(
        tolerance * Math.max(1, Math.abs(slope)),
      );
    }
  });
}

/** Gives tensors the methods that the recurrent layers of tfjs-layers call. */
export function registerChainedOps(): void {
  const prototype = tf.Tensor.prototype as unknown as Record<string, unknown>;
  const ops = tf as unknown as Record<string, (...args: unknown[]) => unknown>;
  prototype.flatten ??= function (this: tf.Tensor) {
    return tf.reshape(this, [-1]);
  };
  const names = ['add', 'sub', 'mul', 'div', 'matMul', 'reshape', 'transpose', 'expandDims'];
  names.push('split', 'slice', 'stack', 'sum', 'cast', 'neg', 'sqrt', 'square', 'greater');
  names.push(
    'norm',
    'tanh',
    'sigmoid',
    'abs',
    'sign',
    'max',
    'min',
    'mean',
    'concat',
    'squeeze',
    'stridedSlice',
  );
  for (const name of names) {
    prototype[name] ??= function (this: tf.Tensor, ...args: unknown[]) {
      return (ops[name] as (...all: unknown[]) => unknown)(this, ...args);
    };
  }
}
