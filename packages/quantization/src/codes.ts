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
  /** True when the step is trained. */
  learned: boolean;
}

/** Smallest and largest code, the zero point taken off: two numbers, or two tensors of one shape. */
export type CodeBounds = { low: number; high: number } | { low: tf.Tensor; high: tf.Tensor };

/** What a rounding to codes is made of; tensors must broadcast against the values. */
export type Coding = CodeBounds & {
  scale: tf.Tensor;
  /** True when the gradient goes into the scale too. */
  learned?: boolean;
};

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
  const { scale, learned = false } = coding;
  const inputs = learned ? [values, scale] : [values];
  const op = tf.customGrad((...args) => {
    const save = args.at(-1) as tf.GradSaveFunc;
    // Constants too: they are gone by the time of the backward pass.
    save([values, scale, ...(isNumeric(coding) ? [] : [coding.low, coding.high])]);
    return {
      value: round(values, scale, coding),
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
        const [x, s, low, high] = saved as [tf.Tensor, tf.Tensor, ...tf.Tensor[]];
        const bounds = isNumeric(coding) ? coding : { low: low!, high: high! };
        const dx = roundGradient(dy, x, s, bounds);
        return learned ? [dx, sumTo(tf.neg(tf.mul(dx, tf.div(x, s))), s.shape)] : dx;
      },
    };
  });
  return op(...inputs);
}

type Numeric = { low: number; high: number };

function isNumeric(bounds: CodeBounds): bounds is Numeric {
  return typeof bounds.low === 'number';
}

/** Codes, by one kernel where the backend has it and the scales lie along one axis. */
function round(x: tf.Tensor, scale: tf.Tensor, bounds: CodeBounds): tf.Tensor {
  return codeOp('ThimbleCodes', { x, scale }, bounds, () =>
    tf.minimum(tf.maximum(tf.round(tf.div(x, scale)), bounds.low), bounds.high),
  );
}

function roundGradient(dy: tf.Tensor, x: tf.Tensor, scale: tf.Tensor, bounds: CodeBounds) {
  return codeOp('ThimbleCodesGrad', { dy, x, scale }, bounds, () => {
    const above = tf.greaterEqual(x, tf.mul(bounds.low, scale));
    const passes = tf.logicalAnd(above, tf.lessEqual(x, tf.mul(bounds.high, scale)));
    return tf.where(passes, tf.div(dy, scale), tf.zerosLike(dy));
  });
}

function codeOp(
  name: string,
  inputs: { x: tf.Tensor; scale: tf.Tensor; dy?: tf.Tensor },
  bounds: CodeBounds,
  compose: () => tf.Tensor,
): tf.Tensor {
  const inner = innerOf(inputs.x, inputs.scale, bounds);
  if (inner === undefined) return tf.tidy(compose);
  if (isNumeric(bounds)) {
    return namedOp(name, inputs, { inner, low: bounds.low, high: bounds.high }, compose);
  }
  return namedOp(name, { ...inputs, low: bounds.low, high: bounds.high }, { inner }, compose);
}

/**
 * How many values of a channel lie side by side; undefined where the scales, or the bounds, are not one, or
 * one per channel of a single axis.
 */
function innerOf(x: tf.Tensor, scale: tf.Tensor, bounds: CodeBounds): number | undefined {
  const several = !isNumeric(bounds) && bounds.low.size > 1;
  if (x.dtype !== 'float32' || (several && bounds.low.shape.join() !== scale.shape.join())) {
    return undefined;
  }
  if (scale.size === 1) return several ? undefined : x.size;
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
