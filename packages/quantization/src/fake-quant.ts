// Fake quantisation: compute in float with the values that low-precision codes can express.
import * as tf from '@tensorflow/tfjs-core';
import { checkInteger, checkOptions, OptionError, UnsupportedError } from '@thimble/base';
import { registerTransform, type WeightTransform } from '@thimble/core';
import { codesOf, untracked, valuesOf } from './codes.ts';
import { type Grid, type GridOptions, gridOf, gridOver, snap } from './grid.ts';
import { GROUP_AXIS, type Groups, groupsAlong, inGroups, withinGroups } from './groups.ts';
import { allBut, snapToOwnRange } from './own-range.ts';

/** Options of {@link fakeQuant}. */
export interface FakeQuantOptions extends GridOptions {
  /** True: a range of its own for every output unit or filter. Default false: one for the weight. */
  perChannel?: boolean;
  /**
   * A range of its own for every so many entries along the input axis, for every output and position
   * (the last group may be smaller); along the only axis of a vector. Not together with `perChannel`.
   */
  groupSize?: number;
}

/** The state of fake quantisation at one weight. */
export interface FakeQuantState {
  /** The axis that has a range per slice, or that is cut into groups; none with one range in all. */
  axis: number | null;
  /** How the weight is cut into groups, if it is. */
  groups?: Groups;
}

/** A transform that quantises a weight; made by {@link fakeQuant}. */
export type FakeQuantTransform = WeightTransform<FakeQuantState>;

const CLASS_NAME = 'ThimbleFakeQuant';

/**
 * Trains a weight as it will be stored: rounded to one of `2^bits` evenly spaced values over its own
 * present range.
 *
 * - range: the smallest and largest entry at every evaluation (per output channel with `perChannel`, per
 *   run of inputs with `groupSize`), widened to include 0 and nudged so that 0 is exact; zeros stay zeros,
 *   so it composes with masks
 * - forward: `q = clip(round(w / s) + z, low, high)`, `w' = s (q - z)`; halves round to even
 * - backward (straight-through): `dL/dw = dL/dw'` where `s (low - z) <= w <= s (high - z)`, else 0;
 *   nothing flows into the range
 *
 * Scale s and zero point z are those of the affine grid: `s = (max - min) / (high - low)`,
 * `z = round(low - min / s)` with halves up, codes 0 (with `narrowRange` 1) to `2^bits - 1`. With
 * `symmetric`, `s = 2 max|w| / (high - low)` and `z = 2^(bits - 1)`; without `narrowRange` such a grid
 * ends half a step below `max|w|`, where the gradient is 0 too. For weights `symmetric` with
 * `narrowRange` and `perChannel` loses least. A weight that is all zeros stays so.
 *
 * @throws {OptionError} for bits outside 2 to 16, and for `groupSize` with `perChannel`; {UnsupportedError}, when
 *   the layer is built, for `perChannel` at a weight that is a single number.
 *
 * Paper: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
 * Inference", 2018.
 *
 * @example
 * parametrize(tfl.layers.dense({ units: 300 }), { kernel: [fakeQuant({ bits: 8 })] });
 */
export function fakeQuant(options: FakeQuantOptions): FakeQuantTransform {
  const known = ['bits', 'symmetric', 'narrowRange', 'perChannel', 'groupSize'];
  checkOptions('fakeQuant', options, known);
  checkBits('fakeQuant', options.bits);
  const { perChannel = false, groupSize, ...grid } = options;
  if (groupSize !== undefined) {
    checkInteger('fakeQuant', 'groupSize', groupSize, 1);
    if (perChannel) {
      throw new OptionError(
        'fakeQuant: groupSize gives every output its own ranges already; leave out perChannel.',
      );
    }
  }
  const gridFor = (weight: tf.Tensor, { axis, groups }: FakeQuantState) =>
    groups
      ? gridOver(weight, [GROUP_AXIS], grid)
      : gridOver(weight, allBut(weight.rank, axis), grid);
  return {
    getClassName: () => CLASS_NAME,
    getConfig: () => ({ ...options }),
    build({ axes, shape, layer, weight }) {
      if (perChannel && axes.out < 0) {
        throw new UnsupportedError(
          `fakeQuant: "${weight}" of layer "${layer}" has no channels: its shape is [${shape}]. Leave out perChannel.`,
        );
      }
      if (groupSize === undefined) return { axis: perChannel ? axes.out : null };
      const axis = Math.max(axes.in, 0);
      return { axis, groups: groupsAlong(shape, axis, groupSize) };
    },
    apply(weight, { axis, groups }) {
      if (!groups) return snapToOwnRange(weight, axis, grid);
      return withinGroups(weight, groups, (values) =>
        snapTo(
          values,
          untracked(() => gridOver(values, [GROUP_AXIS], grid)),
        ),
      );
    },
    bake: (weight, state) =>
      withinGroups(weight, state.groups, (values) => snap(values, gridFor(values, state))),
    encoding(weight, state) {
      const { axis, groups } = state;
      const { scale, zeroPoint } = gridFor(groups ? inGroups(weight, groups) : weight, state);
      return {
        values: {
          type: 'affine',
          bits: options.bits,
          scale: Float32Array.from(scale.dataSync()),
          zeroPoint: Int32Array.from(zeroPoint.dataSync()),
          axis,
          ...(groupSize === undefined ? {} : { group: groupSize }),
        },
      };
    },
  };
}
registerTransform(CLASS_NAME, (config) => fakeQuant(config as unknown as FakeQuantOptions));

/**
 * Fake quantisation of any tensor over a range that is given: the forward and backward formula of
 * {@link fakeQuant} with `min` and `max` in place of the weight's own. They are constants: no gradient
 * flows into them.
 *
 * @param min,max numbers, or tensors that broadcast against `values`
 * @throws {OptionError} for bits outside 2 to 16, and for numbers that are no range. Tensors are not looked at.
 * @example
 * fakeQuantize(tf.tensor([-0.3, 0.1, 2]), -1, 1, { bits: 4 });
 */
export function fakeQuantize(
  values: tf.Tensor,
  min: tf.Tensor | number,
  max: tf.Tensor | number,
  options: GridOptions,
): tf.Tensor {
  checkOptions('fakeQuantize', options, ['bits', 'symmetric', 'narrowRange']);
  checkBits('fakeQuantize', options.bits);
  checkBounds(min, max);
  const toTensor = (bound: tf.Tensor | number) =>
    typeof bound === 'number' ? tf.scalar(bound) : bound;
  return tf.tidy(() =>
    snapTo(
      values,
      untracked(() => gridOf(toTensor(min), toTensor(max), options)),
    ),
  );
}

function checkBounds(min: tf.Tensor | number, max: tf.Tensor | number): void {
  const numbers = [min, max].filter((bound) => typeof bound === 'number');
  const range =
    numbers.every(Number.isFinite) && (numbers.length < 2 || numbers[0]! <= numbers[1]!);
  if (range) return;
  throw new OptionError(
    `fakeQuantize: min and max must be finite, and min at most max, not ${numbers.join(' and ')}.`,
  );
}

/** Throws unless there are 2 to 16 bits. */
export function checkBits(owner: string, bits: number): void {
  checkInteger(owner, 'bits', bits, 2, 16);
}

/** `snap`, with the gradient of the identity inside the grid and 0 outside. */
export function snapTo(values: tf.Tensor, grid: Grid, axis: number | null = null): tf.Tensor {
  const { scale, zeroPoint, low, high } = grid;
  const coding = untracked(() => ({
    scale,
    low: tf.sub(low, zeroPoint),
    high: tf.sub(high, zeroPoint),
  }));
  return valuesOf({ codes: codesOf(values, coding), scale, axis, learned: false });
}
