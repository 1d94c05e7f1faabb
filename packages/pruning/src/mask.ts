// A mask over a weight: what all pruning stands on.
import * as tf from '@tensorflow/tfjs-core';
import type { layers } from '@tensorflow/tfjs-layers';
import { checkOptions, DataError, NoMatchError, ShapeError, UnsupportedError } from '@thimble/base';
import {
  namedOp,
  type ParametrizedWeight,
  parametrizedWeights,
  registerTransform,
  type Site,
  type WeightTransform,
} from '@thimble/core';
import { magnitudeMask } from './magnitude.ts';
import { checkSparsity } from './sparsity.ts';

/** Options of {@link mask}. */
export interface MaskOptions {
  /**
   * Fraction of the weight, in [0, 1), that is masked from the start: the smallest in magnitude when
   * the layer is built, or, for a layer that is built already, now. Default 0.
   */
  sparsity?: number;
}

/** The state of a mask at one weight. */
export interface MaskState {
  /** 1 where the weight is kept, 0 where it is pruned. */
  mask: tf.Variable;
}

/** A transform that hides pruned entries; made by {@link mask}. */
export type MaskTransform = WeightTransform<MaskState>;

/** What masks are saved as. */
export const MASK_CLASS_NAME = 'ThimbleMask';

/**
 * Hides the pruned entries of a weight.
 *
 * - forward: `w' = w * m`, with m of the weight's shape holding 0 and 1
 * - backward: `dL/dw = dL/dw' * m`
 *
 * As the mask acts in the forward pass, no optimizer, momentum or weight decay can bring a pruned weight
 * back. The mask is a weight of the layer that is not trained: it is saved and loaded with the model, and
 * never inferred from zeros. {@link setMask} changes it.
 *
 * @throws {OptionError} for a sparsity outside [0, 1); {UnsupportedError} naming the layer, when it is built, where
 *   nothing would be left of the weight.
 *
 * Paper: Han, Pool, Tran, Dally, "Learning both Weights and Connections for Efficient Neural Networks",
 * 2015.
 *
 * @example
 * parametrize(tfl.layers.dense({ units: 300 }), { kernel: [mask({ sparsity: 0.9 })] });
 */
export function mask(options: MaskOptions = {}): MaskTransform {
  checkOptions('mask', options, ['sparsity']);
  const { sparsity } = options;
  if (sparsity !== undefined) checkSparsity('mask', sparsity);
  return {
    getClassName: () => MASK_CLASS_NAME,
    getConfig: (): tf.serialization.ConfigDict => (sparsity === undefined ? {} : { sparsity }),
    build(site) {
      const initial = tf.tidy(() =>
        sparsity === undefined
          ? tf.ones(site.shape)
          : tf.tensor(smallestMasked(site, sparsity), site.shape, 'float32'),
      );
      const state = { mask: site.addWeight('mask', site.shape, initial, false) };
      initial.dispose();
      return state;
    },
    apply: masked,
    bake: masked,
    encoding: (_weight, state) => ({ mask: Uint8Array.from(state.mask.dataSync()) }),
  };
}

/** A kernel of `thimble`, with its gradient, to which masks are bits. */
function masked(weight: tf.Tensor, { mask }: MaskState): tf.Tensor {
  return namedOp('ThimbleMask', { x: weight, mask }, {}, () => tf.mul(weight, mask));
}

function smallestMasked(site: Site, sparsity: number): Uint8Array {
  const values = magnitudeMask(site.read().dataSync(), sparsity);
  if (values.includes(1)) return values;
  throw new UnsupportedError(
    `mask: a sparsity of ${sparsity} would leave nothing of "${site.weight}" of layer "${site.layer}", which has ` +
      `${values.length} entries. Lower it, or leave the mask out.`,
  );
}

registerTransform(MASK_CLASS_NAME, (config) => mask(config as MaskOptions));

/**
 * Sets the mask of a weight.
 *
 * @param target a layer with one masked weight, or one of `parametrizedWeights(model)`; of several masks
 *   in one chain the first is set
 * @param values 0 and 1 only, in the shape of the weight (a tensor) or flat in its order
 * @throws {NoMatchError} when the target has no mask, or is a layer with several masked weights.
 * @throws {ShapeError} when the number of values or the shape differs.
 * @throws {DataError} naming the first value that is neither 0 nor 1.
 * @example
 * const layer = parametrize(tfl.layers.dense({ units: 3, inputShape: [4] }), { kernel: [mask()] });
 * const model = tfl.sequential({ layers: [layer] });
 * setMask(layer, magnitudeMask(layer.getWeights()[0].dataSync(), 0.5));
 */
export function setMask(
  target: layers.Layer | ParametrizedWeight,
  values: tf.Tensor | ArrayLike<number>,
): void {
  const { weight, state } = findMask(target);
  const { shape, size } = weight.variable;
  const where = `"${weight.weight}" of layer "${weight.layer.name}"`;
  const given = values instanceof tf.Tensor ? values.shape : [values.length];
  const expected = values instanceof tf.Tensor ? shape : [size];
  if (given.join() !== expected.join()) {
    throw new ShapeError(`setMask: ${where} takes a mask of shape [${expected}], not [${given}].`);
  }
  const flat = values instanceof tf.Tensor ? values.dataSync() : values;
  for (let i = 0; i < flat.length; i++) {
    if (flat[i] !== 0 && flat[i] !== 1) {
      throw new DataError(
        `setMask: a mask holds 0 and 1 only; entry ${i} of the mask for ${where} is ${flat[i]}.`,
      );
    }
  }
  tf.tidy(() => state.mask.assign(tf.tensor(Float32Array.from(flat), shape)));
}

function findMask(target: layers.Layer | ParametrizedWeight): {
  weight: ParametrizedWeight;
  state: MaskState;
} {
  const isWeight = 'links' in target;
  const found = (isWeight ? [target] : parametrizedWeights(target)).flatMap((weight) => {
    const link = weight.links.find(({ transform }) => transform.getClassName() === MASK_CLASS_NAME);
    return link ? [{ weight, state: link.state as MaskState }] : [];
  });
  const name = isWeight
    ? `"${target.weight}" of layer "${target.layer.name}"`
    : `Layer "${target.name}"`;
  const [only, ...others] = found;
  if (!only) {
    throw new NoMatchError(
      `setMask: ${name} has no mask, or is not built. Give it one: ` +
        'parametrize(layer, { kernel: [mask()] }).',
    );
  }
  if (others.length > 0) {
    const names = found.map(({ weight }) => `${weight.layer.name}/${weight.weight}`).join(', ');
    throw new NoMatchError(
      `setMask: ${name} has several masked weights (${names}); pass one of parametrizedWeights(layer).`,
    );
  }
  return only;
}
