// A weight cut into groups of neighbours along one axis.
import * as tf from '@tensorflow/tfjs-core';

/** How a weight is cut. */
export interface Groups {
  /** Shape of the weight. */
  shape: number[];
  /** Entries before and after the axis that is cut: products of the sizes. */
  outer: number;
  inner: number;
  /** Entries along the axis, of them in a group, and groups. */
  length: number;
  size: number;
  count: number;
}

/** The axis of {@link inGroups} that runs within a group. */
export const GROUP_AXIS = 2;

const product = (sizes: number[]) => sizes.reduce((n, size) => n * size, 1);

/** Groups of `size` entries along `axis`; the last may be smaller. */
export function groupsAlong(shape: number[], axis: number, size: number): Groups {
  const length = shape[axis] ?? 1;
  return {
    shape: shape.slice(),
    outer: product(shape.slice(0, axis)),
    inner: product(shape.slice(axis + 1)),
    length,
    size,
    count: Math.ceil(length / size),
  };
}

/** The weight as [outer, count, size, inner], filled up with zeros behind the last group. */
export function inGroups(weight: tf.Tensor, groups: Groups): tf.Tensor {
  const { outer, inner, length, size, count } = groups;
  const missing = count * size - length;
  let flat: tf.Tensor = tf.reshape(weight, [outer, length, inner]);
  if (missing > 0) flat = tf.concat([flat, tf.zeros([outer, missing, inner])], 1);
  return tf.reshape(flat, [outer, count, size, inner]);
}

/** The weight from its groups. */
export function outOfGroups(grouped: tf.Tensor, groups: Groups): tf.Tensor {
  const { shape, outer, inner, length, size, count } = groups;
  const flat = tf.reshape(grouped, [outer, count * size, inner]) as tf.Tensor3D;
  const cut = count * size > length ? tf.slice(flat, [0, 0, 0], [outer, length, inner]) : flat;
  return tf.reshape(cut, shape);
}

/** `body` on the weight as it is, or on its groups. */
export function withinGroups(
  weight: tf.Tensor,
  groups: Groups | undefined,
  body: (values: tf.Tensor) => tf.Tensor,
): tf.Tensor {
  return groups ? outOfGroups(body(inGroups(weight, groups)), groups) : body(weight);
}
