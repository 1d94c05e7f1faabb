// Windows that slide over 1 to 3 axes: what convolutions and pools draw from, and their padding by its
// definition, so that cpu can compute with 'valid' what it computes wrongly, or not at all, with others.
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { one, upTo } from './data.ts';

/** One axis under a sliding window. */
export interface Axis {
  input: number;
  kernel: number;
  stride: number;
  dilation: number;
}

/** All axes, and the padding that they share. */
export interface Windows {
  axes: Axis[];
  pad: 'same' | 'valid' | number;
}

const reach = ({ kernel, dilation }: Axis): number => (kernel - 1) * dilation + 1;

/** Draws windows over `count` axes; numeric paddings up to `maxPad`, dilations up to `maxDilation`. */
export function windows(
  count: number,
  { maxInput = 8, maxKernel = 4, maxStride = 3, maxPad = 0, maxDilation = 1 } = {},
): fc.Arbitrary<Windows> {
  const axis = fc.record({
    input: upTo(maxInput),
    kernel: upTo(maxKernel),
    stride: upTo(maxStride),
    dilation: upTo(maxDilation),
  });
  const numbers = maxPad > 0 ? Array.from({ length: maxPad + 1 }, (_, i) => i) : [];
  return fc
    .record({
      axes: fc.array(axis, { minLength: count, maxLength: count }),
      pad: one<Windows['pad']>('same', 'valid', ...numbers),
    })
    .map(({ axes, pad }) => {
      // tfjs: strides above 1 or dilations above 1, not both.
      const dilated = axes.some(({ dilation }) => dilation > 1);
      return { axes: dilated ? axes.map((axis) => ({ ...axis, stride: 1 })) : axes, pad };
    })
    .filter(
      ({ axes, pad }) =>
        pad === 'same' ||
        axes.every((axis) => {
          const border = pad === 'valid' ? 0 : pad;
          return axis.input + 2 * border >= reach(axis) && border < axis.kernel;
        }),
    );
}

/** What is padded before and after an axis. 'same' makes ceil(input / stride) windows. */
export function border(axis: Axis, pad: Windows['pad']): [number, number] {
  if (pad === 'valid') return [0, 0];
  if (pad !== 'same') return [pad, pad];
  const { input, stride } = axis;
  const total = Math.max(0, (Math.ceil(input / stride) - 1) * stride + reach(axis) - input);
  return [Math.floor(total / 2), Math.ceil(total / 2)];
}

/** x [batch, axes..., channels] with its borders, filled with `value`. */
export function padded<T extends tf.Tensor>(x: T, { axes, pad }: Windows, value = 0): T {
  const borders = axes.map((axis) => border(axis, pad));
  return tf.pad(x, [[0, 0], ...borders, [0, 0]], value) as T;
}

/** A filter [axes..., in, out] with zeros between its values, as a dilation reads it. */
export function widened<T extends tf.Tensor>(filter: T, { axes }: Windows): T {
  return axes.reduce((wide: tf.Tensor, axis, i) => {
    if (axis.dilation === 1) return wide;
    const { shape } = wide;
    const [size, outer] = [shape[i] as number, tf.util.sizeFromShape(shape.slice(0, i))];
    const length = reach(axis);
    // A matrix that moves row k to row k * dilation.
    const places = tf.buffer([outer, length, size]);
    for (let n = 0; n < outer; n++) {
      for (let k = 0; k < size; k++) places.set(1, n, k * axis.dilation, k);
    }
    const moved = tf.matMul(places.toTensor(), tf.reshape(wide, [outer, size, -1]));
    return tf.reshape(
      moved,
      shape.map((old, j) => (j === i ? length : old)),
    );
  }, filter) as T;
}

/** One number of each of N axes. */
export function each<N extends 2 | 3 = 2>(
  { axes }: Windows,
  what: Exclude<keyof Axis, 'input'>,
): N extends 2 ? [number, number] : [number, number, number] {
  return axes.map((axis) => axis[what]) as never;
}
