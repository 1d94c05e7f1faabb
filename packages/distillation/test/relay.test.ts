// Trainings that follow one another: FitNets, born-again networks, teacher assistants.
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type * as tfl from '@tensorflow/tfjs-layers';
import { OptionError } from '@thimble/base';
import { bornAgain, distill, fitNets, teacherAssistants } from '@thimble/distillation';
import { classifier, expectNoLeaks, snapshot, threeClasses, useCpu } from '@thimble/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

useCpu();

const options = { optimizer: 'adam', batchSize: 8, progress: false, seed: 3 } as const;
const data = threeClassesLater();
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'thimble-relay-'));
});
afterAll(() => rm(folder, { recursive: true }));

function threeClassesLater() {
  let made: ReturnType<typeof threeClasses> | undefined;
  return () => {
    made ??= threeClasses(6, 4);
    return made;
  };
}

/** Without dropout. */
function calm(seed: number): tfl.Sequential {
  const model = classifier(seed);
  (model.layers[1] as unknown as { rate: number }).rate = 0;
  return model;
}

describe('teacherAssistants', () => {
  test('is distillation step by step', async () => {
    const all = { ...options, data: data(), temperature: 2, alpha: 0.5, epochs: 2 };
    const teacher = calm(1);
    const [between, last] = [calm(2), calm(3)];
    const { student, histories } = await teacherAssistants({
      ...all,
      teacher,
      assistants: [between],
      student: last,
    });
    const [one, two] = [calm(2), calm(3)];
    await distill({ ...all, teacher, student: one });
    await distill({ ...all, teacher: one, student: two });
    expect(snapshot(between)).toEqual(snapshot(one));
    expect(snapshot(student)).toEqual(snapshot(two));
    expect(histories.map(({ epochs }) => epochs)).toEqual([2, 2]);
  });

  test('each step has a checkpoint, from which a finished run only reads', async () => {
    const checkpoint = join(folder, 'assistants');
    const run = async (student: tfl.LayersModel, assistant: tfl.LayersModel) => {
      const models = { teacher: calm(1), assistants: [assistant], student };
      await teacherAssistants({ ...options, ...models, data: data(), checkpoint });
      return snapshot(student);
    };
    const first = await run(calm(3), calm(2));
    expect((await readdir(folder)).filter((name) => name.startsWith('assistants'))).toEqual([
      'assistants-1',
      'assistants-2',
    ]);
    expect(await run(calm(8), calm(9))).toEqual(first);
  });

  test('refuses an empty list, and a store for many checkpoints', async () => {
    const models = { teacher: calm(1), student: calm(2), data: data() };
    await expect(teacherAssistants({ ...options, ...models, assistants: [] })).rejects.toThrow(
      OptionError,
    );
    const store = { read: async () => undefined, write: async () => {} };
    const training = { ...models, assistants: [calm(3)], checkpoint: { store } };
    await expect(teacherAssistants({ ...options, ...training })).rejects.toThrow(
      /path, not a store/,
    );
  });
});

describe('bornAgain', () => {
  test('fresh weights by the seed, the architecture of the teacher, who stays as it was', async () => {
    const teacher = calm(1);
    const before = snapshot(teacher);
    const run = (seed: number) =>
      bornAgain({ ...options, seed, teacher, data: data(), generations: 2 });
    const [first, again, other] = [await run(1), await run(1), await run(2)];
    expect(first.generations).toHaveLength(2);
    expect(first.histories).toHaveLength(2);
    expect(first.generations.map(snapshot)).toEqual(again.generations.map(snapshot));
    expect(first.generations.map(snapshot)).not.toEqual(other.generations.map(snapshot));
    expect(snapshot(first.generations[0]!)).not.toEqual(snapshot(first.generations[1]!));
    expect(snapshot(teacher)).toEqual(before);
    await expect(bornAgain({ ...options, teacher, data: data(), generations: 0 })).rejects.toThrow(
      /generations/,
    );
  });

  test('leaks nothing but the models it gives', async () => {
    const teacher = calm(1);
    data();
    await expectNoLeaks(async () => {
      const { generations } = await bornAgain({ ...options, teacher, data: data() });
      for (const model of generations) model.dispose();
    });
  });
});

describe('fitNets', () => {
  const pairs = [['hidden', 'hidden']] as const;

  test('first the hints move the lower part alone, then all learn', async () => {
    const [student, teacher] = [calm(2), calm(1)];
    const before = snapshot(student);
    let between: typeof before | undefined;
    let trainings = 0;
    const look = {
      onTrainEnd() {
        trainings += 1;
        between ??= snapshot(student);
      },
    };
    const { history, hintHistory } = await fitNets({
      ...options,
      teacher,
      student,
      data: data(),
      pairs,
      epochs: 3,
      metrics: ['accuracy'],
      validationData: data(),
      callbacks: [look],
    });
    const moved = (from: typeof before, to: typeof before) =>
      Object.keys(from).filter((name) => `${from[name]}` !== `${to[name]}`);
    expect(moved(before, between!)).toEqual(['hidden/kernel', 'hidden/bias']);
    expect(moved(between!, snapshot(student))).toHaveLength(4);
    expect(trainings).toBe(2);
    expect(hintHistory.epochs).toBe(2);
    expect(hintHistory.logs.loss!.at(-1)).toBeLessThan(hintHistory.logs.loss![0]!);
    expect(Object.keys(history.logs)).toContain('val_accuracy');
  });

  test('alpha goes from 4 : 1 to 1 : 1 at temperature 3, unless told otherwise', async () => {
    const last = async (more: object) => {
      const student = calm(2);
      await fitNets({ ...options, teacher: calm(1), student, data: data(), pairs, ...more });
      return snapshot(student);
    };
    const { schedules } = await import('@thimble/core');
    const told = { temperature: 3, alpha: schedules.linear(0.8, { final: 0.5 }) };
    expect(await last({})).toEqual(await last(told));
    expect(await last({})).not.toEqual(await last({ alpha: 0.5 }));
  });
});
