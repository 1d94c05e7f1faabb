// One training of a lottery-ticket experiment: watched by validation loss, tested where that was lowest.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { NonFiniteError } from '@thimble/base';
import {
  evaluate,
  type FitData,
  type FitOptions,
  fit,
  readWeights,
  type StepContext,
  type WeightValues,
  writeWeights,
} from '@thimble/core';

/** One look at the validation data. */
export interface Look {
  step: number;
  loss: number;
  accuracy: number;
}

/** What a training came to. */
export interface Outcome {
  /** The validation loss and accuracy every so many steps. */
  curve: Look[];
  /** Steps at which the validation loss was lowest. */
  earlyStop: number;
  /** Accuracy on the validation data there, and on the test data. */
  validationAccuracy: number;
  testAccuracy?: number;
  /** Accuracy on the test data at the end of training. */
  finalTestAccuracy?: number;
  finalValidationAccuracy: number;
  steps: number;
  seconds: number;
}

/** What all trainings of an experiment share. */
export interface TrainingSetup {
  data: FitData;
  validationData: FitData;
  testData: FitData | undefined;
  training: FitOptions;
  evaluateEvery: number;
}

/** The steps after which weights are wanted, with a place for them. */
export interface Wanted {
  step: number;
  values?: WeightValues;
}

/**
 * Trains a model and watches it. The weights of `wanted.step` are put into `wanted.values`; `trained` sees
 * the model at the end of training, before it gets the weights of the lowest validation loss.
 */
export async function trainWatched(
  model: LayersModel,
  setup: TrainingSetup,
  { wanted, trained }: { wanted?: Wanted; trained?: () => Promise<void> } = {},
): Promise<Outcome> {
  const { data, validationData, testData, training, evaluateEvery } = setup;
  const { loss, signal } = training;
  const pass = { batchSize: 1000, progress: false, signal } as const;
  const curve: Look[] = [];
  let best = Number.POSITIVE_INFINITY;
  let bestWeights: WeightValues | undefined;
  const look = async (step: number) => {
    const seen = await evaluate(model, validationData, { loss, metrics: ['accuracy'], ...pass });
    curve.push({ step, loss: seen.loss!, accuracy: seen.accuracy! });
    if (seen.loss! < best) {
      best = seen.loss!;
      bestWeights = await readWeights(model);
    }
  };
  const watch = {
    afterStep: async ({ step }: StepContext) => {
      if (wanted && step + 1 === wanted.step) wanted.values = await readWeights(model);
      if ((step + 1) % evaluateEvery === 0) await look(step + 1);
    },
  };
  const { steps, seconds } = await fit(model, data, {
    ...training,
    callbacks: [...(training.callbacks ?? []), watch],
  });
  if (curve.at(-1)?.step !== steps) await look(steps);
  if (!bestWeights) {
    throw new NonFiniteError(
      'lotteryTicket: the validation loss was never a number. Check the validation data and its labels.',
    );
  }
  const lowest = curve.find(({ loss }) => loss === best)!;
  const test = async () =>
    testData && (await evaluate(model, testData, { metrics: ['accuracy'], ...pass })).accuracy;
  const finalTestAccuracy = await test();
  await trained?.();
  writeWeights(model, bestWeights);
  const testAccuracy = await test();
  return {
    curve,
    earlyStop: lowest.step,
    validationAccuracy: lowest.accuracy,
    finalValidationAccuracy: curve.at(-1)!.accuracy,
    ...(testAccuracy === undefined ? {} : { testAccuracy }),
    ...(finalTestAccuracy === undefined ? {} : { finalTestAccuracy }),
    steps,
    seconds,
  };
}
