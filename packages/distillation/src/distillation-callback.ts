// Distillation as a training callback: in Thimble's `fit`, and in tfjs's own `model.fit`.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkOptions, UnsupportedError } from '@thimble/base';
import { type StepContext, ThimbleCallback } from '@thimble/core';
import {
  resolveSoftTargets,
  SOFT_TARGET_DEFAULTS,
  type SoftTargetOptions,
  softTargetDivergence,
} from './soft-targets.ts';
import { checkPair, endsInSoftmax, type TeacherTable, teacherLogits, toLogits } from './teacher.ts';

/** Options of {@link distillationCallback}. */
export interface DistillationOptions extends SoftTargetOptions {
  /** One trained model, or several: then the student learns the mean of their soft targets. */
  teacher: LayersModel | LayersModel[];
}

/** The parts of tfjs's compiled model that its own `fit` reads at every step. */
interface CompiledModel {
  lossFunctions?: ((labels: tf.Tensor, output: tf.Tensor) => tf.Tensor)[];
}

export class DistillationCallback extends ThimbleCallback {
  readonly #teachers: LayersModel[];
  readonly #options: Required<SoftTargetOptions>;
  readonly #table: TeacherTable | undefined;
  #probabilities = false;
  #restoreStock: (() => void) | undefined;

  constructor(options: DistillationOptions, table?: TeacherTable) {
    super();
    const { teacher, ...soft } = options;
    checkOptions('callbacks.distillation', soft, Object.keys(SOFT_TARGET_DEFAULTS));
    this.#options = resolveSoftTargets('callbacks.distillation', soft);
    this.#teachers = Array.isArray(teacher) ? teacher : [teacher];
    this.#table = table;
  }

  override async onTrainBegin(): Promise<void> {
    const student = this.model as LayersModel;
    checkPair(this.#teachers, student);
    this.#probabilities = endsInSoftmax(student);
    // Still there when tfjs's last fit ended in an error.
    this.#restoreStock?.();
    if (!this.insideFit) this.#hookStockFit(student);
  }

  override async onTrainEnd(): Promise<void> {
    this.#restoreStock?.();
    this.#restoreStock = undefined;
  }

  /** `alpha * T^2 * KL(teacher || student) + (1 - alpha) * loss`, within Thimble's `fit`. */
  override loss(loss: tf.Scalar, outputs: tf.Tensor[], context: StepContext): tf.Scalar {
    const { batch } = context;
    const rows = this.#table?.rows(batch.indices) ?? teacherLogits(this.#teachers, batch.xs);
    const soft = tf.mean(this.#divergence(outputs[0]!, rows));
    return this.#mix(soft, loss) as tf.Scalar;
  }

  #mix(soft: tf.Tensor, hard: tf.Tensor): tf.Tensor {
    const { alpha } = this.#options;
    return tf.add(tf.mul(soft, alpha), tf.mul(hard, 1 - alpha));
  }

  #divergence(output: tf.Tensor, rows: Float32Array[]): tf.Tensor1D {
    const shape = output.shape as [number, number];
    const teachers = rows.map((logits) => tf.tensor2d(logits, shape));
    const student = toLogits(output, this.#probabilities);
    return softTargetDivergence(student, teachers, this.#options.temperature);
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
        return logits ? this.#mix(this.#divergence(output, logits), hard) : hard;
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
 * @throws ShapeError where teacher and student differ in inputs or classes, OptionError for a temperature
 *   not above 0 or an alpha outside [0, 1]
 * @example
 * await fit(student, data, { epochs: 5, callbacks: [distillationCallback({ teacher, temperature: 4 })] });
 */
export function distillationCallback(options: DistillationOptions): DistillationCallback {
  return new DistillationCallback(options);
}
