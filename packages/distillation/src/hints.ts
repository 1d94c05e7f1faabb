// Hints: the student's layer learns to foretell the teacher's by way of a regressor.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { ShapeError, withSeed } from '@thimble/base';
import { FEATURE_OPTIONS, FeatureCallback, type FeatureOptions, type Shape } from './features.ts';

const OWNER = 'hints';

/** Options of {@link hints}. */
export interface HintOptions extends FeatureOptions {
  /** Draws the regressors' first weights; default 0. */
  seed?: number | string;
}

/**
 * The hint loss `1/2 mean (regressed - hint)^2` over examples and units. The paper sums over the units where this
 * takes the mean, so that the weight does not depend on the layer's size: a weight of as many units gives its sum.
 * Backward: `(regressed - hint) / size`.
 *
 * @param regressed what the regressor makes of the student's features, of the hint's shape
 * @param hint the teacher's features, shape [batch, ...]
 * @throws ShapeError where the shapes differ
 * @example
 * const value = hintLoss(tf.zeros([2, 3]), tf.ones([2, 3])); // 0.5
 */
export function hintLoss(regressed: tf.Tensor, hint: tf.Tensor): tf.Scalar {
  if (!tf.util.arraysEqual(regressed.shape, hint.shape)) {
    throw new ShapeError(
      `hintLoss: the student's features have shape [${regressed.shape}], the teacher's [${hint.shape}]. ` +
        'Bring the student to the shape of the teacher with a regressor, as hints does.',
    );
  }
  return tf.tidy(() => tf.div(tf.mean(tf.squaredDifference(regressed, hint)), 2));
}

/**
 * A callback for `fit` that adds `weight * sum over the pairs of hintLoss(r(student's layer), teacher's layer)`.
 * The regressor r has weights of its own, trained along with the student and no part of it; a checkpoint holds
 * them while training lasts. It is
 *
 * - dense with bias, for features [units] (or [steps, units] with as many steps);
 * - a convolution with bias, stride 1 and no padding, for [height, width, channels]. Its kernel is so large that the
 *   student's map shrinks to the teacher's: `student - teacher + 1` in each direction.
 *
 * Default weight 1. With `taskWeight: 0` the student learns the hints alone, as in the first stage of `fitNets`.
 *
 * Paper: Romero and others, "FitNets: Hints for Thin Deep Nets", 2015, equation 3.
 *
 * @throws {ShapeError} for shapes that no regressor joins; {NoMatchError} for an unknown layer;
 *   {UnsupportedError} in tfjs's own fit.
 * @example
 * await fit(student, train, { callbacks: [hints({ teacher, pairs: [['hidden', 'hidden']] })] });
 */
export function hints(options: HintOptions): FeatureCallback {
  return new Hints(options);
}

class Hints extends FeatureCallback {
  readonly #seed: number | string;
  #regressors: tfl.layers.Layer[] = [];

  constructor(options: HintOptions) {
    const technique = { owner: OWNER, weight: 1, checkShapes, loss: hintLoss };
    super(technique, options, [...FEATURE_OPTIONS, 'seed']);
    this.#seed = options.seed ?? 0;
  }

  protected override ownWeights(student: Shape[], teacher: Shape[]): tfl.LayerVariable[] {
    this.#regressors = withSeed(this.#seed, () =>
      student.map((shape, i) => {
        const layer = regressor(shape, teacher[i]!, `regressor${i}`);
        layer.build([null, ...shape]);
        return layer;
      }),
    );
    return this.#regressors.flatMap((layer) => layer.trainableWeights);
  }

  protected override lossOf(student: tf.Tensor, teacher: tf.Tensor, pair: number): tf.Scalar {
    return hintLoss(this.#regressors[pair]!.apply(student) as tf.Tensor, teacher);
  }
}

function regressor(student: Shape, teacher: Shape, name: string): tfl.layers.Layer {
  const units = teacher.at(-1)!;
  if (student.length < 3) return tfl.layers.dense({ units, name });
  const kernelSize = [0, 1].map((axis) => student[axis]! - teacher[axis]! + 1);
  return tfl.layers.conv2d({ filters: units, kernelSize, name });
}

function checkShapes(student: Shape, teacher: Shape, names: string): void {
  const refuse = (remedy: string) => {
    throw new ShapeError(`${OWNER}: ${names}. ${remedy}`);
  };
  if (student.length !== teacher.length || student.length > 3) {
    refuse(
      'No regressor joins them: choose two layers of units, or two of [height, width, channels].',
    );
  }
  if ([...student, ...teacher].some((size) => size === null)) {
    refuse('All sizes must be known: give the models an inputShape without null.');
  }
  if (student.length === 2 && student[0] !== teacher[0]) {
    refuse('The steps must be equal in number.');
  }
  if (student.length === 3 && (student[0]! < teacher[0]! || student[1]! < teacher[1]!)) {
    refuse(
      "The student's map must be at least as high and wide as the teacher's: choose an earlier layer of the " +
        'student or a later one of the teacher.',
    );
  }
}
