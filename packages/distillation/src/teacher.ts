// A teacher, or an ensemble of them, seen as a source of constant logits.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { NonFiniteError, OptionError, ShapeError, UnsupportedError } from '@thimble/base';
import {
  type BatchSource,
  endsInSoftmax,
  type PassOptions,
  predictAll,
  readValues,
} from '@thimble/core';

/** Probabilities below this are taken for this, so that their logarithm is finite. */
const SMALLEST_PROBABILITY = 1e-30;

/** True when the model's only output comes out of a softmax: then its logarithm serves as logits. */
export function givesProbabilities(model: LayersModel): boolean {
  return endsInSoftmax(model.outputs[0]!);
}

/**
 * Logits of a model's output: itself, or the logarithm of the probabilities where the model ends in a
 * softmax. That differs from the true logits by a constant per example, which no softmax sees.
 */
export function toLogits(output: tf.Tensor, probabilities: boolean): tf.Tensor {
  return probabilities ? tf.log(tf.maximum(output, SMALLEST_PROBABILITY)) : output;
}

function checkOneOutput(model: LayersModel, role: string): number {
  if (model.outputs.length !== 1) {
    throw new UnsupportedError(
      `Distillation takes models with one output; the ${role} "${model.name}" has ` +
        `${model.outputs.length} (${model.outputNames.join(', ')}).`,
    );
  }
  const shape = model.outputs[0]!.shape;
  const classes = shape[1];
  if (shape.length !== 2 || classes == null || classes < 2) {
    throw new ShapeError(
      `Distillation takes models with output [batch, classes]; the ${role} "${model.name}" gives [${shape}].`,
    );
  }
  return classes;
}

/** Raises a named error unless every teacher has the student's inputs and classes. */
export function checkPair(teachers: readonly LayersModel[], student: LayersModel): void {
  if (teachers.length === 0) throw new OptionError('Distillation needs at least one teacher.');
  const classes = checkOneOutput(student, 'student');
  for (const teacher of teachers) {
    const taught = checkOneOutput(teacher, 'teacher');
    if (taught !== classes) {
      throw new ShapeError(
        `The teacher "${teacher.name}" has ${taught} classes, the student "${student.name}" ${classes}. ` +
          'Both must tell the same classes apart, in the same order.',
      );
    }
  }
  checkInputs(teachers, student);
}

/** Raises a named error unless every teacher takes what the student takes. */
export function checkInputs(teachers: readonly LayersModel[], student: LayersModel): void {
  for (const teacher of teachers) {
    const theirs = teacher.inputs.map(({ shape }) => `[${shape.slice(1)}]`).join(', ');
    const ours = student.inputs.map(({ shape }) => `[${shape.slice(1)}]`).join(', ');
    if (theirs !== ours) {
      throw new ShapeError(
        `The teacher "${teacher.name}" takes inputs ${theirs}, the student "${student.name}" ${ours}. ` +
          'Both see the same batch, so the inputs must be alike: begin the models with a reshape.',
      );
    }
  }
}

/** `toLogits` for values outside the tensor memory, in place; NaN and infinity are refused. */
function logitValues(
  values: Float32Array,
  probabilities: boolean,
  teacher: LayersModel,
): Float32Array {
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i])) {
      throw new NonFiniteError(
        `The teacher "${teacher.name}" answers ${values[i]}: its weights or the data are not finite.`,
      );
    }
    if (probabilities) values[i] = Math.log(Math.max(values[i]!, SMALLEST_PROBABILITY));
  }
  return values;
}

/**
 * Logits of every teacher for a batch: computed in inference mode (no dropout, batch norm by its running
 * statistics) and read out as numbers, so no gradient can reach a teacher.
 */
export function teacherLogits(
  teachers: readonly LayersModel[],
  xs: readonly tf.Tensor[],
): Float32Array[] {
  return teachers.map((teacher) => {
    const values = readValues(() => {
      const output = teacher.apply([...xs], { training: false }) as tf.Tensor | tf.Tensor[];
      return Array.isArray(output) ? output[0]! : output;
    });
    return logitValues(values, givesProbabilities(teacher), teacher);
  });
}

/** Logits of the whole data set for each teacher, computed once; for data that does not vary. */
export class TeacherTable {
  readonly #logits: Float32Array[];
  readonly #classes: number;

  constructor(logits: Float32Array[], classes: number) {
    this.#logits = logits;
    this.#classes = classes;
  }

  /** The rows of each teacher for the examples `indices`, shape [indices.length, classes]. */
  rows(indices: ArrayLike<number>): Float32Array[] {
    return this.#logits.map((table) => {
      const rows = new Float32Array(indices.length * this.#classes);
      for (let i = 0; i < indices.length; i++) {
        const at = indices[i]! * this.#classes;
        rows.set(table.subarray(at, at + this.#classes), i * this.#classes);
      }
      return rows;
    });
  }
}

/** Runs every teacher once over the data set, in its order, so that a resumed run gets equal bits. */
export async function tabulate(
  teachers: readonly LayersModel[],
  source: BatchSource,
  options: PassOptions,
): Promise<TeacherTable> {
  const tables: Float32Array[] = [];
  for (const teacher of teachers) {
    const [output] = await predictAll(teacher, source, { batchSize: 256, ...options });
    tables.push(logitValues(output!.values, givesProbabilities(teacher), teacher));
  }
  return new TeacherTable(tables, teachers[0]!.outputs[0]!.shape[1]!);
}
