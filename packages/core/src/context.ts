// What a weight transform knows about the moment in which it is evaluated.
import * as tf from '@tensorflow/tfjs-core';
import { Random } from '@thimble/base';

/** The moment in which a chain of transforms is evaluated. */
export interface Context {
  /** True in a training pass, false when predicting. */
  readonly training: boolean;
  /** Number of the training step, from 0; constant while predicting. */
  readonly step: number;
  /**
   * Uniform random numbers in [0, 1) that depend on the run's seed, the step and `key` alone: the same
   * at every call within a step (also where a layer is shared), fresh at the next, and the same again
   * when a resumed run repeats the step.
   */
  random(key: string, shape: number[]): tf.Tensor;
}

interface Moment {
  step: number;
  seed: number | string;
}

let moment: Moment = { step: 0, seed: 0 };

/** Sets the step and seed that transforms see from now on. `fit` calls it before every step. */
export function setMoment(next: Moment): void {
  moment = next;
}

/** The step and seed that transforms see now. */
export function currentMoment(): Readonly<Moment> {
  return moment;
}

/** The context that transforms see now. */
export function currentContext(training: boolean): Context {
  const { step, seed } = moment;
  return {
    training,
    step,
    random(key, shape) {
      const random = new Random(seed, 'transform', step, key);
      const values = new Float32Array(shape.reduce((size, n) => size * n, 1));
      for (let i = 0; i < values.length; i++) values[i] = random.uniform();
      return tf.tensor(values, shape, 'float32');
    },
  };
}
