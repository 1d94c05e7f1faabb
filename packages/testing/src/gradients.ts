// Gradients against finite differences.
import * as tf from '@tensorflow/tfjs-core';
import { Random } from '@thimble/base';
import { expect } from 'vitest';

/** Options of {@link checkGradients}. */
export interface GradientCheckOptions {
  /** Half the distance of the two points of a difference. Default 1e-2: float32 has 7 digits. */
  epsilon?: number;
  /** Allowed error, relative to the larger of 1 and the gradient. Default 1e-2. */
  tolerance?: number;
}

/** Entries checked per tensor; larger tensors are sampled. */
const SAMPLE = 12;

/**
 * Expects the gradients of `loss` with respect to the variables to be what central differences say:
 * `(loss(x + e) - loss(x - e)) / 2e` entry by entry. `loss` must be smooth near the point, and depend on
 * nothing but the variables.
 */
export function checkGradients(
  loss: () => tf.Scalar,
  variables: Record<string, tf.Variable>,
  options: GradientCheckOptions = {},
): void {
  const { epsilon = 1e-2, tolerance = 1e-2 } = options;
  const list = Object.values(variables);
  const { value, grads } = tf.variableGrads(loss, list);
  value.dispose();
  for (const [name, variable] of Object.entries(variables)) {
    const gradient = grads[variable.name];
    expect(gradient, `no gradient reaches ${name}`).toBeDefined();
    const analytic = gradient!.dataSync();
    for (const i of sample(variable.size)) {
      const numeric = (lossAt(i, epsilon) - lossAt(i, -epsilon)) / (2 * epsilon);
      const error = Math.abs(analytic[i]! - numeric) / Math.max(1, Math.abs(numeric));
      expect(
        error,
        `${name}[${i}]: gradient ${analytic[i]}, differences say ${numeric}`,
      ).toBeLessThan(tolerance);
    }
    function lossAt(i: number, step: number): number {
      const original = variable.dataSync().slice();
      const moved = original.slice();
      moved[i]! += step;
      assign(variable, moved);
      const result = tf.tidy(() => loss().dataSync()[0]!);
      assign(variable, original);
      return result;
    }
  }
  tf.dispose(grads);
}

function assign(variable: tf.Variable, values: tf.TypedArray): void {
  tf.tidy(() => variable.assign(tf.tensor(values, variable.shape, variable.dtype)));
}

function sample(size: number): Uint32Array {
  return new Random(1).permutation(size).subarray(0, SAMPLE);
}
