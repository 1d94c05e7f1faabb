// Knowledge handed on from one network to the next: born-again networks, teacher assistants.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkInteger, hashSeed, OptionError } from '@thimble/base';
import { copyModel, type History } from '@thimble/core';
import { type DistillOptions, distill } from './distill.ts';
import { stageCheckpoint } from './stages.ts';

/** Options of {@link bornAgain}: those of `distill` but for the student. */
export interface BornAgainOptions extends Omit<DistillOptions, 'student' | 'teacher'> {
  /** The first generation, trained. It is not changed. */
  teacher: LayersModel;
  /** How many generations follow, at least 1; default 2. */
  generations?: number;
}

/** Options of {@link teacherAssistants}: those of `distill`, and the models between. */
export interface TeacherAssistantsOptions extends DistillOptions {
  /** From large to small; trained in place. */
  assistants: readonly LayersModel[];
}

/**
 * Self-distillation: a student with the teacher's architecture and fresh weights learns from the teacher and the
 * labels, then teaches the next. All generations together make an ensemble: give them to `distill` as `teacher`.
 *
 * Defaults of the loss: temperature 1 and alpha 0.5, which is the paper's sum of both cross-entropies. With
 * `checkpoint` each generation has a file, with its number behind the path.
 *
 * Paper: Furlanello and others, "Born-Again Neural Networks", 2018, section 3.
 *
 * @returns the new generations in order, the last one being the result, and their histories
 * @throws OptionError for less than one generation, and as `distill` does
 * @example
 * const { generations } = await bornAgain({ teacher, data: train, generations: 2, epochs: 1 });
 * const last = generations.at(-1);
 */
export async function bornAgain(
  options: BornAgainOptions,
): Promise<{ generations: LayersModel[]; histories: History[] }> {
  const { generations: count = 2, teacher, ...training } = options;
  checkInteger('bornAgain', 'generations', count, 1);
  const generations = Array.from({ length: count }, (_, i) =>
    copyModel(teacher, { seed: hashSeed(training.seed ?? 0, 'bornAgain', i) }),
  );
  const defaults = { temperature: 1, alpha: 0.5 };
  const histories = await handOn('bornAgain', [teacher], generations, { ...defaults, ...training });
  return { generations, histories };
}

/**
 * Distillation over a large gap in steps: the teacher teaches the first assistant, that one the next, the last one
 * the student. Every step has the same options; with `checkpoint` each has a file, with its number behind the path.
 *
 * Paper: Mirzadeh and others, "Improved Knowledge Distillation via Teacher Assistant", 2020, section 3.
 *
 * @returns the student, trained, and one history for each step
 * @throws OptionError without assistants, and as `distill` does
 * @example
 * const { student: tiny } = await teacherAssistants({
 *   teacher, assistants: [small], student, data: train, epochs: 1,
 * });
 */
export async function teacherAssistants(
  options: TeacherAssistantsOptions,
): Promise<{ student: LayersModel; histories: History[] }> {
  const { assistants, student, teacher, ...training } = options;
  if (assistants.length === 0) {
    throw new OptionError(
      'teacherAssistants: assistants is empty. Use distill where none is wanted.',
    );
  }
  const teachers = [teacher].flat();
  const chain = [...assistants, student];
  return { student, histories: await handOn('teacherAssistants', teachers, chain, training) };
}

/** Each of the chain learns from the one before it, the first from the teachers. */
async function handOn(
  owner: string,
  teachers: LayersModel[],
  chain: readonly LayersModel[],
  { checkpoint, ...training }: Omit<DistillOptions, 'student' | 'teacher'>,
): Promise<History[]> {
  const histories: History[] = [];
  let teacher = teachers;
  for (const [i, student] of chain.entries()) {
    const own = stageCheckpoint(owner, checkpoint, String(i + 1));
    const { history } = await distill({ ...training, ...own, teacher, student });
    histories.push(history);
    teacher = [student];
  }
  return histories;
}
