// Slices with strides, which may run backwards, and dropped axes.
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { type Case, define } from '../case.ts';
import { floats, one, seed, shapes } from '../data.ts';

/** What is read along one axis, possibly backwards. */
interface Cut {
  begin: number;
  end: number;
  stride: number;
  fromStart: boolean;
  toEnd: boolean;
  /** Only `begin` is read, and the axis is dropped. */
  dropped: boolean;
}

const cuts = shapes(1, 5).chain((shape) =>
  fc.record({
    shape: fc.constant(shape),
    cuts: fc.tuple(
      ...shape.map((size) =>
        fc
          .record({
            begin: fc.integer({ min: -size, max: size - 1 }),
            end: fc.integer({ min: -size, max: size }),
            stride: one(1, 1, 2, 3, -1, -2),
            fromStart: one(false, false, true),
            toEnd: one(false, false, true),
            dropped: one(false, false, false, true),
          })
          .map(
            (cut): Cut =>
              cut.dropped ? { ...cut, stride: 1, fromStart: false, toEnd: false } : cut,
          ),
      ),
    ),
    seed,
  }),
);

const mask = (bits: boolean[]): number =>
  bits.reduce((sum, bit, i) => sum + Number(bit) * 2 ** i, 0);

/** The positions that a slice of Python, begin:end:stride, reads from an axis. */
function positions({ begin, end, stride, fromStart, toEnd, dropped }: Cut, size: number): number[] {
  const [first, last] = stride > 0 ? [0, size] : [size - 1, -1];
  let at = fromStart ? first : (begin + size) % size;
  if (dropped) return [at];
  const stop = toEnd ? last : end < 0 ? end + size : end;
  const read: number[] = [];
  for (; (stop - at) * stride > 0; at += stride) read.push(at);
  return read;
}

export const stridedSlice: Case = define(
  'stridedSlice',
  cuts,
  (c) => ({
    inputs: [floats(c.shape, c.seed)],
    run: (x: tf.Tensor) =>
      tf.stridedSlice(
        x,
        c.cuts.map(({ begin }) => begin),
        c.cuts.map(({ begin, end, dropped }) => (dropped ? begin + 1 : end)),
        c.cuts.map(({ stride }) => stride),
        mask(c.cuts.map(({ fromStart }) => fromStart)),
        mask(c.cuts.map(({ toEnd }) => toEnd)),
        0,
        0,
        mask(c.cuts.map(({ dropped }) => dropped)),
      ),
    // cpu reads outside of x where an axis is dropped.
    onCpu: (x: tf.Tensor) => {
      const read = c.cuts.reduce((y, cut, axis) => {
        const picked = positions(cut, c.shape[axis] as number);
        return picked.length > 0
          ? tf.gather(y, tf.tensor1d(picked, 'int32'), axis)
          : tf.zeros(y.shape.map((size, i) => (i === axis ? 0 : size)));
      }, x);
      return tf.reshape(
        read,
        read.shape.filter((_, i) => !c.cuts[i]?.dropped),
      );
    },
  }),
  { gradient: 'slopes' },
);
