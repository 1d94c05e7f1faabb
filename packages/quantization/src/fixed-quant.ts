// Quantisation over a range that no longer moves: what a trained weight is stored as.
import * as tf from '@tensorflow/tfjs-core';
import { checkInteger, checkOptions, OptionError } from '@thimble/base';
import { registerTransform, type Site, type WeightTransform } from '@thimble/core';
import { checkBits, type FakeQuantOptions, snapTo } from './fake-quant.ts';
import { type Grid, gridOf, snap } from './grid.ts';
import { GROUP_AXIS, type Groups, groupsAlong, inGroups, withinGroups } from './groups.ts';
import { allBut } from './own-range.ts';

/** How the range of a weight is found. */
export type WeightRanges = 'minMax' | 'mse';

/** Options of {@link fixedQuant}. */
export interface FixedQuantOptions extends FakeQuantOptions {
  /**
   * The range that is fixed: from the smallest to the largest entry (default), or the part of it, of 1 to 100
   * hundredths, with the smallest squared error, which clips outliers.
   */
  ranges?: WeightRanges;
}

/** The state of {@link fixedQuant} at one weight: scales and zero points, which broadcast against it. */
export interface FixedQuantState {
  scale: tf.Variable;
  zeroPoint: tf.Variable;
  axis: number | null;
  groups?: Groups;
}

/** A transform that quantises a weight on a grid that does not move; made by {@link fixedQuant}. */
export type FixedQuantTransform = WeightTransform<FixedQuantState>;

/** Name under which it is saved. */
export const FIXED_QUANT: string = 'ThimbleFixedQuant';

/**
 * Quantises a weight on the grid that fits it at the moment when the transform is put on. The formulas are
 * those of {@link fakeQuant}; scale and zero point are weights of the layer, not trained, and saved with it.
 * A weight whose entries lie on the grid is computed with as it is stored. No range is narrower than 2^-12 of
 * the weight's widest.
 *
 * @throws {OptionError} for bits outside 2 to 16, and for `groupSize` with `perChannel`.
 * @example
 * parametrize(layer, { kernel: [fixedQuant({ bits: 4, symmetric: true, perChannel: true, ranges: 'mse' })] });
 */
export function fixedQuant(options: FixedQuantOptions): FixedQuantTransform {
  const known = ['bits', 'symmetric', 'narrowRange', 'perChannel', 'groupSize', 'ranges'];
  checkOptions('fixedQuant', options, known);
  checkFixedQuant('fixedQuant', options);
  const { bits, perChannel = false, groupSize } = options;
  const gridFor = ({ scale, zeroPoint }: FixedQuantState) => gridWith(scale, zeroPoint, options);
  return {
    getClassName: () => FIXED_QUANT,
    getConfig: () => ({ ...options }),
    build(site) {
      const { axes, shape } = site;
      const where =
        groupSize === undefined
          ? { axis: perChannel ? axes.out : null }
          : inputGroups(shape, Math.max(axes.in, 0), groupSize);
      const { scale, zeroPoint } = tf.tidy(() => ({ ...gridNow(site, options, where) }));
      const add = (name: string, initial: tf.Tensor) =>
        site.addWeight(name, initial.shape, initial, false);
      const state = {
        scale: add('scale', scale),
        zeroPoint: add('zero_point', zeroPoint),
        ...where,
      };
      tf.dispose([scale, zeroPoint]);
      return state;
    },
    apply(weight, state) {
      if (!state.groups) return snapTo(weight, gridFor(state), state.axis);
      return withinGroups(weight, state.groups, (values) => snapTo(values, gridFor(state)));
    },
    bake: (weight, state) =>
      withinGroups(weight, state.groups, (values) => snap(values, gridFor(state))),
    encoding(_weight, { scale, zeroPoint, axis }) {
      return {
        values: {
          type: 'affine',
          bits,
          scale: Float32Array.from(scale.dataSync()),
          zeroPoint: Int32Array.from(zeroPoint.dataSync()),
          axis,
          ...(groupSize === undefined ? {} : { group: groupSize }),
        },
      };
    },
  };
}
registerTransform(FIXED_QUANT, (config) => fixedQuant(config as unknown as FixedQuantOptions));

/** Throws for options that do not go together. */
export function checkFixedQuant(owner: string, options: FixedQuantOptions): void {
  const { bits, perChannel = false, groupSize, ranges = 'minMax' } = options;
  checkBits(owner, bits);
  if (ranges !== 'minMax' && ranges !== 'mse') {
    throw new OptionError(`${owner}: ranges must be minMax or mse, not "${String(ranges)}".`);
  }
  if (groupSize === undefined) return;
  checkInteger(owner, 'groupSize', groupSize, 1);
  if (perChannel) {
    throw new OptionError(
      `${owner}: groupSize gives every output its own ranges already; leave out perChannel.`,
    );
  }
}

/** The grid with these scales. */
export function gridWith(
  scale: tf.Tensor,
  zeroPoint: tf.Tensor,
  { bits, narrowRange }: FixedQuantOptions,
): Grid {
  return { scale, zeroPoint, low: narrowRange ? 1 : 0, high: 2 ** bits - 1 };
}

function inputGroups(shape: number[], axis: number, size: number) {
  return { axis, groups: groupsAlong(shape, axis, size) };
}

/** The grid that fits a weight as it is now. */
function gridNow(
  site: Site,
  options: FixedQuantOptions,
  { axis, groups }: Pick<FixedQuantState, 'axis' | 'groups'>,
): Grid {
  const weight = site.read();
  const values = groups ? inGroups(weight, groups) : weight;
  const over = groups ? [GROUP_AXIS] : allBut(values.rank, axis);
  const [min, max] = aboveFloor(tf.min(values, over, true), tf.max(values, over, true));
  if (options.ranges !== 'mse') return gridOf(min, max, options);
  const errorOf = (share: number) =>
    tf.tidy(() => {
      const grid = gridOf(tf.mul(min, share), tf.mul(max, share), options);
      return tf.sum(tf.squaredDifference(snap(values, grid), values), over, true);
    });
  let best: tf.Tensor = tf.onesLike(min);
  let least = errorOf(1);
  for (let i = CANDIDATES - 1; i >= 1; i--) {
    const error = errorOf(i / CANDIDATES);
    const better = tf.less(error, least);
    const [share, smallest] = [tf.fill(best.shape, i / CANDIDATES), tf.minimum(error, least)];
    const next = tf.where(better, share, best);
    tf.dispose([error, better, share, best, least]);
    [best, least] = [next, smallest];
  }
  return gridOf(tf.mul(min, best), tf.mul(max, best), options);
}

/**
 * Ranges of which none is narrower than `SMALLEST_SHARE` of the widest: the bias of a channel whose weights
 * training has brought to nearly nothing would not fit into 32 bits in steps of its own.
 */
function aboveFloor(min: tf.Tensor, max: tf.Tensor): [min: tf.Tensor, max: tf.Tensor] {
  const width = tf.sub(max, min);
  const floor = tf.mul(tf.max(width), SMALLEST_SHARE);
  const narrow = tf.less(width, floor);
  const half = tf.div(floor, 2);
  return [tf.where(narrow, tf.neg(half), min), tf.where(narrow, half, max)];
}

const SMALLEST_SHARE = 2 ** -12;

/** Shares of the whole range that are tried. */
const CANDIDATES = 100;
