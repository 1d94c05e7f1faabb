// Training in fixed point: weights, activations, gradients and updates on one grid, rounded to the nearest or at random.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkInteger, checkOptions, OptionError, type Random } from '@thimble/base';
import {
  layerWeight,
  parametrize,
  registerTransform,
  type StepContext,
  ThimbleCallback,
  type WeightTransform,
  walkLayers,
  withLayerOutputs,
} from '@thimble/core';
import { straightThrough } from './straight-through.ts';
import { chainsAt, type KernelSite, kernelSites } from './targets.ts';

/** A fixed-point format <IL, FL>, and how numbers are rounded to it. */
export interface FixedPointFormat {
  /** Bits in front of the point, the sign among them, 1 to 24. */
  integerBits: number;
  /** Bits behind the point, 0 to 23; with `integerBits` at most 24, what float32 holds exactly. */
  fractionBits: number;
  /** 'nearest' (default; halves go to even), or 'stochastic': up with a chance as large as the part left over. */
  rounding?: 'nearest' | 'stochastic';
}

/** The state of fixed point at one weight. */
export interface FixedPointState {
  key: string;
}

/** A transform that keeps a weight in fixed point; made by {@link fixedPoint}. */
export type FixedPointTransform = WeightTransform<FixedPointState>;

const CLASS_NAME = 'ThimbleFixedPoint';
const OPTIONS = ['integerBits', 'fractionBits', 'rounding'];

/**
 * Rounds to a fixed-point format: `clip(e round(x / e), -2^(IL-1), 2^(IL-1) - e)` with `e = 2^-FL`, or, at
 * random, `floor(x / e + u)` for u uniform in [0, 1), where the mean of the result is x. Halves go to even, as
 * everywhere in Thimble; those of Gupta et al. go up, which moves all that falls on halves in one direction.
 *
 * @param uniform for stochastic rounding: numbers in [0, 1) of the shape of x
 * @throws {OptionError} for bits out of range, an unknown rounding, or random rounding without numbers.
 * @example
 * toFixedPoint(tf.tensor([0.3, 9]), { integerBits: 3, fractionBits: 3 }); // 0.25, 3.875
 */
export function toFixedPoint(
  x: tf.Tensor,
  format: FixedPointFormat,
  uniform?: tf.Tensor,
): tf.Tensor {
  checkFormat('toFixedPoint', format);
  const { integerBits, fractionBits, rounding } = format;
  if (rounding === 'stochastic' && !uniform) {
    throw new OptionError('toFixedPoint: stochastic rounding needs uniform random numbers.');
  }
  const scale = 2 ** fractionBits;
  const limit = 2 ** (integerBits - 1);
  return tf.tidy(() => {
    const steps = tf.clipByValue(tf.mul(x, scale), -limit * scale, limit * scale - 1);
    if (rounding !== 'stochastic') return tf.div(tf.round(steps), scale);
    // u is added to what is left over alone: beside many steps float32 has no room for it.
    const below = tf.floor(steps);
    const up = tf.floor(tf.add(tf.sub(steps, below), uniform!));
    return tf.div(tf.add(below, up), scale);
  });
}

/**
 * Keeps a weight in fixed point.
 *
 * - forward: `w' = nearest(w)` ({@link toFixedPoint}); backward straight through: `dL/dw = dL/dw'`
 * - after an optimizer's step of `fit` from w to v: `w <- clip(nearest(w) + round(v - w))`, the update rounded
 *   as the option says. Updates below half a step vanish under 'nearest'; under 'stochastic' their mean stays
 *
 * In tfjs's own `model.fit` the stored weight stays float. {@link fixedPointTraining} puts it on all weights,
 * and rounds activations and gradients too.
 *
 * Paper: Gupta, Agrawal, Gopalakrishnan, Narayanan, "Deep Learning with Limited Numerical Precision", 2015,
 * section 3.
 *
 * @throws {OptionError} for bits out of range or an unknown rounding.
 * @example
 * const kernel = [fixedPoint({ integerBits: 2, fractionBits: 14, rounding: 'stochastic' })];
 * parametrize(tfl.layers.dense({ units: 300 }), { kernel });
 */
export function fixedPoint(options: FixedPointFormat): FixedPointTransform {
  checkFormat('fixedPoint', options);
  const { integerBits, fractionBits, rounding } = options;
  const nearest: FixedPointFormat = { integerBits, fractionBits };
  const bake = (weight: tf.Tensor) => toFixedPoint(weight, nearest);
  return {
    getClassName: () => CLASS_NAME,
    getConfig: () => ({ ...options }),
    build: ({ key }) => ({ key }),
    apply: (weight) => straightThrough(weight, bake),
    update(before, after, { key }, { random }) {
      const uniform = rounding === 'stochastic' ? random(key, before.shape) : undefined;
      const update = toFixedPoint(tf.sub(after, before), options, uniform);
      return bake(tf.add(bake(before), update));
    },
    bake,
    encoding: () => ({
      values: {
        type: 'affine',
        bits: integerBits + fractionBits,
        scale: Float32Array.of(2 ** -fractionBits),
        zeroPoint: Int32Array.of(2 ** (integerBits + fractionBits - 1)),
        axis: null,
      },
    }),
  };
}
registerTransform(CLASS_NAME, (config) => fixedPoint(config as unknown as FixedPointFormat));

function checkFormat(owner: string, format: FixedPointFormat): void {
  checkOptions(owner, format, OPTIONS);
  const { integerBits, fractionBits, rounding = 'nearest' } = format;
  checkInteger(owner, 'integerBits', integerBits, 1, 24);
  checkInteger(owner, 'fractionBits', fractionBits, 0, 24 - integerBits);
  if (rounding !== 'nearest' && rounding !== 'stochastic') {
    throw new OptionError(`${owner}: rounding must be nearest or stochastic, not "${rounding}".`);
  }
}

/** `round` both ways; nothing comes back where a value lies outside of the format. */
function roundBothWays(
  x: tf.Tensor,
  { integerBits }: FixedPointFormat,
  round: (x: tf.Tensor) => tf.Tensor,
): tf.Tensor {
  const limit = 2 ** (integerBits - 1);
  const op = tf.customGrad((...args) => {
    const [values, save] = args as [tf.Tensor, tf.GradSaveFunc];
    save([values]);
    return {
      value: round(values),
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) =>
        tf.mul(round(dy), tf.cast(tf.lessEqual(tf.abs(saved[0]!), limit), 'float32')),
    };
  });
  return op(x);
}

/** Options of {@link fixedPointTraining}. */
export interface FixedPointTrainingOptions extends FixedPointFormat {
  /** Another format for the outputs of layers and the errors that come back to them. */
  activations?: FixedPointFormat;
}

/** The callback that {@link fixedPointTraining} makes. */
export class FixedPointTraining extends ThimbleCallback {
  readonly #format: FixedPointFormat;
  readonly #activations: FixedPointFormat;

  constructor(options: FixedPointTrainingOptions) {
    super();
    checkOptions(OWNER, options, [...OPTIONS, 'activations']);
    const { activations, ...format } = options;
    checkFormat(OWNER, format);
    if (activations) checkFormat(OWNER, activations);
    this.#format = format;
    this.#activations = activations ?? format;
  }

  /** Puts kernels and biases into fixed point, before a checkpoint is read. */
  override setModel(model: LayersModel): void {
    super.setModel(model);
    if (!this.insideFit) {
      throw new OptionError(`${OWNER}: tfjs's own fit does not round. Use Thimble's fit.`);
    }
    for (const { layer, weights } of kernelSites(OWNER, model)) {
      const site: KernelSite = { layer, weights: [...weights, ...biasOf(layer)] };
      const here = chainsAt(model, [site]);
      const bare = site.weights.filter((name) => !here.some((each) => isFixed(each, name)));
      if (bare.length === 0) continue;
      const transform = fixedPoint(this.#format);
      parametrize(layer, Object.fromEntries(bare.map((name) => [name, [transform]])));
    }
  }

  override forward(run: () => tf.Tensor[], context: StepContext): tf.Tensor[] {
    const format = this.#activations;
    const random = context.random('activations');
    const round = (x: tf.Tensor) => rounded(x, format, random);
    const layers = walkLayers(context.model);
    return withLayerOutputs(layers, (_layer, y) => roundBothWays(y, format, round), run);
  }

  override gradients(gradients: tf.Tensor[], context: StepContext): tf.Tensor[] {
    const random = context.random('gradients');
    return gradients.map((gradient) => rounded(gradient, this.#format, random));
  }
}

const OWNER = 'fixedPointTraining';

function isFixed({ weight, links }: ReturnType<typeof chainsAt>[number], name: string): boolean {
  return weight === name && links.some(({ transform }) => transform.getClassName() === CLASS_NAME);
}

function biasOf(layer: KernelSite['layer']): string[] {
  const parts = layer as unknown as Record<string, KernelSite['layer'] | undefined>;
  return layerWeight(parts.forwardLayer ?? layer, 'bias') ? ['bias'] : [];
}

/** Rounded as the format says; the numbers come from a small fast generator seeded by `random`. */
function rounded(x: tf.Tensor, format: FixedPointFormat, random: Random): tf.Tensor {
  if (format.rounding !== 'stochastic') return toFixedPoint(x, format);
  return tf.tidy(() => {
    const values = new Float32Array(x.size);
    let state = random.integer(0xffffffff) + 1;
    for (let i = 0; i < values.length; i++) {
      // xorshift32 (Marsaglia 2003); the upper 24 bits fill a float.
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      values[i] = (state >>> 8) / 16777216;
    }
    return toFixedPoint(x, format, tf.tensor(values, x.shape));
  });
}

/**
 * A callback that trains in fixed point throughout: kernels and biases and their updates ({@link fixedPoint}),
 * the outputs of all layers, the errors that are passed back to them, and the gradients of the weights. No error
 * comes back where an output was cut off at the end of the range. Dot products are summed up in float32 and
 * rounded once. The optimizer's own state stays float.
 *
 * In inference the weights are what they are, on the grid, and the activations float. Works in Thimble's `fit`.
 *
 * Paper: Gupta et al. 2015: with 16 bits and stochastic rounding a network trains as in float with 14, 10 or 8
 * bits behind the point, where rounding to the nearest fails as they become fewer.
 *
 * @throws {OptionError} for bits out of range, an unknown rounding, or tfjs's own fit.
 * @example
 * const callback = fixedPointTraining({ integerBits: 4, fractionBits: 12, rounding: 'stochastic' });
 * await fit(model, train, { epochs: 1, callbacks: [callback] });
 */
export function fixedPointTraining(options: FixedPointTrainingOptions): FixedPointTraining {
  return new FixedPointTraining(options);
}
