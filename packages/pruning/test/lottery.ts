// What the tests of lottery tickets share: a small experiment, and a look into its trainings.
import type * as tfl from '@tensorflow/tfjs-layers';
import type { FitCallback, LossName } from '@thimble/core';
import { copyModel } from '@thimble/core';
import {
  type LotteryReport,
  type LotteryTicketOptions,
  lotteryTicket,
  maskedWeights,
} from '@thimble/pruning';
import { blobs, maskOf, network, storedOf } from './masks.ts';

/** One training as it was seen from inside: at its start, after every step, at its end. */
export interface Seen {
  masks: number[][];
  /** Stored kernels at the start. */
  kernels: number[][];
  biases: number[][];
  /** All weights after each step. */
  steps: number[][][];
  /** Stored kernels at the end. */
  trained: number[][];
}

const biasesOf = (model: tfl.LayersModel) =>
  model.layers.flatMap((layer) =>
    layer.weights
      .filter(({ originalName }) => originalName.endsWith('/bias'))
      .map((weight) => Array.from(weight.read().dataSync())),
  );

/** A callback that writes down every training. */
export function watcher(): { seen: Seen[]; callback: FitCallback } {
  const seen: Seen[] = [];
  let model: tfl.LayersModel;
  const kernels = () => maskedWeights(model).map(storedOf);
  const callback = {
    setModel(given: tfl.LayersModel) {
      model = given;
    },
    onTrainBegin() {
      const masks = maskedWeights(model).map(maskOf);
      seen.push({ masks, kernels: kernels(), biases: biasesOf(model), steps: [], trained: [] });
    },
    afterStep() {
      seen.at(-1)!.steps.push(model.getWeights().map((weight) => Array.from(weight.dataSync())));
    },
    onTrainEnd() {
      seen.at(-1)!.trained = kernels();
    },
  };
  return { seen, callback: callback as FitCallback };
}

export const FRACTION = 0.3;
export const loss: LossName = 'categoricalCrossentropyFromLogits';

/** 8 steps on 48 examples. */
export const training: LotteryTicketOptions['training'] = {
  epochs: 2,
  batchSize: 12,
  optimizer: 'adam',
  learningRate: 0.05,
  loss,
};

/** 4 steps an epoch, 8 in all, on the network of 48 and 24 kernel entries. */
export function small(options: Partial<LotteryTicketOptions> = {}): LotteryTicketOptions {
  return {
    model: network(),
    data: blobs(48, 'train'),
    validationData: blobs(24, 'validation'),
    testData: blobs(24, 'test'),
    rounds: 2,
    fraction: FRACTION,
    controls: [],
    training,
    evaluateEvery: 3,
    progress: false,
    ...options,
  };
}

/** Runs the small experiment and watches it. */
export async function watched(
  options: Partial<LotteryTicketOptions> = {},
): Promise<{ report: LotteryReport; seen: Seen[] }> {
  const { seen, callback } = watcher();
  const chosen = small(options);
  const watching = { ...chosen.training, callbacks: [callback] };
  return { report: await lotteryTicket({ ...chosen, training: watching }), seen };
}

/** The kernels as a seed draws them. */
export function initialKernels(seed: number | string = 0): number[][] {
  const model = copyModel(network(), { seed });
  const kernels = model.layers.map((layer) => Array.from(layer.getWeights()[0]!.dataSync()));
  model.dispose();
  return kernels;
}

/** The mask that keeps all but the `gone` smallest magnitudes, found by sorting. */
export function largest(values: readonly number[], gone: number): number[] {
  const order = [...values.keys()].sort((a, b) => Math.abs(values[a]!) - Math.abs(values[b]!));
  const mask = values.map(() => 1);
  for (const i of order.slice(0, gone)) mask[i] = 0;
  return mask;
}
