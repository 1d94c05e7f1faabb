// The quick preset: a convolutional teacher that has seen all images, and a small perceptron that gets
// only a part of them: once alone with the labels, once with the teacher's soft targets.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { distill, type FitOptions, fit, schedules } from 'thimble';
import { describe, type RunOptions, type Trained } from './experiment.ts';
import { convTeacher, mlp } from './models.ts';

export interface QuickOptions extends RunOptions {
  /** Images that the student gets to see. Default: 10,000, or a fifth of what there is. */
  studentImages?: number;
  teacherEpochs?: number;
  studentEpochs?: number;
}

const BATCH = 64;
const VALIDATION_SHARE = 1 / 12;

/** Trains teacher, student alone and distilled student, all from one seed. */
export async function runQuick(options: QuickOptions): Promise<Trained[]> {
  const { test, seed, progress, signal } = options;
  const [train, validation] = options.train.split(VALIDATION_SHARE, 'validation');
  const { teacherEpochs = 3, studentEpochs = 16 } = options;
  const size = options.studentImages ?? Math.min(10_000, Math.floor(train.size / 5));
  const seen = train.take(Math.min(size, train.size));

  const common: FitOptions = {
    optimizer: 'adam',
    loss: 'categoricalCrossentropyFromLogits',
    metrics: ['accuracy'],
    validationData: validation,
    batchSize: BATCH,
    seed,
    progress,
    signal,
  };
  const teacher = convTeacher(seed);
  const taught = await fit(teacher, train, {
    ...common,
    epochs: teacherEpochs,
    batchSize: 128,
    learningRate: schedules.cosine(2e-3),
  });
  const results = [await describe(teacher, taught, { train, test })];

  const learning: FitOptions = {
    ...common,
    epochs: studentEpochs,
    learningRate: schedules.cosine(3e-3),
  };
  const student = (name: string): LayersModel => mlp(seed + 1, { name, hidden: [128] });
  const alone = student('student alone');
  results.push(await describe(alone, await fit(alone, seen, learning), { train: seen, test }));

  const pupil = student('student distilled');
  const { history } = await distill({
    ...learning,
    teacher,
    student: pupil,
    data: seen,
    temperature: 4,
    alpha: 0.9,
  });
  results.push(await describe(pupil, history, { train: seen, test }));
  for (const model of [teacher, alone, pupil]) model.dispose();
  return results;
}
