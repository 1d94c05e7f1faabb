// Structured sparsity: a price on the norm of groups of weights, which makes whole groups zero.
import * as tf from '@tensorflow/tfjs-core';
import { checkOptions, checkRange, OptionError } from '@thimble/base';
import { registerTransform, type WeightTransform } from '@thimble/core';
import { type SliceKind, type Slices, slicesOf } from './slices.ts';

/**
 * What one group holds: everything that leads to one output unit or filter (`filters`), everything that
 * comes from one input unit or channel (`channels`), the entries of all filters at one place of one input
 * channel (`shapes`), or the whole weight (`layer`).
 */
export type GroupKind = 'filters' | 'channels' | 'shapes' | 'layer';

/** Options of {@link groupLasso}. */
export interface GroupLassoOptions {
  /** Weight of the penalty, at least 0; or one for each kind of group, and then `over` is left out. */
  strength: number | Partial<Record<GroupKind, number>>;
  /** The kind of groups, or several kinds at once. */
  over?: GroupKind | readonly GroupKind[];
  /** Default 'proximal', which makes zeros; 'subgradient' only comes near them. */
  method?: 'proximal' | 'subgradient';
  /** True: the strength of a group grows with the square root of its size. Default false. */
  bySize?: boolean;
}

/** The groups of one kind at one weight. */
export interface WeightGroups {
  slices: Slices;
  strength: number;
}

/** A transform that makes groups of weights zero; made by {@link groupLasso}. */
export type GroupLassoTransform = WeightTransform<WeightGroups[]>;

const CLASS_NAME = 'ThimbleGroupLasso';

/** The kinds with their slices, the smallest groups first: each lies within a later one or beside it. */
const KINDS: Record<GroupKind, SliceKind> = {
  shapes: 'shape',
  channels: 'in',
  filters: 'out',
  layer: 'layer',
};

/**
 * Structured Sparsity Learning: the loss grows by `strength * sum_g ||w_g||`, the Euclidean norms of groups
 * g of the weight, so that whole filters, channels, places of the kernel or layers become zero. `w' = w`.
 *
 * - `subgradient`: the gradient of w_g grows by `strength * w_g / ||w_g||`, and by 0 where w_g is 0. Groups
 *   come near zero and hover there; a threshold must finish the work (the authors' code takes 1e-4).
 * - `proximal`: the loss stays as it is, and after every optimizer step
 *   `w_g <- w_g * max(0, 1 - rate * strength / ||w_g||)` with the optimizer's learning rate: groups become
 *   exactly zero, and can come back when the loss wants them. For plain SGD this is the proximal gradient
 *   method; for other optimizers the same step is taken with the same rate.
 *
 * The paper weighs all groups of a kind alike, and so does this by default; `bySize` multiplies by
 * `sqrt(size of the group)` as Yuan and Lin do, so that one strength fits layers of different size.
 * Of several kinds the smaller groups go first (shapes, channels, filters, layer), which is exact for
 * groups that lie within one another and an approximation where filters and channels cross.
 *
 * The proximal step acts on the stored weight, so it belongs first in a chain. TensorFlow.js's own
 * `model.fit` has no place for it: there, and for an optimizer without a learning rate, the subgradient
 * takes its part. A whole layer can only go where there is a way around it, as in a residual block.
 *
 * Papers: Wen, Wu, Wang, Chen, Li, "Learning Structured Sparsity in Deep Neural Networks", 2016, section 3;
 * Yuan, Lin, "Model selection and estimation in regression with grouped variables", 2006.
 *
 * @throws {OptionError} for a kind of groups that is not known, or none.
 * @throws {UnsupportedError} when the weight has no input channels to group by, as a bias.
 * @example
 * parametrize(tfl.layers.conv2d({ filters: 20, kernelSize: 5 }), {
 *   kernel: [groupLasso({ strength: { filters: 5e-3, shapes: 1e-3 } })],
 * });
 */
export function groupLasso(options: GroupLassoOptions): GroupLassoTransform {
  checkOptions('groupLasso', options, ['strength', 'over', 'method', 'bySize']);
  const { method = 'proximal', bySize = false } = options;
  if (method !== 'proximal' && method !== 'subgradient') {
    throw new OptionError(`groupLasso: method must be proximal or subgradient, not "${method}".`);
  }
  const strengths = strengthsOf(options);
  const proximal = method === 'proximal';
  const update: GroupLassoTransform['update'] = (_before, after, groups, { learningRate }) =>
    Number.isNaN(learningRate)
      ? after
      : groups.reduce(
          (weight, { slices, strength }) => shrink(weight, slices, learningRate * strength),
          after,
        );
  return {
    getClassName: () => CLASS_NAME,
    getConfig: () => ({ strength: { ...strengths }, method, bySize }),
    build: (site) =>
      Object.entries(strengths).map(([kind, strength]) => {
        const slices = slicesOf(`groupLasso over ${kind}`, KINDS[kind as GroupKind], site);
        return { slices, strength: bySize ? strength * Math.sqrt(slices.size) : strength };
      }),
    apply: (weight) => weight,
    penalty(weight, groups, { learningRate }) {
      if (proximal && !Number.isNaN(learningRate)) return tf.scalar(0);
      const terms = groups.map(({ slices, strength }) => tf.mul(strength, normSum(weight, slices)));
      return terms.reduce((sum, term) => tf.add(sum, term)) as tf.Scalar;
    },
    ...(proximal ? { update } : {}),
    bake: (weight) => weight,
    encoding: () => ({}),
  };
}
registerTransform(CLASS_NAME, (config) => groupLasso(config as unknown as GroupLassoOptions));

/** The strength of each kind asked for, in the order of {@link KINDS}. */
function strengthsOf({ strength, over }: GroupLassoOptions): Partial<Record<GroupKind, number>> {
  const perKind = typeof strength === 'object';
  if (perKind && over !== undefined) {
    throw new OptionError('groupLasso: leave over out when strength names the kinds of groups.');
  }
  const asked = perKind
    ? strength
    : Object.fromEntries([over ?? []].flat().map((kind) => [kind, strength]));
  const known = Object.keys(KINDS) as GroupKind[];
  checkOptions('groupLasso: groups', asked, known);
  const kinds = known.filter((kind) => asked[kind] !== undefined);
  if (kinds.length === 0) {
    throw new OptionError(
      `groupLasso: over what? Give the option over one or several of ${known.join(', ')}.`,
    );
  }
  for (const kind of kinds) {
    checkRange('groupLasso', perKind ? `strength.${kind}` : 'strength', asked[kind]!, 0);
  }
  return Object.fromEntries(kinds.map((kind) => [kind, asked[kind]!]));
}

/** Norms below it count as 0. */
const TINY = 1e-12;

function normsOf(weight: tf.Tensor, { view, inside }: Slices): tf.Tensor {
  return tf.sqrt(tf.sum(tf.square(tf.reshape(weight, view)), inside, true));
}

/** `sum_g ||w_g||`, with the gradient `w_g / ||w_g||`; that of tf.sqrt is infinite at 0. */
function normSum(weight: tf.Tensor, slices: Slices): tf.Scalar {
  const op = tf.customGrad((...args) => {
    const [values, save] = args as [tf.Tensor, tf.GradSaveFunc];
    save([values]);
    return {
      value: tf.sum(normsOf(values, slices)),
      gradFunc(dy: tf.Tensor, saved: tf.Tensor[]) {
        const w = saved[0]!;
        const norms = tf.maximum(normsOf(w, slices), TINY);
        return tf.mul(dy, tf.reshape(tf.div(tf.reshape(w, slices.view), norms), w.shape));
      },
    };
  });
  return op(weight) as tf.Scalar;
}

/** The proximal step: every group nearer to 0 by `distance`, or 0. */
function shrink(weight: tf.Tensor, slices: Slices, distance: number): tf.Tensor {
  const norms = tf.maximum(normsOf(weight, slices), TINY);
  const factors = tf.maximum(0, tf.sub(1, tf.div(distance, norms)));
  return tf.reshape(tf.mul(tf.reshape(weight, slices.view), factors), weight.shape);
}
