// The lottery-ticket experiment: iterative magnitude pruning with rewinding, and its controls.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import {
  checkInteger,
  checkOptions,
  hashSeed,
  OptionError,
  type ProgressOption,
  readBytes,
  startProgress,
  writeBytes,
} from '@thimble/base';
import {
  decodeState,
  encodeState,
  type FitData,
  type FitOptions,
  type StateValue,
  type WeightValues,
  writeWeights,
} from '@thimble/core';
import { magnitude } from './criteria/magnitude.ts';
import type { WeightCriterion } from './criterion.ts';
import {
  drawn,
  LOTTERY_CONTROLS,
  type LotteryControl,
  type Masked,
  makeControl,
  setMasks,
  setValues,
  valuesOf,
} from './lottery-controls.ts';
import { type Outcome, type TrainingSetup, trainWatched, type Wanted } from './lottery-training.ts';
import { outputLayers } from './masked-weights.ts';
import { checkSparsity, pruneWeights } from './prune.ts';

/** Options of {@link lotteryTicket}. */
export interface LotteryTicketOptions {
  /** The network. It is a pattern only: every training gets a copy with weights drawn from its seed. */
  model: LayersModel;
  /** Examples to train on. */
  data: FitData;
  /** Examples that tell where to stop; never the test set. */
  validationData: FitData;
  /** Examples that nothing is chosen by; the report has the accuracy on them. */
  testData?: FitData;
  /** How often to prune; default 10. */
  rounds?: number;
  /** Fraction of what is left of each layer that goes in a round; default 0.2. */
  fraction?: number;
  /** Other fractions for some layers, by name; default half of `fraction` for the layer of the output. */
  perLayer?: Readonly<Record<string, number>>;
  /** Steps of training that the weights are rewound to; default 0, the initial ones. */
  rewindTo?: number;
  /** What to compare tickets with; default reinit and random. */
  controls?: readonly LotteryControl[];
  /** The rounds at which the controls are trained; default all. */
  controlRounds?: readonly number[];
  /** One experiment for each; default [0]. */
  seeds?: readonly (number | string)[];
  /** Default magnitude; criteria that look at the weights and their initial values. */
  criterion?: WeightCriterion;
  /** How each network is trained: the options of `fit`. */
  training: FitOptions;
  /** Steps between two looks at the validation data; default 100. */
  evaluateEvery?: number;
  /** Where finished trainings are kept; one that is there is not trained again. */
  folder?: string;
  progress?: ProgressOption;
  signal?: AbortSignal;
  /** Told of each training as it is finished. */
  onBranch?: (branch: LotteryBranch) => void;
}

/** One training of the experiment. */
export interface LotteryBranch extends Outcome {
  seed: number | string;
  /** 'ticket' (in round 0 the dense network), or the control. */
  kind: 'ticket' | LotteryControl;
  round: number;
  /** Share of the kernels' entries that is kept. */
  remaining: number;
}

/** What {@link lotteryTicket} found: every training, in order. */
export interface LotteryReport {
  branches: LotteryBranch[];
}

const OWNER = 'lotteryTicket';

/**
 * Finds winning tickets (Frankle, Carbin, "The Lottery Ticket Hypothesis: Finding Sparse, Trainable Neural
 * Networks", 2019): train the network, prune the `fraction` of each layer that is lowest (of the output
 * layer half as much), put what is left back to its initial values, and again. After r rounds
 * `(1 - fraction)^r` of a layer is left. Early stopping is told afterwards, as in the paper: the step with
 * the lowest validation loss, and the test accuracy of the weights of that step.
 *
 * The controls of Frankle and Carbin and of Zhou, Lan, Liu, Yosinski, "Deconstructing Lottery Tickets",
 * 2019, tell what matters: see {@link LotteryControl}. With `rewindTo: k` it is late rewinding (Frankle et
 * al., "Linear Mode Connectivity and the Lottery Ticket Hypothesis", 2020).
 *
 * With `folder` every training is kept under a hash of all that it depends on, so an interrupted experiment
 * goes on where it was, and one with more rounds, seeds or controls trains only what is new.
 *
 * @throws OptionError for unknown or impossible options; the signal's reason when aborted.
 * @example
 * const [training, validation] = train.split(0.2);
 * const report = await lotteryTicket({
 *   model, data: training, validationData: validation, rounds: 1, fraction: 0.5, evaluateEvery: 1,
 *   training: { epochs: 1, loss: 'categoricalCrossentropy', progress: false }, progress: false,
 * });
 * report.branches.map(({ kind, round, remaining }) => `${kind} ${round}: ${remaining}`);
 */
export async function lotteryTicket(options: LotteryTicketOptions): Promise<LotteryReport> {
  const resolved = resolve(options);
  const { seeds, rounds, controls, controlRounds, signal, progress } = resolved;
  const perSeed = 1 + rounds + controls.length * controlRounds.length;
  const bar = startProgress(progress, 'lottery tickets', seeds.length * perSeed);
  const branches: LotteryBranch[] = [];
  const done = (branch: LotteryBranch) => {
    branches.push(branch);
    resolved.onBranch?.(branch);
    bar.update(branches.length);
  };
  try {
    for (const seed of seeds) await experiment(resolved, seed, done);
  } finally {
    bar.stop();
  }
  signal?.throwIfAborted();
  return { branches };
}

type Resolved = ReturnType<typeof resolve>;

function resolve(options: LotteryTicketOptions) {
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
  const halved = [...outputLayers(model)].map(({ name }) => [name, fraction / 2] as const);
  const perLayer = options.perLayer ?? Object.fromEntries(halved);
  for (const value of [fraction, ...Object.values(perLayer)]) checkSparsity(OWNER, value);
  const setup: TrainingSetup = {
    data: options.data,
    validationData: options.validationData,
    testData: options.testData,
    training: { progress: false, signal: options.signal, ...options.training },
    evaluateEvery,
  };
  return {
    ...options,
    rounds,
    fraction,
    perLayer,
    rewindTo,
    controls,
    controlRounds,
    seeds: options.seeds ?? [0],
    criterion,
    progress,
    setup,
  };
}

/** What a training leaves for those that stand on it. */
interface Kept {
  branch: LotteryBranch;
  /** The masks of the next round. */
  masks: Uint8Array[] | null;
  /** The trained kernels of round 0, for one-shot pruning. */
  trained: Float32Array[] | null;
  /** The weights to rewind to, where they are not the initial ones. */
  start: WeightValues | null;
}

async function experiment(
  options: Resolved,
  seed: number | string,
  done: (branch: LotteryBranch) => void,
): Promise<void> {
  const { rounds, controls, controlRounds, rewindTo } = options;
  const wanted: Wanted | undefined = rewindTo > 0 ? { step: rewindTo } : undefined;
  const dense = await train(options, seed, 'ticket', 0, { wanted });
  done(dense.branch);
  let masks = dense.masks!;
  for (let round = 1; round <= rounds; round++) {
    const start = dense.start ?? undefined;
    const ticket = await train(options, seed, 'ticket', round, { masks, start });
    done(ticket.branch);
    for (const control of controlRounds.includes(round) ? controls : []) {
      const from = { masks, start, trained: dense.trained! };
      done((await train(options, seed, control, round, from)).branch);
    }
    if (ticket.masks) masks = ticket.masks;
  }
}

/** One training, or what is kept of it. */
async function train(
  options: Resolved,
  seed: number | string,
  kind: LotteryBranch['kind'],
  round: number,
  from: {
    masks?: readonly Uint8Array[];
    start?: WeightValues | undefined;
    trained?: readonly Float32Array[];
    wanted?: Wanted | undefined;
  },
): Promise<Kept> {
  const path = options.folder && `${options.folder}/${branchName(options, seed, kind, round)}`;
  const kept = path ? await readBytes(path) : undefined;
  if (kept) return decodeState(kept) as unknown as Kept;
  options.signal?.throwIfAborted();
  const network = drawn(OWNER, options.model, seed);
  try {
    const ones = network.weights.map(({ mask }) => new Uint8Array(mask.size).fill(1));
    const masks = await prepare(options, network, kind, seed, round, { masks: ones, ...from });
    const initial = initialValues(network);
    setMasks(network, masks);
    let next: Uint8Array[] | null = null;
    let trained: Float32Array[] | null = null;
    const setup = { ...options.setup, training: { ...options.setup.training, seed } };
    const outcome = await trainWatched(network.model, setup, {
      ...(from.wanted ? { wanted: from.wanted } : {}),
      trained: async () => {
        if (kind !== 'ticket') return;
        if (round === 0) trained = network.weights.map(({ weight }) => valuesOf(weight.variable));
        if (round < options.rounds) next = await prunedMasks(options, network, round + 1, initial);
      },
    });
    if (from.wanted && !from.wanted.values) {
      throw new OptionError(
        `${OWNER}: rewindTo is ${from.wanted.step}, but training takes ${outcome.steps} steps.`,
      );
    }
    const branch = { seed, kind, round, remaining: shareOf(masks), ...outcome };
    const result: Kept = { branch, masks: next, trained, start: from.wanted?.values ?? null };
    if (path) await writeBytes(path, encodeState(result as unknown as StateValue));
    return result;
  } finally {
    network.model.dispose();
  }
}

function initialValues({ weights }: Masked): Map<string, Float32Array> {
  return new Map(weights.map(({ name, weight }) => [name, valuesOf(weight.variable)]));
}

/** Share of all entries that is kept. */
function shareOf(masks: readonly Uint8Array[]): number {
  const entries = masks.reduce((sum, { length }) => sum + length, 0);
  const ones = masks.reduce((sum, mask) => sum + mask.reduce((k, keep) => k + keep, 0), 0);
  return ones / entries;
}

/** Gives a network the weights that a branch starts from; the result is its masks. */
async function prepare(
  options: Resolved,
  network: Masked,
  kind: LotteryBranch['kind'],
  seed: number | string,
  round: number,
  from: {
    masks: readonly Uint8Array[];
    start?: WeightValues | undefined;
    trained?: readonly Float32Array[];
  },
): Promise<readonly Uint8Array[]> {
  if (from.start) writeWeights(network.model, from.start);
  if (kind === 'ticket') return from.masks;
  if (kind !== 'oneShot') return makeControl(kind, network, options.model, from.masks, seed);
  const dense = drawn(OWNER, options.model, seed);
  try {
    dense.weights.forEach(({ weight }, i) => {
      setValues(weight.variable, from.trained![i]!);
    });
    return await prunedMasks(options, dense, round, initialValues(network));
  } finally {
    dense.model.dispose();
  }
}

/** Prunes a trained network to the sparsity of a round and gives its masks. */
async function prunedMasks(
  { fraction, perLayer, criterion }: Resolved,
  network: Masked,
  round: number,
  initial: ReadonlyMap<string, Float32Array>,
): Promise<Uint8Array[]> {
  const sparsities = network.weights.map(
    ({ weight }) => 1 - (1 - (perLayer[weight.layer.name] ?? fraction)) ** round,
  );
  await pruneWeights(
    OWNER,
    network.model,
    network.weights,
    { criterion, granularity: 'element' },
    { scope: 'layer', sparsities },
    {},
    { initial },
  );
  return network.weights.map(({ mask }) => Uint8Array.from(mask.dataSync()));
}

/** A file name that tells what a training is, and a hash of all that it depends on. */
function branchName(
  options: Resolved,
  seed: number | string,
  kind: LotteryBranch['kind'],
  round: number,
): string {
  const { model, fraction, perLayer, rewindTo, criterion, setup } = options;
  const { signal: _, progress: __, callbacks = [], ...training } = setup.training;
  const fractions = model.layers.map(({ name }) => perLayer[name] ?? fraction);
  const sizeOf = (data: FitData | undefined) => (data as { size?: number } | undefined)?.size ?? 0;
  const described = JSON.stringify(
    {
      architecture: architectureOf(model),
      training: [training, callbacks.length],
      evaluateEvery: setup.evaluateEvery,
      sizes: [setup.data, setup.validationData, setup.testData].map(sizeOf),
      ...(round === 0 ? {} : { fractions, criterion: criterion.name }),
      rewindTo,
    },
    (_key, value) => (typeof value === 'function' ? String(value) : value),
  );
  const hash = [1, 2].map((salt) => hashSeed(salt, described).toString(16).padStart(8, '0'));
  return `seed-${seed}-${kind}-${round}-${hash.join('')}.branch`;
}

/** What a network is, without the names of its layers: tfjs numbers them through from model to model. */
function architectureOf(model: LayersModel): string {
  const names = model.layers.map(({ name }) => name);
  return JSON.stringify(model.getConfig(), (key, value) => {
    if (key === 'name' && value === model.name) return 'model';
    const place = typeof value === 'string' ? names.indexOf(value) : -1;
    return place < 0 ? value : `layer ${place}`;
  });
}
