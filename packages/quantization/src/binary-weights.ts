// Binary weights with a scale per filter (BWN, and the weights of XNOR-Net).
import * as tf from '@tensorflow/tfjs-core';
import { checkOptions, OptionError } from '@thimble/base';
import { namedOp, registerTransform, type Site, type WeightTransform } from '@thimble/core';
import { untracked } from './codes.ts';
import { clipped, type Latent, latentAt, pruned, settle, signsOf } from './latent.ts';
import { passInside } from './sign.ts';

/** Options of {@link binaryWeights}. */
export interface BinaryWeightsOptions {
  /** One scale for every output unit or filter (default), or one for the whole weight. */
  scale?: 'filter' | 'layer';
  /** Default 'exact'; 'paper' is the formula that the paper prints. */
  gradient?: 'exact' | 'paper';
  /**
   * True: after every step the mean over the input channels is taken from the stored weight, as the authors'
   * code does. Default false. Has no effect where there are no input channels, or one.
   */
  centre?: boolean;
}

/** The state of a binary weight with scales. */
export interface BinaryWeightsState extends Latent {
  /** The axes that share a scale. */
  shared: number[];
  /** The axis that has a scale per slice, or none. */
  axis: number | null;
  /** The axis over which the stored weight is centred, or none. */
  centred: number | null;
}

/** A transform that makes a weight binary with scales; made by {@link binaryWeights}. */
export type BinaryWeightsTransform = WeightTransform<BinaryWeightsState>;

const CLASS_NAME = 'ThimbleBinaryWeights';

/**
 * Approximates a weight by signs and one scale per filter.
 *
 * - forward: `w' = a sign(w)` with `a = mean |w|` over the n entries of the filter, which is the nearest
 *   such weight in the square norm; sign(0) = +1
 * - backward, exact: `dL/dw_i = sign(w_i) / n * sum_j(dL/dw'_j sign(w_j)) + dL/dw'_i a [|w_i| <= 1]`, the
 *   way by the scale and the straight-through way by the sign
 * - backward, paper: `dL/dw_i = dL/dw'_i (1 / n + a [|w_i| <= 1])`, which leaves out what the other entries
 *   of the filter contribute
 * - update: `w <- clip(w, -1, 1)`, with `centre` after the mean over the input channels is taken off
 *
 * Test time is as in training. Entries that an earlier mask has pruned stay 0 and do not count in n. One
 * bit per entry and 32 per scale. In TensorFlow.js's own `model.fit` the update of a step happens at the
 * beginning of the next.
 *
 * Paper: Rastegari, Ordonez, Redmon, Farhadi, "XNOR-Net: ImageNet Classification Using Binary Convolutional
 * Neural Networks", 2016, section 3.1.
 *
 * @throws {OptionError} for a scale or gradient that is not known.
 * @example
 * parametrize(tfl.layers.conv2d({ filters: 50, kernelSize: 5 }), { kernel: [binaryWeights()] });
 */
export function binaryWeights(options: BinaryWeightsOptions = {}): BinaryWeightsTransform {
  checkOptions('binaryWeights', options, ['scale', 'gradient', 'centre']);
  const { scale = 'filter', gradient = 'exact', centre = false } = options;
  if (scale !== 'filter' && scale !== 'layer') {
    throw new OptionError(`binaryWeights: scale must be filter or layer, not "${String(scale)}".`);
  }
  if (gradient !== 'exact' && gradient !== 'paper') {
    throw new OptionError(
      `binaryWeights: gradient must be exact or paper, not "${String(gradient)}".`,
    );
  }
  const settled = (weight: tf.Tensor, { centred: axis }: BinaryWeightsState) => {
    if (axis === null) return clipped(weight);
    return namedOp('ThimbleCentreClip', { w: weight }, { axis }, () =>
      clipped(tf.sub(weight, tf.mean(weight, axis, true))),
    );
  };
  return {
    getClassName: () => CLASS_NAME,
    getConfig: () => ({ ...options }),
    build(site) {
      const axis = scale === 'filter' ? site.axes.out : null;
      const shared = site.shape.map((_, i) => i).filter((i) => i !== axis);
      return {
        ...latentAt(site, !centre),
        axis,
        shared,
        centred: centre ? channelsOf(site) : null,
      };
    },
    apply(weight, state, context) {
      settle(state, context, (w) => settled(w, state));
      return approximated(weight, state, gradient);
    },
    update: (_before, after, state) => settled(after, state),
    bake: (weight, state) => approximated(weight, state, gradient),
    encoding(weight, state) {
      const [, scales] = signsAndScale(weight, state);
      const scale = Float32Array.from(scales.dataSync());
      return { values: { type: 'binary', bits: 1, scale, axis: state.axis } };
    },
  };
}
registerTransform(CLASS_NAME, (config) => binaryWeights(config as BinaryWeightsOptions));

/** The axis of the input channels, where there are several. */
function channelsOf({ shape, axes }: Site): number | null {
  return axes.in < 0 || axes.in === axes.out || shape[axes.in] === 1 ? null : axes.in;
}

/** Entries per scale: a number, or with pruned ones a tensor of those that are kept, at least 1. */
function countOf(weight: tf.Tensor, shared: number[], zeros: boolean): tf.Tensor | number {
  if (!zeros) return shared.reduce((n, axis) => n * weight.shape[axis]!, 1);
  return tf.maximum(tf.sum(tf.abs(tf.sign(weight)), shared, true), 1);
}

function scaleOf(weight: tf.Tensor, shared: number[], zeros: boolean): tf.Tensor {
  return tf.div(tf.sum(tf.abs(weight), shared, true), countOf(weight, shared, zeros));
}

/** Whether a backend may have kernels for it: a scale for each entry of the last axis, and nothing pruned. */
function isPlain(weight: tf.Tensor, state: BinaryWeightsState): boolean {
  return !pruned(weight, state) && state.axis === weight.rank - 1;
}

/** The binary weight, and its scales, which are those in it to the last bit. */
function signsAndScale(
  weight: tf.Tensor,
  state: BinaryWeightsState,
): [value: tf.Tensor, scale: tf.Tensor] {
  const zeros = pruned(weight, state);
  const compose = (): tf.Tensor[] => {
    const scale = scaleOf(weight, state.shared, zeros);
    return [tf.mul(signsOf(weight, zeros), scale), scale];
  };
  const made = isPlain(weight, state)
    ? namedOp('ThimbleBinaryWeights', { w: weight }, {}, compose)
    : compose();
  return made as [tf.Tensor, tf.Tensor];
}

function approximated(
  weight: tf.Tensor,
  state: BinaryWeightsState,
  gradient: BinaryWeightsOptions['gradient'],
): tf.Tensor {
  const { shared } = state;
  const zeros = pruned(weight, state);
  const plain = isPlain(weight, state) && gradient !== 'paper';
  const [value, scale] = untracked(() => signsAndScale(weight, state));
  const op = tf.customGrad((w, save) => {
    (save as tf.GradSaveFunc)([w as tf.Tensor, scale]);
    return {
      value,
      gradFunc(dy: tf.Tensor, saved: tf.Tensor[]) {
        const [x, factor] = saved as [tf.Tensor, tf.Tensor];
        const compose = (): tf.Tensor => {
          const count = countOf(x, shared, zeros);
          const bySign = tf.mul(passInside(x, dy), factor);
          if (gradient === 'paper') return tf.add(bySign, tf.div(dy, count));
          const signs = signsOf(x, zeros);
          const ofScale = tf.div(tf.sum(tf.mul(dy, signs), shared, true), count);
          return tf.add(bySign, tf.mul(signs, ofScale));
        };
        if (!plain) return compose();
        return namedOp('ThimbleBinaryWeightsGrad', { dy, w: x, scale: factor }, {}, compose);
      },
    };
  });
  return op(weight);
}
