// Trains all widths of a network together.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkInteger, checkOptions, OptionError, UnsupportedError } from '@thimble/base';
import { endsInSoftmax, type StepContext, type StepResult, ThimbleCallback } from '@thimble/core';
import { presentSettings } from './extract-width.ts';
import { applySettings, setWidth } from './set-width.ts';
import { settingsFor, slimmableLayers, type WidthGroup, widthGroups } from './slimmable-flow.ts';
import { hasWidth, isList, listed, smallestOf, type Widths } from './slimmable-widths.ts';

/** Options of {@link slimmableTraining}; all are optional. */
export interface SlimmableTrainingOptions {
  /** The widths to train, of those that the layers have; default: all of them. */
  widths?: Widths;
  /**
   * The sandwich rule: in each step the largest width, the smallest and so many random ones in between.
   * Default: for a list none, each step takes all widths; for a range 2.
   */
  sandwich?: number;
  /**
   * In-place distillation: widths below the largest learn from its outputs instead of the labels. Default:
   * true with the sandwich rule, else false.
   */
  distill?: boolean;
  /**
   * True: the random widths of the sandwich rule are drawn for each layer on its own, which makes the network
   * a better judge of the candidates of {@link autoSlim}. Default false: one for all.
   */
  layerwise?: boolean;
}

/** The callback that {@link slimmableTraining} makes. */
export class SlimmableTraining extends ThimbleCallback {
  readonly #options: SlimmableTrainingOptions;
  #widths: Widths | undefined;
  /** Present while widths learn from the largest one's class probabilities. */
  #targets: tf.Tensor[] | undefined;
  #largest = false;

  constructor(options: SlimmableTrainingOptions = {}) {
    super();
    checkOptions(OWNER, options, ['widths', 'sandwich', 'distill', 'layerwise']);
    if (options.sandwich !== undefined) checkInteger(OWNER, 'sandwich', options.sandwich, 0);
    this.#options = options;
  }

  override setModel(model: LayersModel): void {
    super.setModel(model as never);
    const layers = slimmableLayers(OWNER, model);
    const own = layers[0]!.slim.widths;
    const widths = this.#options.widths ?? own;
    for (const { name, slim } of layers) {
      const wanted = isList(widths) ? widths : [widths.min];
      const missing = wanted.find((width) => !hasWidth(slim.widths, width));
      if (missing !== undefined || (isList(slim.widths) && !isList(widths))) {
        throw new OptionError(
          `${OWNER}: layer "${name}" cannot have the widths ${listed(widths)}. Its widths: ` +
            `${listed(slim.widths)}.`,
        );
      }
    }
    this.#widths = isList(widths) ? [...widths].sort((a, b) => a - b) : widths;
    if (this.distills) for (const output of model.outputs) checkClasses(output.shape);
  }

  override async onTrainBegin(): Promise<void> {
    if (this.insideFit) return;
    throw new UnsupportedError(
      `${OWNER} takes several steps in one, for which tfjs's own fit has no place: use Thimble's fit.`,
    );
  }

  get #sandwich(): number | undefined {
    const { sandwich } = this.#options;
    return sandwich ?? (isList(this.#widths!) ? undefined : 2);
  }

  get distills(): boolean {
    return this.#options.distill ?? this.#sandwich !== undefined;
  }

  override step(run: () => StepResult, context: StepContext): StepResult {
    const model = this.model as LayersModel;
    const goBack = presentSettings(model);
    const fixed = this.#fixedWidths();
    const [smallest, largest] = [fixed[0]!, fixed.at(-1)!];
    let sum: StepResult | undefined;
    const take = (change: () => void, key?: string) => {
      change();
      this.#largest = sum === undefined;
      const result = run();
      if (key) result.logs[key] = tf.clone(result.loss);
      sum = sum ? added(sum, result, key) : result;
    };
    const takeFixed = (width: number) => take(() => setWidth(model, width), `loss_${width}`);
    try {
      takeFixed(largest);
      for (const widthOf of this.#drawn(context)) {
        take(() => applySettings(settingsFor(OWNER, model, widthOf)));
      }
      for (const width of fixed.slice(1, -1).reverse()) takeFixed(width);
      if (smallest !== largest) takeFixed(smallest);
      return sum!;
    } finally {
      tf.dispose(this.#targets ?? []);
      this.#targets = undefined;
      goBack();
    }
  }

  override loss(loss: tf.Scalar, outputs: tf.Tensor[]): tf.Scalar {
    if (!this.distills) return loss;
    const softmaxed = (this.model as LayersModel).outputs.map(endsInSoftmax);
    if (this.#largest) {
      this.#targets = tf.tidy(() =>
        outputs.map((output, i) => tf.keep(softmaxed[i] ? tf.clone(output) : tf.softmax(output))),
      );
      return loss;
    }
    const losses = outputs.map((output, i) =>
      softCrossEntropy(this.#targets![i]!, output, softmaxed[i]!),
    );
    return losses.reduce((total, each) => tf.add(total, each));
  }

  /** The widths of every step, whose losses are shown. */
  #fixedWidths(): readonly number[] {
    const widths = this.#widths!;
    if (this.#sandwich === undefined && isList(widths)) return widths;
    return [smallestOf(widths), isList(widths) ? widths.at(-1)! : 1];
  }

  /** The random widths of one step, by the layers. */
  #drawn({ random }: StepContext): ((group: WidthGroup) => number)[] {
    const widths = this.#widths!;
    const sandwich = this.#sandwich ?? 0;
    if (sandwich === 0) return [];
    const source = random(OWNER);
    const inner = isList(widths) ? widths.slice(1, -1) : [];
    const draw = () =>
      isList(widths)
        ? widths[Math.floor(source.uniform(0, widths.length))]!
        : source.uniform(widths.min, 1);
    if (this.#options.layerwise) {
      const groups = widthGroups(OWNER, this.model as LayersModel);
      return Array.from({ length: sandwich }, () => {
        const drawn = new Map(groups.map((group) => [group, draw()]));
        return (group) => drawn.get(group)!;
      });
    }
    const common = isList(widths)
      ? Array.from(source.permutation(inner.length).subarray(0, sandwich), (i) => inner[i]!)
      : Array.from({ length: sandwich }, draw);
    return common.map((width) => () => width);
  }
}

/**
 * A callback that trains a slimmable network at several widths: in each step the gradients of all chosen
 * widths on one batch are added, then the optimizer steps once.
 *
 * - loss: `sum over widths of L(width)`, as `loss` in the history, with `loss_<width>` beside it; metrics are
 *   those of the largest width
 * - the sandwich rule takes the largest width, the smallest and n random ones
 * - in-place distillation: `L(width) = - sum p log q` for widths below the largest, p its class probabilities
 *   as constants, q those of the width; of models with several outputs the sum. Outputs that do not end in a
 *   softmax are taken for logits
 *
 * The model keeps its present width, at which `validationData` is evaluated. A network with batch
 * normalisation over a range of widths needs `calibrateWidths` afterwards. Works in Thimble's `fit` only.
 *
 * Papers: Yu, Yang, Xu, Yang, Huang, "Slimmable Neural Networks", 2018, algorithm 1; Yu, Huang, "Universally
 * Slimmable Networks and Improved Training Techniques", 2019, algorithm 1.
 *
 * @throws {OptionError} for widths that a layer does not have; {NoMatchError} without slimmable layers;
 *   {UnsupportedError} for distillation with outputs of one unit, and in tfjs's own fit.
 * @example
 * const widths = [0.25, 0.5, 1];
 * const model = tfl.sequential({ layers: [
 *   tfl.layers.flatten({ inputShape: [28, 28, 1] }),
 *   slimmableDense({ units: 32, widths, activation: 'relu' }),
 *   slimmableDense({ units: 10, widths, activation: 'softmax' }),
 * ] });
 * await fit(model, train, {
 *   epochs: 2, loss: 'categoricalCrossentropy', callbacks: [slimmableTraining()],
 * });
 */
export function slimmableTraining(options: SlimmableTrainingOptions = {}): SlimmableTraining {
  return new SlimmableTraining(options);
}

const OWNER = 'callbacks.slimmableTraining';

/** Adds a result to the sum; of its logs only the loss under `key` is kept. */
function added(
  sum: StepResult,
  { loss, gradients, logs, totals }: StepResult,
  key: string | undefined,
): StepResult {
  const result: StepResult = {
    ...sum,
    loss: tf.add(sum.loss, loss),
    gradients: sum.gradients.map((gradient, i) => tf.add(gradient, gradients[i]!)),
  };
  if (key) result.logs = { ...sum.logs, [key]: logs[key]! };
  const unused = Object.entries(logs).filter(([name]) => name !== key);
  tf.dispose([sum.loss, sum.gradients, loss, gradients]);
  tf.dispose([...unused.map(([, log]) => log), ...Object.values(totals ?? {})]);
  return result;
}

function checkClasses(shape: (number | null)[]): void {
  if (shape.at(-1) !== 1) return;
  throw new UnsupportedError(
    `${OWNER}: in-place distillation needs outputs with a score for each class, not one unit. Give ` +
      'distill: false.',
  );
}

/** `- sum p log q`, the mean over the examples. */
function softCrossEntropy(p: tf.Tensor, output: tf.Tensor, softmaxed: boolean): tf.Scalar {
  const logs = softmaxed ? tf.log(tf.clipByValue(output, 1e-7, 1)) : tf.logSoftmax(output);
  return tf.neg(tf.mean(tf.sum(tf.mul(p, logs), -1))) as tf.Scalar;
}
