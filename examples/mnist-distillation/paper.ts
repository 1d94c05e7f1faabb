// The paper preset: the MNIST experiments of Hinton, Vinyals and Dean, "Distilling the Knowledge in a
// Neural Network" (2015), section 3. Every training resumes where it was interrupted.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { distill, type FitOptions, fit, predictAll, schedules } from 'thimble';
import { testErrors } from '../shared/test-errors.ts';
import { describe, type ImageDataset, type RunOptions, type Trained } from './experiment.ts';
import { mlp } from './models.ts';

export interface PaperOptions extends RunOptions {
  teacherEpochs?: number;
  studentEpochs?: number;
  /** Hidden units of the teacher's and the students' two layers. Default 1200 and 800. */
  teacherUnits?: number;
  studentUnits?: number;
}

const BATCH = 100;
const TEMPERATURE = 20;
const OMITTED = 3;
const VALIDATION = 1 / 12;

/** Logits of every image, row by row. */
async function logitsOf(model: LayersModel, images: ImageDataset): Promise<Float32Array> {
  const [logits] = await predictAll(model, images, { batchSize: 500, progress: false });
  return logits!.values;
}

/** Errors among the test images of one class. */
async function errorsOn(model: LayersModel, test: ImageDataset, label: number): Promise<number> {
  const images = test.filter((truth) => truth === label);
  return testErrors(model, images);
}

/**
 * The amount to add to the bias of a class so that the share of images answered with it becomes `prior`.
 * An image is answered with the class when the amount exceeds its margin, the best other logit less the
 * class's own: so the amount lies between the two margins where the share is met. Needs no labels.
 */
export function priorMatchingBias(
  logits: Float32Array,
  classes: number,
  label: number,
  prior: number,
): number {
  const size = logits.length / classes;
  const margins = new Float64Array(size);
  for (let i = 0; i < size; i++) {
    let best = Number.NEGATIVE_INFINITY;
    for (let c = 0; c < classes; c++) {
      if (c !== label) best = Math.max(best, logits[i * classes + c]!);
    }
    margins[i] = best - logits[i * classes + label]!;
  }
  margins.sort();
  const answered = Math.min(Math.max(Math.round(prior * size), 1), size - 1);
  return (margins[answered - 1]! + margins[answered]!) / 2;
}

/** Adds `amount` to one entry of the last layer's bias. */
function shiftBias(model: LayersModel, label: number, amount: number): void {
  const layer = model.layers.at(-1)!;
  const [kernel, bias] = layer.getWeights();
  tf.tidy(() => {
    const shift = tf.mul(tf.oneHot(tf.scalar(label, 'int32'), bias!.size), amount);
    layer.setWeights([kernel!, tf.add(bias!, tf.reshape(shift, [-1]))]);
  });
}

/** Teacher, student alone, distilled student, and the student that never saw a 3. */
export async function runPaper(options: PaperOptions): Promise<Trained[]> {
  const { test, seed, progress, signal, checkpoints } = options;
  const { teacherEpochs = 40, studentEpochs = 20 } = options;
  const { teacherUnits = 1200, studentUnits = 800 } = options;
  const [train, validation] = options.train.split(VALIDATION, 'validation');

  const training = (stage: string, epochs: number): FitOptions => ({
    optimizer: 'adam',
    loss: 'categoricalCrossentropyFromLogits',
    metrics: ['accuracy'],
    validationData: validation,
    batchSize: BATCH,
    learningRate: schedules.cosine(1e-3),
    epochs,
    seed,
    progress,
    signal,
    ...(checkpoints ? { checkpoint: `${checkpoints}/${stage}-${seed}.checkpoint` } : {}),
  });

  const teacher = mlp(seed, {
    name: 'teacher',
    hidden: [teacherUnits, teacherUnits],
    dropout: { input: 0.2, hidden: 0.5 },
    maxNorm: 3,
  });
  const taught = await fit(teacher, train.jitter(2), training('teacher', teacherEpochs));
  const results = [await describe(teacher, taught, { train, test })];

  const hidden = [studentUnits, studentUnits];
  const alone = mlp(seed + 1, { name: 'student alone', hidden });
  const learnt = await fit(alone, train, training('alone', studentEpochs));
  results.push(await describe(alone, learnt, { train, test }));

  const pupil = mlp(seed + 1, { name: 'student distilled', hidden });
  const distilled = await distill({
    ...training('distilled', studentEpochs),
    teacher,
    student: pupil,
    data: train,
    temperature: TEMPERATURE,
    alpha: 0.9,
  });
  results.push(await describe(pupil, distilled.history, { train, test }));

  // The student that never saw a 3 learns from soft targets alone: a label would say "never a 3".
  const withoutThrees = train.filter((label) => label !== OMITTED);
  const blind = mlp(seed + 1, { name: 'distilled without 3s', hidden });
  const omitted = await distill({
    ...training('omitted', studentEpochs),
    teacher,
    student: blind,
    data: withoutThrees,
    temperature: TEMPERATURE,
    alpha: 1,
  });
  const threes = test.labels.reduce((sum, label) => sum + (label === OMITTED ? 1 : 0), 0);
  results.push(
    await describe(
      blind,
      omitted.history,
      { train: withoutThrees, test },
      {
        threes,
        errorsOnThrees: await errorsOn(blind, test, OMITTED),
      },
    ),
  );
  const bias = priorMatchingBias(
    await logitsOf(blind, validation),
    validation.classes,
    OMITTED,
    1 / 10,
  );
  shiftBias(blind, OMITTED, bias);
  const corrected = await describe(
    blind,
    omitted.history,
    { train: withoutThrees, test },
    {
      threes,
      errorsOnThrees: await errorsOn(blind, test, OMITTED),
      bias,
    },
  );
  results.push({ ...corrected, name: 'the same, bias corrected' });
  for (const model of [teacher, alone, pupil, blind]) model.dispose();
  return results;
}
