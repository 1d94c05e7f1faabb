// Values as whole numbers of steps, in float32: what fake quantisation computes with.
import * as tf from '@tensorflow/tfjs-core';
import { namedOp } from '@thimble/core';

/** Values on a grid: `codes * scale`. */
export interface Coded {
  /** Whole numbers, the zero point taken off, so that 0 stands for 0. */
  codes: tf.Tensor;
  /** The step: one, or one per slice along `axis`, in a shape that broadcasts against the codes. */
  scale: tf.Tensor;
  axis: number | null;
}

/** What a rounding to codes is made of; tensors must broadcast against the values. */
export interface Coding {
  scale: tf.Tensor;
  /** Smallest and largest code, the zero point taken off. */
  low: tf.Tensor | number;
  high: tf.Tensor | number;
  /** True when the gradient goes into the scale too. */
  learned?: boolean;
}

/**
 * The codes of values: `k = clip(round(x / s), low, high)`, halves to even. The gradient is that of `x / s`
 * within the range, ends included, and 0 outside:
 *
 * - `dL/dx = dL/dk / s` where `low <= x / s <= high`, else 0
 * - `dL/ds = sum of dL/dk * (-x / s^2)` over the same, if learned
 *
 * so that `k s` has the straight-through gradient, and for a learned step that of LSQ.
 */
export function codesOf(values: tf.Tensor, coding: Coding): tf.Tensor {
  const { scale, low, high, learned = false } = coding;
  const inputs = learned ? [values, scale] : [values];
  const op = tf.customGrad((...args) => {
    const save = args.at(-1) as tf.GradSaveFunc;
    const ends = boundsOf(low, high);
    save([values, scale, ...ends]); // constants too: they are gone by the time of the backward pass
    return {
      value: round(values, scale, ends),
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
        const [x, s, ...ends] = saved as [tf.Tensor, tf.Tensor, ...Bounds];
        const dx = roundGradient(dy, x, s, ends);
        return learned ? [dx, sumTo(tf.neg(tf.mul(dx, tf.div(x, s))), s.shape)] : dx;
      },
    };
  });
  return op(...inputs);
}

type Bounds = [low: tf.Tensor, high: tf.Tensor];

function boundsOf(low: tf.Tensor | number, high: tf.Tensor | number): Bounds {
  const toTensor = (end: tf.Tensor | number) => (typeof end === 'number' ? tf.scalar(end) : end);
  return [toTensor(low), toTensor(high)];
}

/** Codes, by one kernel where the backend has it and the scales lie along one axis. */
function round(x: tf.Tensor, scale: tf.Tensor, [low, high]: Bounds): tf.Tensor {
  const compose = () => tf.minimum(tf.maximum(tf.round(tf.div(x, scale)), low), high);
  const inner = innerOf(x, scale, low);
  if (inner === undefined) return tf.tidy(compose);
  return namedOp('ThimbleCodes', { x, scale, low, high }, { inner }, compose);
}

function roundGradient(dy: tf.Tensor, x: tf.Tensor, scale: tf.Tensor, [low, high]: Bounds) {
  const compose = () => {
    const above = tf.greaterEqual(x, tf.mul(low, scale));
    const passes = tf.logicalAnd(above, tf.lessEqual(x, tf.mul(high, scale)));
    return tf.where(passes, tf.div(dy, scale), tf.zerosLike(dy));
  };
  const inner = innerOf(x, scale, low);
  if (inner === undefined) return tf.tidy(compose);
  return namedOp('ThimbleCodesGrad', { dy, x, scale, low, high }, { inner }, compose);
}

/**
 * How many values of a channel lie side by side; undefined where the scales, or the bounds, are not one, or
 * one per channel of a single axis.
 */
function innerOf(x: tf.Tensor, scale: tf.Tensor, low: tf.Tensor): number | undefined {
  if (x.dtype !== 'float32' || (low.size > 1 && low.shape.join() !== scale.shape.join())) {
    return undefined;
  }
  if (scale.size === 1) return low.size === 1 ? x.size : undefined;
  const lead = x.rank - scale.rank;
  const axis = scale.shape.findIndex((size) => size > 1);
  const whole =
    lead >= 0 && scale.shape[axis] === scale.size && x.shape[axis + lead] === scale.size;
  return whole ? x.shape.slice(axis + lead + 1).reduce((n, size) => n * size, 1) : undefined;
}

/** The sum of a tensor over the axes along which one of the given shape is broadcast to it. */
export function sumTo(x: tf.Tensor, shape: number[]): tf.Tensor {
  const lead = x.rank - shape.length;
  const axes = x.shape.map((_, i) => i).filter((i) => i < lead || shape[i - lead] === 1);
  return tf.reshape(tf.sum(x, axes), shape);
}

const known = new WeakMap<tf.Tensor, () => Coded>();

/** The values, whose codes {@link codedValues} knows from now on. */
export function valuesOf(coded: Coded): tf.Tensor {
  const values = tf.mul(coded.codes, coded.scale);
  knowCodes(values, () => coded);
  return values;
}

/** Lets {@link codedValues} know the codes of values, which are computed only when they are asked for. */
export function knowCodes(values: tf.Tensor, codes: () => Coded): void {
  known.set(values, codes);
}

/** The codes of values that have some, in the tidy in which the values were made. */
export function codedValues(values: tf.Tensor): Coded | undefined {
  return known.get(values)?.();
}

/** What `body` computes, as constants: no gradient flows into it, and none of it is kept for one. */
export function untracked<T>(body: () => T): T {
  const { state } = tf.engine();
  // As inside a kernel, whose ops are not recorded.
  state.kernelDepth++;
  try {
    return body();
  } finally {
    state.kernelDepth--;
  }
}
