// Every way to distil on real MNIST: a small convolutional student that sees few images, and a teacher that has seen
// all of them; the student's errors, beside plain training and beside soft targets.
import { parseArgs } from 'node:util';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  attentionTransfer,
  bornAgain,
  codistillation,
  copyModel,
  distill,
  distillationCallback,
  distilledPruning,
  type FitCallback,
  type FitOptions,
  fit,
  fitNets,
  gradualPruning,
  hints,
  mutualLearning,
  noisyTeacher,
  relationalDistillation,
  schedules,
  similarityPreserving,
  sparsitySchedules,
  teacherAssistants,
  withSeed,
} from 'thimble';
import { meanAndSpread, type Row } from 'thimble-examples/shared/table';
import { beginStudy, percent, realMnist, testErrors } from './study.ts';

const { values } = parseArgs({
  options: {
    output: { type: 'string' },
    images: { type: 'string', default: '2000' },
    epochs: { type: 'string', default: '30' },
    teacherEpochs: { type: 'string', default: '4' },
  },
});
const IMAGES = Number(values.images);
const EPOCHS = Number(values.epochs);
const TEACHER_EPOCHS = Number(values.teacherEpochs);
const RATE = 3e-3;
const SPARSITY = 0.98;

const study = await beginStudy('distillation-methods', values.output);
const { train, test } = await realMnist();
const seen = train.take(IMAGES);
const loss = 'categoricalCrossentropyFromLogits';

/** Two strided convolutions and a hidden layer, which give logits; the layers of all have the same names. */
function network(seed: number, [conv1, conv2, units]: readonly [number, number, number]) {
  const relu = { padding: 'same', strides: 2, activation: 'relu' } as const;
  return withSeed(seed, () =>
    tfl.sequential({
      layers: [
        tfl.layers.conv2d({
          name: 'conv1',
          filters: conv1,
          kernelSize: 5,
          inputShape: [28, 28, 1],
          ...relu,
        }),
        tfl.layers.conv2d({ name: 'conv2', filters: conv2, kernelSize: 3, ...relu }),
        tfl.layers.flatten(),
        tfl.layers.dense({ name: 'hidden', units, activation: 'relu' }),
        tfl.layers.dense({ name: 'logits', units: 10 }),
      ],
    }),
  );
}
const student = (seed: number) => network(seed, [4, 8, 16]);
const assistant = (seed: number) => network(seed, [8, 16, 48]);

const training = (seed: number, epochs = EPOCHS): FitOptions => ({
  epochs,
  batchSize: 64,
  optimizer: 'adam',
  learningRate: schedules.cosine(RATE),
  loss,
  seed,
  progress: false,
});

async function trainedTeacher(seed: number): Promise<tfl.LayersModel> {
  const model = network(seed + 1000, [16, 32, 128]);
  await fit(model, train, {
    ...training(seed, TEACHER_EPOCHS),
    batchSize: 128,
    learningRate: schedules.cosine(2e-3),
    checkpoint: `${study.output}/teacher-${seed}-${TEACHER_EPOCHS}.checkpoint`,
  });
  return model;
}
const teachers = [await trainedTeacher(0), await trainedTeacher(1), await trainedTeacher(2)];
const teacher = teachers[0]!;

/** Errors of the student on the test images, and the time of all its training. */
interface Outcome {
  errors: number;
  seconds: number;
}
type Method = (seed: number) => Promise<Outcome>;

/** Trains a student of the seed's weights; `train` may answer with another model to test. */
const trained =
  (run: (model: tfl.LayersModel, seed: number) => Promise<tfl.LayersModel | undefined>): Method =>
  async (seed) => {
    const own = student(seed);
    const begun = performance.now();
    const model = (await run(own, seed)) ?? own;
    const seconds = (performance.now() - begun) / 1000;
    const errors = await testErrors(model, test);
    for (const each of new Set([own, model])) each.dispose();
    return { errors, seconds };
  };

/** The labels, with callbacks that each run makes anew. */
const labels = (make: (seed: number) => FitCallback[] = () => []) =>
  trained(async (model, seed) => {
    await fit(model, seen, { ...training(seed), callbacks: make(seed) });
    return undefined;
  });
const softly = (
  options: Omit<Parameters<typeof distill>[0], 'student' | 'data' | 'teacher'> & {
    teacher?: tfl.LayersModel[];
  },
) =>
  trained(async (model, seed) => {
    await distill({ ...training(seed), teacher, student: model, data: seen, ...options });
    return undefined;
  });

const maps = [
  ['conv1', 'conv1'],
  ['conv2', 'conv2'],
] as const;
const last = [['conv2', 'conv2']] as const;
const hidden = [['hidden', 'hidden']] as const;
const FEATURES: Record<string, (seed: number) => FitCallback> = {
  hints: (seed) => hints({ teacher, pairs: last, seed }),
  'attention transfer': () => attentionTransfer({ teacher, pairs: maps }),
  'relational, distances': () => relationalDistillation({ teacher, pairs: hidden, angle: 0 }),
  'relational, angles': () => relationalDistillation({ teacher, pairs: hidden, distance: 0 }),
  relational: () => relationalDistillation({ teacher, pairs: hidden }),
  'similarity preserving': () => similarityPreserving({ teacher, pairs: hidden }),
  'hints, learned weight': (seed) => hints({ teacher, pairs: last, seed, weight: 'learned' }),
};
const onFeatures = Object.entries(FEATURES);

/** The teacher itself, almost all of its weights pruned on the few images. */
const pruned = (withTeacher: boolean) =>
  trained(async (_, seed) => {
    const model = copyModel(teacher);
    const end = Math.ceil((Math.ceil(IMAGES / 64) * EPOCHS) / 2);
    const schedule = sparsitySchedules.polynomial({ initial: 0, final: SPARSITY, begin: 0, end });
    const pruning = { schedule, granularity: 'element', every: 10 } as const;
    if (withTeacher) await distilledPruning({ ...training(seed), model, data: seen, pruning });
    else await fit(model, seen, { ...training(seed), callbacks: [gradualPruning(pruning)] });
    return model;
  });

const METHODS: Record<string, Method> = {
  'plain training': labels(),
  'soft targets, T = 4': softly({}),
  'soft targets, T = 1': softly({ temperature: 1 }),
  'soft targets, T = 20': softly({ temperature: 20 }),
  'soft targets alone, T = 4': softly({ alpha: 1 }),
  'T from 10 to 1': softly({ temperature: schedules.linear(10, { final: 1 }) }),
  'alpha from 0.9 to 0': softly({ alpha: schedules.linear(0.9) }),
  'three teachers': softly({ teacher: teachers }),
  'three teachers, by confidence': softly({ teacher: teachers, weighting: 'confidence' }),
  logits: labels(() => [noisyTeacher({ teacher, deviation: 0 })]),
  'noisy teacher': labels(() => [noisyTeacher({ teacher })]),
  ...Object.fromEntries(onFeatures.map(([name, make]) => [name, labels((seed) => [make(seed)])])),
  ...Object.fromEntries(
    onFeatures.map(([name, make]) => [
      `${name}, and soft targets`,
      labels((seed) => [distillationCallback({ teacher }), make(seed)]),
    ]),
  ),
  'FitNets, a third of the epochs for hints': trained(async (model, seed) => {
    const hintEpochs = Math.ceil(EPOCHS / 3);
    await fitNets({
      ...training(seed, EPOCHS - hintEpochs),
      teacher,
      student: model,
      data: seen,
      pairs: last,
      hintEpochs,
    });
    return undefined;
  }),
  'teacher assistant': trained(async (model, seed) => {
    const between = assistant(seed + 100);
    await teacherAssistants({
      ...training(seed),
      teacher,
      assistants: [between],
      student: model,
      data: seen,
    });
    between.dispose();
    return undefined;
  }),
  // No large teacher from here on.
  'mutual learning of two': trained(async (model, seed) => {
    const peer = student(seed + 100);
    await mutualLearning({
      ...training(seed),
      loss: [loss, loss],
      models: [model, peer],
      data: seen,
    });
    peer.dispose();
    return undefined;
  }),
  'co-distillation of two': trained(async (model, seed) => {
    const peer = student(seed + 100);
    const burnIn = Math.ceil(IMAGES / 64) * Math.ceil(EPOCHS / 6);
    await codistillation({
      ...training(seed),
      loss: [loss, loss],
      models: [model, peer],
      data: seen,
      burnIn,
      refresh: 20,
    });
    peer.dispose();
    return undefined;
  }),
  'born again, second generation': trained(async (model, seed) => {
    await fit(model, seen, training(seed));
    const { generations } = await bornAgain({ ...training(seed), teacher: model, data: seen });
    const [first, second] = generations;
    first!.dispose();
    return second;
  }),
  'the teacher, 98 % pruned': pruned(false),
  'the teacher, 98 % pruned with its dense self': pruned(true),
};

const settings = [IMAGES, EPOCHS, TEACHER_EPOCHS, RATE, SPARSITY];
const results = await study.compare(METHODS, settings);
const teacherErrors: number[] = [];
for (const [i, model] of teachers.entries()) {
  teacherErrors.push(await study.once(`teacher ${i}`, settings, () => testErrors(model, test)));
}
const plain = results[0]!.outcomes;
const soft = results[1]!.outcomes;
const apart = (outcomes: Outcome[], from: Outcome[]) =>
  meanAndSpread(
    outcomes.map(({ errors }, i) => errors - from[i]!.errors),
    1,
  );
const rows: Row[] = results.map(({ method, outcomes }) => [
  method,
  outcomes.map(({ errors }) => errors).join(', '),
  percent(outcomes.map(({ errors }) => errors)),
  // A pruned teacher is no student: nothing to compare.
  ...(method.startsWith('the teacher')
    ? ['', '']
    : [apart(outcomes, plain), apart(outcomes, soft)]),
  meanAndSpread(
    outcomes.map(({ seconds }) => seconds),
    1,
  ),
]);
await study.finish(
  [
    [
      'method',
      'errors per seed',
      'test error %',
      'errors beyond plain training',
      'beyond soft targets',
      'seconds',
    ],
    ...rows,
    ['teachers', teacherErrors.join(', '), percent(teacherErrors), '', '', ''],
  ],
  {
    data: { source: 'MNIST', train: train.size, student: seen.size, test: test.size },
    settings: {
      images: IMAGES,
      epochs: EPOCHS,
      teacherEpochs: TEACHER_EPOCHS,
      rate: RATE,
      sparsity: SPARSITY,
      parameters: { teacher: teacher.countParams(), student: student(0).countParams() },
    },
    teacherErrors,
    results,
  },
);
