// The lottery-ticket experiment: iterative magnitude pruning with rewinding, and its controls.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { OptionError, type ProgressOption, startProgress, UnsupportedError } from '@thimble/base';
import { type FitData, type FitOptions, type WeightValues, writeWeights } from '@thimble/core';
import type { WeightCriterion } from './criterion.ts';
import {
  drawn,
  type LotteryControl,
  type Masked,
  makeControl,
  setMasks,
  setValues,
  valuesOf,
} from './lottery-controls.ts';
import { branchName, type Kept, readBranch, writeBranch } from './lottery-files.ts';
import { OWNER, type ResolvedLottery, resolveLottery } from './lottery-options.ts';
import { type Outcome, trainWatched, type Wanted } from './lottery-training.ts';
import { storedValues } from './masked-weights.ts';
import { pruneWeights } from './prune.ts';

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
  /** Default magnitude; a criterion that looks at the weights and their initial values alone. */
  criterion?: WeightCriterion;
  /**
   * How each network is trained: the options of `fit`, with the optimizer by name. A seed, validation data
   * and a checkpoint each training is given by the experiment.
   */
  training: Omit<FitOptions, 'seed' | 'validationData' | 'checkpoint'>;
  /** Steps between two looks at the validation data; default 100. */
  evaluateEvery?: number;
  /** A folder where finished trainings are kept; one that is there is not trained again. */
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
 * With `folder` every training is kept under a hash of what it depends on, so an interrupted experiment
 * goes on where it was, and one with more rounds, seeds or controls trains only what is new. Losses, metrics
 * and steps that are functions are known by their text, criteria by their names, callbacks by their number:
 * where only what is inside them changes, use another folder. Other data of the same size is an error.
 *
 * @throws OptionError for unknown or impossible options; NoMatchError for a layer of `perLayer` that is not
 *   there; UnsupportedError for a model without kernels, and where nothing would be left of a layer;
 *   CheckpointError for a damaged file; the signal's reason when aborted.
 * @example
 * const [training, validation] = train.split(0.2);
 * const report = await lotteryTicket({
 *   model, data: training, validationData: validation, rounds: 1, fraction: 0.5, evaluateEvery: 1,
 *   training: { epochs: 1, loss: 'categoricalCrossentropy', progress: false }, progress: false,
 * });
 * report.branches.map(({ kind, round, remaining }) => `${kind} ${round}: ${remaining}`);
 */
export async function lotteryTicket(options: LotteryTicketOptions): Promise<LotteryReport> {
  const resolved = await resolveLottery(options);
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

async function experiment(
  options: ResolvedLottery,
  seed: number | string,
  done: (branch: LotteryBranch) => void,
): Promise<void> {
  const { rounds, controls, controlRounds, rewindTo } = options;
  const wanted: Wanted | undefined = rewindTo > 0 ? { step: rewindTo } : undefined;
  const dense = await train(options, seed, 'ticket', 0, { wanted });
  done(dense.branch);
  // Always anew: the dense network serves experiments with other fractions and criteria too.
  let masks = await afterDense(options, seed, dense.trained!, 1);
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

/** What a training starts from, beside its seed. */
interface From {
  masks?: readonly Uint8Array[];
  start?: WeightValues | undefined;
  trained?: readonly Float32Array[];
  wanted?: Wanted | undefined;
}

/** One training, or what is kept of it. */
async function train(
  options: ResolvedLottery,
  seed: number | string,
  kind: LotteryBranch['kind'],
  round: number,
  from: From,
): Promise<Kept> {
  const { folder, fingerprint } = options;
  const path = folder && `${folder}/${branchName(options, seed, kind, round)}`;
  const kept = path ? await readBranch(path, fingerprint) : undefined;
  // An experiment that ended with this round may not have needed the masks of the next.
  const goesOn = kind === 'ticket' && round > 0 && round < options.rounds;
  if (kept && (kept.masks || !goesOn)) return kept;
  options.signal?.throwIfAborted();
  const network = drawn(OWNER, options.model, seed);
  try {
    const initial = storedValues(network.weights);
    const ones = network.weights.map(({ mask }) => new Uint8Array(mask.size).fill(1));
    const masks = await prepare(options, network, kind, seed, round, { masks: ones, ...from });
    setMasks(network, masks);
    let next: Uint8Array[] | null = null;
    let trained: Float32Array[] | null = null;
    let refused: unknown;
    const setup = { ...options.setup, training: { ...options.setup.training, seed } };
    const outcome = await trainWatched(network.model, setup, {
      ...(from.wanted ? { wanted: from.wanted } : {}),
      trained: async () => {
        if (kind !== 'ticket') return;
        if (round === 0) trained = network.weights.map(({ weight }) => valuesOf(weight.variable));
        try {
          next = await prunedMasks(options, network, round + 1, seed, initial);
        } catch (error) {
          if (!(error instanceof UnsupportedError)) throw error;
          refused = error;
        }
      },
    });
    if (from.wanted && !from.wanted.values) {
      throw new OptionError(
        `${OWNER}: rewindTo is ${from.wanted.step}, but training ended after ${outcome.steps} steps.`,
      );
    }
    const branch = { seed, kind, round, remaining: shareOf(masks), ...outcome };
    const start = from.wanted?.values ?? null;
    const result: Kept = { branch, masks: next, trained, start, data: fingerprint };
    if (path) await writeBranch(path, result);
    if (refused && goesOn) throw refused;
    return result;
  } finally {
    network.model.dispose();
  }
}

/** Share of all entries that is kept. */
function shareOf(masks: readonly Uint8Array[]): number {
  const entries = masks.reduce((sum, { length }) => sum + length, 0);
  const ones = masks.reduce((sum, mask) => sum + mask.reduce((k, keep) => k + keep, 0), 0);
  return ones / entries;
}

/** Gives a network the weights that a branch starts from; the result is its masks. */
async function prepare(
  options: ResolvedLottery,
  network: Masked,
  kind: LotteryBranch['kind'],
  seed: number | string,
  round: number,
  { masks, start, trained }: From & Required<Pick<From, 'masks'>>,
): Promise<readonly Uint8Array[]> {
  if (start) writeWeights(network.model, start);
  if (kind === 'ticket') return masks;
  if (kind === 'oneShot') return afterDense(options, seed, trained!, round);
  return makeControl(kind, network, options.model, masks, seed);
}

/** The masks that the trained dense network gives at the sparsity of a round. */
async function afterDense(
  options: ResolvedLottery,
  seed: number | string,
  trained: readonly Float32Array[],
  round: number,
): Promise<Uint8Array[]> {
  const dense = drawn(OWNER, options.model, seed);
  try {
    const initial = storedValues(dense.weights);
    dense.weights.forEach(({ weight }, i) => {
      setValues(weight.variable, trained[i]!);
    });
    return await prunedMasks(options, dense, round, seed, initial);
  } finally {
    dense.model.dispose();
  }
}

/** Prunes a trained network to the sparsity of a round and gives its masks. */
async function prunedMasks(
  { fraction, perLayer, criterion }: ResolvedLottery,
  network: Masked,
  round: number,
  seed: number | string,
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
    { seed },
    { initial },
  );
  return network.weights.map(({ mask }) => Uint8Array.from(mask.dataSync()));
}
