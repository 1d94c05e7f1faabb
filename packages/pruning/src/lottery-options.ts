// The options of lotteryTicket, checked and completed.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkInteger, checkOptions, NoMatchError, OptionError } from '@thimble/base';
import { type BatchSource, checkExamples, type FitOptions } from '@thimble/core';
import { magnitude } from './criteria/magnitude.ts';
import type { WeightCriterion } from './criterion.ts';
import { checkEvidence } from './evidence.ts';
import { LOTTERY_CONTROLS } from './lottery-controls.ts';
import { fingerprintOf, sourcesOf } from './lottery-files.ts';
import type { LotteryTicketOptions } from './lottery-ticket.ts';
import type { TrainingSetup } from './lottery-training.ts';
import { chooseLayers, outputLayers } from './masked-weights.ts';
import { checkSparsity, namedRatios } from './sparsity.ts';

export const OWNER = 'lotteryTicket';

type Given = Required<
  Pick<
    LotteryTicketOptions,
    | 'rounds'
    | 'fraction'
    | 'perLayer'
    | 'rewindTo'
    | 'controls'
    | 'controlRounds'
    | 'seeds'
    | 'criterion'
    | 'progress'
  >
>;

interface Defaults extends Given {
  setup: TrainingSetup;
  /** Tells the data apart from other data of the same size. */
  fingerprint: string;
}

/** The options, checked and completed. */
export type ResolvedLottery = Omit<LotteryTicketOptions, keyof Defaults> & Defaults;

/**
 * Checks the options of `lotteryTicket` and fills in the defaults.
 *
 * @throws {OptionError}, {NoMatchError}, {UnsupportedError}, {DataError}
 */
export async function resolveLottery(options: LotteryTicketOptions): Promise<ResolvedLottery> {
  checkOptions(OWNER, options, [
    'model',
    'data',
    'validationData',
    'testData',
    'rounds',
    'fraction',
    'perLayer',
    'rewindTo',
    'controls',
    'controlRounds',
    'seeds',
    'criterion',
    'training',
    'evaluateEvery',
    'folder',
    'progress',
    'signal',
    'onBranch',
  ]);
  const { model, rounds = 10, fraction = 0.2, rewindTo = 0, evaluateEvery = 100 } = options;
  const { controls = ['reinit', 'random'], criterion = magnitude(), progress = true } = options;
  checkInteger(OWNER, 'rounds', rounds, 1);
  checkInteger(OWNER, 'rewindTo', rewindTo, 0);
  checkInteger(OWNER, 'evaluateEvery', evaluateEvery, 1);
  const controlRounds = options.controlRounds ?? Array.from({ length: rounds }, (_, i) => i + 1);
  for (const round of controlRounds) checkInteger(OWNER, 'controlRounds', round, 1, rounds);
  for (const control of controls) {
    if (!LOTTERY_CONTROLS.includes(control)) {
      throw new OptionError(
        `${OWNER}: unknown control "${control}". Controls: ${LOTTERY_CONTROLS.join(', ')}.`,
      );
    }
  }
  const seeds = options.seeds ?? [0];
  if (seeds.length === 0) throw new OptionError(`${OWNER}: seeds is empty; give one or more.`);
  const names = chooseLayers(OWNER, model).map(({ name }) => name);
  const halved = [...outputLayers(model)].map(({ name }) => [name, fraction / 2] as const);
  const perLayer = options.perLayer ?? Object.fromEntries(halved);
  for (const name of Object.keys(perLayer)) {
    if (!names.includes(name)) {
      throw new NoMatchError(
        `${OWNER}: perLayer names "${name}", which is none of the layers: ${names.join(', ')}.`,
      );
    }
  }
  for (const [name, value] of namedRatios('fraction', fraction, options.perLayer)) {
    checkSparsity(OWNER, value, name);
  }
  checkCriterion(model, criterion);
  checkTraining(options.training);
  const sources = await sourcesOf(OWNER, model, options);
  // All of them before the first training: the test data would come last.
  const { loss, batchSize = 32 } = options.training;
  for (const [name, source] of Object.entries(sources)) {
    await checkExamples(`${OWNER}: ${name}`, model, source, { loss, batchSize });
  }
  const setup = {
    testData: undefined,
    ...sources,
    training: { progress: false, signal: options.signal, ...options.training },
    evaluateEvery,
  };
  checkRewinding(rewindTo, sources.data, options.training);
  return {
    ...options,
    rounds,
    fraction,
    perLayer,
    rewindTo,
    controls,
    controlRounds,
    seeds,
    criterion,
    progress,
    setup,
    fingerprint: await fingerprintOf([sources.data, sources.validationData, sources.testData]),
  };
}

function checkCriterion(model: LayersModel, criterion: WeightCriterion): void {
  if (criterion.level !== 'weight' || criterion.threshold) {
    throw new OptionError(
      `${OWNER}: the criterion ${criterion.name} does not score single weights for a fraction of them to go. ` +
        'Use criteria.magnitude().',
    );
  }
  checkEvidence(OWNER, model, criterion, {}, ['initial']);
}

function checkTraining(training: FitOptions): void {
  for (const option of ['seed', 'validationData', 'checkpoint'] as const) {
    if (training[option] !== undefined) {
      throw new OptionError(
        `${OWNER}: training.${option} is set by the experiment. Leave it out, and see the options seeds, ` +
          'validationData and folder.',
      );
    }
  }
  if (typeof training.optimizer === 'object') {
    throw new OptionError(
      `${OWNER}: training.optimizer must be a name: an optimizer that is given would carry its state from ` +
        'one network to the next. Set its rate with training.learningRate.',
    );
  }
}

function checkRewinding(rewindTo: number, { size }: BatchSource, training: FitOptions): void {
  const { epochs = 1, batchSize = 32, accumulate = 1 } = training;
  const steps = epochs * Math.ceil(size / (batchSize * accumulate));
  if (rewindTo > steps) {
    throw new OptionError(`${OWNER}: rewindTo is ${rewindTo}, but training takes ${steps} steps.`);
  }
}
