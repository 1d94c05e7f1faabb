// What every observer does: take note of values batch by batch, and say which range to quantise them over.
import * as tf from '@tensorflow/tfjs-core';
import { checkInteger, DataError, ShapeError } from '@thimble/base';
import type { StateValue } from '@thimble/core';

/** Where values lie: one number each for all of them, or one per channel. */
export interface ValueRange {
  min: Float32Array;
  max: Float32Array;
}

/** Options that all observers have. */
export interface ObserverOptions {
  /**
   * The axis of the channels, for a range of each; negative ones count from the end. Default: one range
   * for all values.
   */
  axis?: number;
}

/** Watches values to find the range to quantise them over. Holds typed arrays only, no tensors. */
export interface Observer {
  /**
   * Takes note of a batch. Typed arrays are for observers without an axis.
   *
   * @throws {DataError} for NaN, infinities, and no values at all; {ShapeError} for a tensor without the
   *   axis, or with another number of channels than before.
   */
  observe(values: tf.Tensor | Float32Array): void;
  /**
   * The range found so far.
   *
   * @throws {DataError} when nothing was observed, and when all values (of every channel) are equal.
   */
  range(): ValueRange;
  /** What it has seen, for a checkpoint. */
  state(): StateValue;
  restore(state: StateValue): void;
}

/** A batch as the kinds of observers get it: value i belongs to channel `floor(i / inner) % channels`. */
export interface Laid {
  readonly data: ArrayLike<number>;
  readonly channels: number;
  readonly inner: number;
}

/** What one kind of observer does; the rest is common. */
export interface ObserverKind {
  /** Takes note of a batch, whose range per channel is `batch`. */
  note(laid: Laid, batch: ValueRange): void;
  range(): ValueRange;
  state(): StateValue;
  restore(state: StateValue): void;
}

/** An observer with all that is common to them. */
export function makeObserver(
  owner: string,
  { axis }: ObserverOptions,
  kind: ObserverKind,
): Observer {
  if (axis !== undefined) checkInteger(owner, 'axis', axis, -10, 10);
  let channels = 0;
  return {
    observe(values) {
      const laid = lay(owner, values, axis);
      if (channels > 0 && laid.channels !== channels) {
        throw new ShapeError(
          `${owner}: values with ${laid.channels} channels after some with ${channels}.`,
        );
      }
      kind.note(laid, rangeOf(owner, laid));
      channels = laid.channels;
    },
    range() {
      if (channels === 0) {
        throw new DataError(`${owner}: no values were observed; show it some data first.`);
      }
      const range = kind.range();
      if (range.min.every((min, i) => min === range.max[i])) {
        throw new DataError(
          `${owner}: all values observed are ${range.min[0]}, which is no range. Check the data and the layers before.`,
        );
      }
      return range;
    },
    state: () => ({ channels, kind: kind.state() }),
    restore(state) {
      const saved = state as { channels: number; kind: StateValue };
      channels = saved.channels;
      if (channels > 0) kind.restore(saved.kind);
    },
  };
}

function lay(owner: string, values: tf.Tensor | Float32Array, axis: number | undefined): Laid {
  const tensor = values instanceof tf.Tensor;
  const data = tensor ? values.dataSync() : values;
  if (data.length === 0) throw new DataError(`${owner}: a batch without values.`);
  if (axis === undefined) return { data, channels: 1, inner: data.length };
  const shape = tensor ? values.shape : [];
  const place = axis < 0 ? shape.length + axis : axis;
  const channels = shape[place];
  if (channels === undefined) {
    throw new ShapeError(
      `${owner}: values of shape [${shape}] have no axis ${axis} for channels. Leave axis out for one range.`,
    );
  }
  const inner = shape.slice(place + 1).reduce((n, size) => n * size, 1);
  return { data, channels, inner };
}

/** The smallest and largest value of every channel. */
function rangeOf(owner: string, { data, channels, inner }: Laid): ValueRange {
  const min = new Float32Array(channels).fill(Number.POSITIVE_INFINITY);
  const max = new Float32Array(channels).fill(Number.NEGATIVE_INFINITY);
  for (let start = 0, channel = 0; start < data.length; start += inner) {
    let low = min[channel]!;
    let high = max[channel]!;
    for (let i = start; i < start + inner; i++) {
      const value = data[i]!;
      // Also true for NaN, which is neither.
      if (!(value >= low && value <= high)) {
        if (!Number.isFinite(value)) {
          throw new DataError(`${owner}: ${value} among the values. Check data and weights.`);
        }
        if (value < low) low = value;
        if (value > high) high = value;
      }
    }
    min[channel] = low;
    max[channel] = high;
    channel = channel + 1 === channels ? 0 : channel + 1;
  }
  return { min, max };
}
