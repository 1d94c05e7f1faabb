// Gradients on their way to the optimizer: averaged over micro-batches, clipped.
import * as tf from '@tensorflow/tfjs-core';

/** Sums `weight * gradient` over micro-batches; call `mean` once, after the last. */
export class GradientMean {
  #sums: tf.Tensor[] | undefined;
  #weight = 0;

  /** Takes the gradients over. */
  add(gradients: tf.Tensor[], weight: number): void {
    const old = this.#sums;
    this.#sums = tf.tidy(() =>
      gradients.map((gradient, i) => {
        const weighted = tf.mul(gradient, weight);
        return old ? tf.add(old[i]!, weighted) : weighted;
      }),
    );
    this.#weight += weight;
    tf.dispose([old ?? [], gradients]);
  }

  mean(): tf.Tensor[] {
    const sums = this.#sums ?? [];
    this.#sums = undefined;
    const means = tf.tidy(() => sums.map((sum) => tf.div(sum, this.#weight)));
    tf.dispose(sums);
    return means;
  }

  dispose(): void {
    tf.dispose(this.#sums ?? []);
    this.#sums = undefined;
  }
}

/** Every entry into [-limit, limit]. */
export function clipByValue(gradients: tf.Tensor[], limit: number): tf.Tensor[] {
  return gradients.map((gradient) => tf.clipByValue(gradient, -limit, limit));
}

/** All gradients times `limit / norm` where their common Euclidean norm is above `limit`. */
export function clipByNorm(gradients: tf.Tensor[], limit: number): tf.Tensor[] {
  const squares = gradients.map((gradient) => tf.sum(tf.square(gradient)));
  const norm = tf.sqrt(squares.reduce((sum, square) => tf.add(sum, square)));
  const scale = tf.div(limit, tf.maximum(norm, limit));
  return gradients.map((gradient) => tf.mul(gradient, scale));
}
