// Training a pruned architecture from scratch: what pruning has to be better than.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkInteger, checkRange, OptionError, UnsupportedError } from '@thimble/base';
import {
  copyModel,
  type FitData,
  type FitOptions,
  fit,
  type History,
  type Schedule,
  summarize,
} from '@thimble/core';
import { setMask } from './mask.ts';
import { maskedWeights } from './masked-weights.ts';
import { costMeter } from './pruned-cost.ts';

/** Options of {@link fromScratch}: those of `fit`, and the budget. */
export interface FromScratchOptions extends FitOptions {
  /** 'E': as many epochs; 'B': as many multiply-accumulates as the full network's training takes. */
  budget: 'E' | 'B';
  /** The network before pruning, or its multiply-accumulates for one example; for 'B'. */
  full?: LayersModel | number;
  /** 'B' trains at most so many times as long; default without limit (the paper stops at 2 on ImageNet). */
  maxFactor?: number;
  /** Epochs of the full network's training. */
  epochs: number;
}

/** What {@link fromScratch} made. */
export interface FromScratchResult {
  /** The new network; the one that was given is as it was. */
  model: LayersModel;
  history: History;
  /** Epochs that it was to train: `epochs`, or more with budget 'B'. */
  epochs: number;
}

const OWNER = 'fromScratch';

/**
 * Trains the architecture of a pruned network from fresh weights: a smaller model as it is, a masked one
 * with its masks. The weights are drawn from `seed` (default 0), which also drives the training.
 *
 * - budget 'E' (Scratch-E): `epochs`
 * - budget 'B' (Scratch-B): `round(epochs * MACs_full / MACs_pruned)`, where those of a masked kernel count
 *   by the share that is kept
 *
 * A learning-rate schedule is stretched over the longer training: it is asked as if that were `epochs` long,
 * so drops at 50 % and 75 % stay there. Loss and optimizer come from the options, not from `model.compile`.
 *
 * Paper: Liu, Sun, Zhou, Huang, Darrell, "Rethinking the Value of Network Pruning", 2019, section 3.
 *
 * @throws {OptionError} for unknown or impossible options, and where the full network computes less than the
 *   pruned one; {UnsupportedError} where multiply-accumulates are not known; and what `fit` throws.
 * @example
 * const { model: scratch, epochs } = await fromScratch(small, train, {
 *   budget: 'B', full: teacher, epochs: 1, loss: 'categoricalCrossentropy',
 * });
 */
export async function fromScratch(
  model: LayersModel,
  data: FitData,
  options: FromScratchOptions,
): Promise<FromScratchResult> {
  const { budget, full, maxFactor, ...training } = options;
  const { seed = 0, learningRate } = training;
  checkInteger(OWNER, 'epochs', training.epochs, 1);
  const factor = factorOf(model, options);
  const epochs = Math.max(1, Math.round(training.epochs * factor));
  const copy = copyModel(model, { seed });
  const masks = maskedWeights(copy);
  maskedWeights(model).forEach(({ mask }, i) => {
    setMask(masks[i]!.weight, mask.dataSync());
  });
  try {
    const history = await fit(copy, data, {
      ...training,
      epochs,
      seed,
      ...(typeof learningRate === 'function'
        ? { learningRate: stretched(learningRate, training.epochs) }
        : {}),
    });
    return { model: copy, history, epochs };
  } catch (error) {
    copy.dispose();
    throw error;
  }
}

/** How many times as long the training is. */
function factorOf(model: LayersModel, { budget, full, maxFactor }: FromScratchOptions): number {
  if (maxFactor !== undefined) checkRange(OWNER, 'maxFactor', maxFactor, 1);
  if (budget === 'E') return 1;
  if (budget !== 'B') {
    throw new OptionError(
      `${OWNER}: budget must be 'E' (as many epochs) or 'B' (as many multiply-accumulates), not "${budget}".`,
    );
  }
  if (full === undefined) {
    throw new OptionError(
      `${OWNER}: budget 'B' needs the option full: the network before pruning, or its multiply-accumulates.`,
    );
  }
  const whole = typeof full === 'number' ? full : macsOf(full);
  const part = macsOf(model);
  if (!(whole >= part && Number.isFinite(whole))) {
    throw new OptionError(
      `${OWNER}: the full network has ${whole} multiply-accumulates, fewer than the ${part} of the pruned ` +
        'one. Is full the network before pruning?',
    );
  }
  return Math.min(part === whole ? 1 : whole / part, maxFactor ?? Number.POSITIVE_INFINITY);
}

/** Multiply-accumulates for one example, without those of masked entries. */
function macsOf(model: LayersModel): number {
  const { uncounted, total } = summarize(model);
  if (uncounted.length > 0) {
    throw new UnsupportedError(
      `${OWNER}: the multiply-accumulates of ${uncounted.join(', ')} in "${model.name}" are not known. Use ` +
        "budget 'E' with the epochs that you find right.",
    );
  }
  const weights = maskedWeights(model);
  if (weights.length === 0) return total.macs;
  const meter = costMeter(model, weights);
  return meter.rest.macs + meter.of(weights).macs;
}

/** A schedule for a run of `epochs` over a run of another length. */
function stretched(schedule: Schedule, epochs: number): Schedule {
  return ({ step, stepsPerEpoch, epochs: long }) => {
    const now = Math.floor((step * epochs) / long);
    return schedule({ epoch: Math.floor(now / stepsPerEpoch), step: now, stepsPerEpoch, epochs });
  };
}
