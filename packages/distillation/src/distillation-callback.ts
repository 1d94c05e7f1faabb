// Distillation as a training callback: in Thimble's `fit`, and in tfjs's own `model.fit`.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkOptions, OptionError, UnsupportedError } from '@thimble/base';
import { type StepContext, ThimbleCallback } from '@thimble/core';
import { confidenceWeights } from './confidence-weights.ts';
import { type Scheduled, valueAt } from './scheduled.ts';
import {
  resolveSoftTargets,
  SOFT_TARGET_DEFAULTS,
  type SoftTargetOptions,
  softTargetDivergence,
} from './soft-targets.ts';
import {
  checkPair,
  givesProbabilities,
  type TeacherTable,
  teacherLogits,
  toLogits,
} from './teacher.ts';

const OWNER = 'callbacks.distillation';

/** The temperature loss with numbers that may change in the course of training, and several teachers. */
export interface ScheduledSoftTargets {
  /** T > 0, or one of `schedules`. Default 4. */
  temperature?: Scheduled;
  /** Weight of the teacher's part from 0 to 1, or one of `schedules`. Default 0.9. */
  alpha?: Scheduled;
  /** How much each of several teachers counts, see {@link confidenceWeights}. Default 'equal'. */
  weighting?: 'equal' | 'confidence';
}

/** Options of {@link distillationCallback}. */
export interface DistillationOptions extends ScheduledSoftTargets {
  /** One trained model, or several: then the student learns the mean of their soft targets. */
  teacher: LayersModel | LayersModel[];
}

/** The parts of tfjs's compiled model that its own `fit` reads at every step. */
interface CompiledModel {
  lossFunctions?: ((labels: tf.Tensor, output: tf.Tensor) => tf.Tensor)[];
}

export class DistillationCallback extends ThimbleCallback {
  readonly #teachers: LayersModel[];
  readonly #options: Required<ScheduledSoftTargets>;
  readonly #table: TeacherTable | undefined;
  #probabilities = false;
  /** Where tfjs's own fit stands. */
  #stock = { epoch: 0, step: 0 };
  #restoreStock: (() => void) | undefined;

  constructor(options: DistillationOptions, table?: TeacherTable) {
    super();
    const { teacher, ...soft } = options;
    checkOptions(OWNER, soft, [...Object.keys(SOFT_TARGET_DEFAULTS), 'weighting']);
    const { weighting = 'equal' } = soft;
    if (weighting !== 'equal' && weighting !== 'confidence') {
      throw new OptionError(
        `${OWNER}: weighting must be 'equal' or 'confidence', not "${String(weighting)}".`,
      );
    }
    this.#options = { ...SOFT_TARGET_DEFAULTS, ...soft, weighting };
    // Schedules are asked at every step; numbers can be judged now.
    resolveSoftTargets(OWNER, onlyNumbers(this.#options));
    this.#teachers = Array.isArray(teacher) ? teacher : [teacher];
    this.#table = table;
  }

  override async onTrainBegin(): Promise<void> {
    const student = this.model as LayersModel;
    checkPair(this.#teachers, student);
    this.#probabilities = givesProbabilities(student);
    // Still there when tfjs's last fit ended in an error.
    this.#restoreStock?.();
    this.#stock = { epoch: 0, step: 0 };
    if (!this.insideFit) this.#hookStockFit(student);
  }

  override async onEpochBegin(epoch: number): Promise<void> {
    this.#stock.epoch = epoch;
  }

  override async onBatchEnd(): Promise<void> {
    this.#stock.step += 1;
  }

  override async onTrainEnd(): Promise<void> {
    this.#restoreStock?.();
    this.#restoreStock = undefined;
  }

  /** `alpha * T^2 * KL(teacher || student) + (1 - alpha) * loss`, within Thimble's `fit`. */
  override loss(loss: tf.Scalar, outputs: tf.Tensor[], context: StepContext): tf.Scalar {
    const { batch } = context;
    const rows = this.#table?.rows(batch.indices) ?? teacherLogits(this.#teachers, batch.xs);
    return this.#mix(loss, outputs[0]!, rows, batch.ys[0]!, context) as tf.Scalar;
  }

  /** `hard` is the mean loss, or in tfjs's own fit the loss of each example. */
  #mix(
    hard: tf.Tensor,
    output: tf.Tensor,
    rows: Float32Array[],
    labels: tf.Tensor,
    at: Pick<StepContext, 'epoch' | 'step'>,
  ): tf.Tensor {
    const { temperature, alpha } = resolveSoftTargets(OWNER, {
      temperature: valueAt(this.#options.temperature, at, this.params),
      alpha: valueAt(this.#options.alpha, at, this.params),
    });
    const teachers = rows.map((logits) => tf.tensor2d(logits, output.shape as [number, number]));
    const weights =
      this.#options.weighting === 'confidence' ? confidenceWeights(teachers, labels) : undefined;
    const student = toLogits(output, this.#probabilities);
    const divergence = softTargetDivergence(student, teachers, temperature, weights);
    const soft = hard.rank === 0 ? tf.mean(divergence) : divergence;
    return tf.add(tf.mul(soft, alpha), tf.mul(hard, 1 - alpha));
  }

  /**
   * tfjs's own fit has no place for a callback in the loss. Two of its parts are looked up at every step:
   * the first layer's `call`, which sees the batch, and the compiled loss function. Both are decorated
   * until training ends. Only the training pass distils; validation shows the compiled loss.
   */
  #hookStockFit(student: LayersModel): void {
    const compiled = student as unknown as CompiledModel;
    const first = student.layers.find((layer) => layer.getClassName() !== 'InputLayer');
    if (student.inputs.length !== 1 || !first || !compiled.lossFunctions) {
      throw new UnsupportedError(
        `callbacks.distillation works in tfjs's own fit for compiled models with one input; ` +
          `"${student.name}" is not one. Use Thimble's fit, which takes any model.`,
      );
    }
    const call = first.call;
    const own = Object.hasOwn(first, 'call');
    const losses = compiled.lossFunctions;
    let logits: Float32Array[] | undefined;
    first.call = (inputs, kwargs) => {
      const x = Array.isArray(inputs) ? inputs[0]! : inputs;
      logits = kwargs.training === true ? teacherLogits(this.#teachers, [x]) : undefined;
      return call.call(first, inputs, kwargs);
    };
    compiled.lossFunctions = [
      (labels, output) => {
        const hard = losses[0]!(labels, output);
        return logits ? this.#mix(hard, output, logits, labels, this.#stock) : hard;
      },
    ];
    this.#restoreStock = () => {
      if (own) first.call = call;
      else Reflect.deleteProperty(first, 'call');
      compiled.lossFunctions = losses;
    };
  }
}

/**
 * A callback that turns training into distillation:
 * `loss = alpha * T^2 * KL(p_teacher || p_student) + (1 - alpha) * (the model's own loss)`.
 *
 * The teacher runs in inference mode on the very batch that the student sees, and receives no gradient.
 * Teacher and student may end in a softmax or give logits, each as it likes. Works in `fit` and, for
 * models with one input, in tfjs's own `model.fit` (there `val_loss` stays the compiled loss).
 *
 * Temperature and alpha may be schedules: annealing from a high temperature (Jafari and others, "Annealing
 * Knowledge Distillation", 2021), a teacher that counts less and less. The teacher's part replaces a share of
 * the loss so far, so callbacks that add to the loss come after this one.
 *
 * @throws ShapeError where teacher and student differ in inputs or classes, OptionError for a temperature
 *   not above 0 or an alpha outside [0, 1]
 * @example
 * await fit(student, data, { epochs: 5, callbacks: [distillationCallback({ teacher, temperature: 4 })] });
 * const annealed = distillationCallback({ teacher, alpha: schedules.linear(0.9, { final: 0.1 }) });
 */
export function distillationCallback(options: DistillationOptions): DistillationCallback {
  return new DistillationCallback(options);
}

function onlyNumbers({ temperature, alpha }: ScheduledSoftTargets): SoftTargetOptions {
  return {
    ...(typeof temperature === 'number' ? { temperature } : {}),
    ...(typeof alpha === 'number' ? { alpha } : {}),
  };
}
