// What a weight transform knows about the moment in which it is evaluated.
import * as tf from '@tensorflow/tfjs-core';
import { Random } from '@thimble/base';

/** The moment in which a chain of transforms is evaluated. */
export interface Context {
  /** True in a training pass, false when predicting. */
  readonly training: boolean;
  /** Number of the training step; constant while predicting. */
  readonly step: number;
  /**
   * The optimizer's learning rate at this step, within `fit`; for proximal steps. NaN outside of it (also
   * in TensorFlow.js's own `model.fit`), and where the optimizer has no such number.
   */
  readonly learningRate: number;
  /**
   * Uniform random numbers in [0, 1): for one key the same at every call within a step (also where a
   * layer is shared), fresh at the next, and the same again when a resumed run repeats the step. They
   * depend on the seed, the step, and on how many other keys were asked for earlier in the step, but not
   * on the key itself: TensorFlow.js numbers layers through, so names differ from model to model. `key`
   * is best a `Site.key`.
   */
  random(key: string, shape: number[]): tf.Tensor;
}

/** The step and seed that random draws depend on, and the learning rate of the step. */
export interface Moment {
  step: number;
  seed: number | string;
  /** Default: not known. */
  learningRate?: number;
}

let moment: Moment = { step: 0, seed: 0 };
let held = false;
/** Keys in the order in which they were asked for in this step. */
const order = new Map<string, number>();
const seenTapes = new WeakSet<object>();

/**
 * Sets the moment that transforms see, and holds it until the next call. A training loop calls
 * it before every step, and {@link releaseMoment} when it ends.
 */
export function setMoment(next: Moment): void {
  setStep(next);
  held = true;
}

/**
 * Lets the step count by itself from the last moment on: every gradient computation is one step, which
 * is what happens in TensorFlow.js's own `model.fit`.
 *
 * @example
 * setMoment({ step: 0, seed: 42 }); // makes the draws of a following model.fit reproducible
 * releaseMoment();
 */
export function releaseMoment(): void {
  held = false;
  const { step, seed } = moment;
  moment = { step, seed };
}

/** The moment that transforms see now. */
export function currentMoment(): Readonly<Moment> {
  return moment;
}

/** The largest float32 below 1; what is drawn above it would be rounded up. */
const BELOW_ONE = 1 - 2 ** -24;

/** The context that transforms see now. */
export function currentContext(training: boolean): Context {
  if (training) countStep();
  const { step, seed, learningRate = Number.NaN } = moment;
  return {
    training,
    step,
    learningRate,
    random(key, shape) {
      const place = order.get(key) ?? order.size;
      order.set(key, place);
      const random = new Random(seed, 'transform', step, place);
      const values = new Float32Array(shape.reduce((size, n) => size * n, 1));
      for (let i = 0; i < values.length; i++) values[i] = Math.min(random.uniform(), BELOW_ONE);
      return tf.tensor(values, shape, 'float32');
    },
  };
}

/** Advances the step when a training pass runs under a gradient tape that no pass has run under yet. */
function countStep(): void {
  const tape = tf.engine().state.activeTape as object | null | undefined;
  if (!tape || seenTapes.has(tape)) return;
  seenTapes.add(tape);
  if (!held) setStep({ ...moment, step: moment.step + 1 });
}

function setStep(next: Moment): void {
  moment = next;
  order.clear();
}
