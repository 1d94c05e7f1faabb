// How right the answers of a network are, from its outputs and the labels.
import { checkInteger, ShapeError } from '@thimble/base';

/** How often a network is right, in all and by class. */
export interface ClassScores {
  /** Share of the examples whose largest output is that of their class. */
  accuracy: number;
  errors: number;
  perClass: { examples: number; right: number }[];
}

/** The class with the largest output, the first of equal ones. */
function largest(values: Float32Array, classes: number, row: number): number {
  let best = 0;
  for (let k = 1; k < classes; k++) {
    if (values[row * classes + k]! > values[row * classes + best]!) best = k;
  }
  return best;
}

function checkRows(owner: string, values: Float32Array, classes: number, rows: number): void {
  if (values.length === classes * rows) return;
  throw new ShapeError(
    `${owner}: ${rows} labels need ${rows * classes} outputs of ${classes} classes, not ${values.length}.`,
  );
}

/**
 * Accuracy in all and by class (top-1).
 *
 * @param values outputs, one row of `classes` numbers an example
 * @param labels the number of the class of each example
 * @throws {ShapeError} where they do not fit together.
 * @example
 * classScores(Float32Array.of(0.9, 0.1, 0.2, 0.8), [0, 0], 2).accuracy; // 0.5
 */
export function classScores(
  values: Float32Array,
  labels: ArrayLike<number>,
  classes: number,
): ClassScores {
  checkRows('classScores', values, classes, labels.length);
  const perClass = Array.from({ length: classes }, () => ({ examples: 0, right: 0 }));
  let right = 0;
  for (let i = 0; i < labels.length; i++) {
    const own = perClass[labels[i]!]!;
    own.examples++;
    if (largest(values, classes, i) !== labels[i]) continue;
    own.right++;
    right++;
  }
  return { accuracy: right / labels.length, errors: labels.length - right, perClass };
}

/** How far a network's confidence is from how often it is right. */
export interface Calibration {
  /** Expected calibration error, in [0, 1]. */
  ece: number;
  /** By confidence, from low to high; means of the examples in each, 0 where there are none. */
  bins: { examples: number; confidence: number; accuracy: number }[];
}

/**
 * Expected calibration error: examples are put into bins of equal width by the probability of the class that is
 * answered, and `ece = sum over bins of (examples in bin / all) * |accuracy - mean confidence|`. A probability on
 * the border of two bins belongs to the lower one.
 *
 * Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", 2017, section 2.
 *
 * @param probabilities one row of `classes` numbers an example
 * @param labels the number of the class of each example
 * @param bins default 15, as in the paper
 * @throws {ShapeError} where they do not fit together; {OptionError} for less than one bin.
 * @example
 * calibration(Float32Array.of(0.75, 0.25, 0.75, 0.25), [0, 1], 2).ece; // right half the time, so 0.25
 */
export function calibration(
  probabilities: Float32Array,
  labels: ArrayLike<number>,
  classes: number,
  bins: number = 15,
): Calibration {
  checkInteger('calibration', 'bins', bins, 1);
  checkRows('calibration', probabilities, classes, labels.length);
  const sums = Array.from({ length: bins }, () => ({ examples: 0, confidence: 0, right: 0 }));
  for (let i = 0; i < labels.length; i++) {
    const answer = largest(probabilities, classes, i);
    const confidence = probabilities[i * classes + answer]!;
    const at = Math.min(bins - 1, Math.max(0, Math.ceil(confidence * bins) - 1));
    const bin = sums[at]!;
    bin.examples++;
    bin.confidence += confidence;
    if (answer === labels[i]) bin.right++;
  }
  let ece = 0;
  const means = sums.map(({ examples, confidence, right }) => {
    ece += Math.abs(right - confidence) / labels.length;
    const n = Math.max(1, examples);
    return { examples, confidence: confidence / n, accuracy: right / n };
  });
  return { ece, bins: means };
}

/** How far numbers are from those that are right. */
export interface RegressionScores {
  /** Mean absolute error. */
  mae: number;
  /** Root of the mean square error. */
  rmse: number;
}

/**
 * Errors of regression, over all examples and outputs.
 *
 * @throws {ShapeError} where the numbers are not as many.
 * @example
 * regressionScores(Float32Array.of(1, 2), [0, 5]); // { mae: 2, rmse: 2.236 }
 */
export function regressionScores(
  values: Float32Array,
  targets: ArrayLike<number>,
): RegressionScores {
  if (values.length !== targets.length) {
    throw new ShapeError(
      `regressionScores: ${values.length} outputs, but ${targets.length} targets.`,
    );
  }
  let [absolute, squares] = [0, 0];
  for (let i = 0; i < values.length; i++) {
    const difference = values[i]! - targets[i]!;
    absolute += Math.abs(difference);
    squares += difference * difference;
  }
  return { mae: absolute / values.length, rmse: Math.sqrt(squares / values.length) };
}
