// Iterative pruning: prune, fine-tune, prune again; with rewinding, and a bound that ends it.
import type * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkInteger, checkOptions, checkRange, NoMatchError, OptionError } from '@thimble/base';
import {
  type Logs,
  readWeights,
  type StateValue,
  type StepContext,
  ThimbleCallback,
  type WeightValues,
  writeWeights,
} from '@thimble/core';
import { adjustedDropout, type DropoutRates, dropoutRates } from './adjusted-dropout.ts';
import { checkEvidence, EVIDENCE_OPTIONS, type EvidenceOptions } from './evidence.ts';
import { setMask } from './mask.ts';
import {
  byName,
  type GivenMasks,
  inOrder,
  type MaskedWeight,
  orTakeBack,
  storedValues,
} from './masked-weights.ts';
import { type PruneRule, pruneWeights, RULE_OPTIONS, resolveRule, targetsOf } from './prune.ts';
import { checkSparsity, sparsityOf } from './sparsity.ts';

/** Options of {@link iterativePruning}. */
export interface IterativePruningOptions extends PruneRule, EvidenceOptions {
  /** How often to prune. */
  rounds: number;
  /** Fraction of what is left that goes in every round, in (0, 1); or one fraction for each round. */
  fraction: number | readonly number[];
  /** Other fractions for some layers, by name; with scope 'layer'. */
  perLayer?: Readonly<Record<string, number>>;
  /** Epochs of training after each pruning. */
  fineTuneEpochs: number;
  /** Epochs of training before the first pruning; default 0: the model is trained already. */
  denseEpochs?: number;
  /**
   * After every pruning the weights that are left go back to what they were at the end of this epoch
   * of the run (0: at its start), and the optimizer forgets its moments. Default: they go on from where
   * they are. Needs denseEpochs. For learning-rate rewinding use `schedules.restart` and leave this out.
   */
  rewind?: number;
  /**
   * Stops when a figure of the history (default 'val_accuracy') is below `min` at the end of a round, or more than
   * `drop` below what it was at the end of the round before, and gives the last good model back: that of the round
   * before, or of before the first. A dense network that is below `min` after `denseEpochs` is not pruned at all.
   */
  bound?: PruningBound;
  /** Lowers dropout with the number of connections, as Han et al. do; default false. */
  adjustDropout?: boolean;
}

/** When {@link iterativePruning} has gone too far; at least one of `min` and `drop`. */
export interface PruningBound {
  /** A figure of the history; default 'val_accuracy'. */
  monitor?: string;
  /** What it must have at least. */
  min?: number;
  /** What a round may cost at most, beside the one before. */
  drop?: number;
}

/** What one round came to. */
export interface PruningRound {
  round: number;
  sparsity: number;
  /** The figures of the last epoch of the round. */
  logs: Logs;
}

/** The callback that {@link iterativePruning} makes. */
export class IterativePruning extends ThimbleCallback {
  /** The rounds so far, round 0 (before pruning) included where there are dense epochs. */
  readonly rounds: PruningRound[] = [];
  readonly #options: IterativePruningOptions;
  readonly #rule: ReturnType<typeof resolveRule>;
  #weights: readonly MaskedWeight[] = [];
  #given: GivenMasks | undefined;
  #dropouts: DropoutRates = [];
  #epochs: number | undefined;
  #pruned = 0;
  /** True when the next batch begins a round. */
  #due = false;
  #resetDue = false;
  #begun = false;
  /** The kernels at the beginning, for criteria that compare with them. */
  #initial: Map<string, Float32Array> | undefined;
  #start: WeightValues | undefined;
  #good: WeightValues | undefined;

  constructor(options: IterativePruningOptions) {
    super();
    checkIterative(options);
    this.#options = options;
    this.#rule = resolveRule(OWNER, options);
    const { criterion, scope } = this.#rule;
    if (criterion.threshold) {
      throw new OptionError(
        `${OWNER}: the criterion ${criterion.name} says itself how much goes, not the fraction. Use it with ` +
          'prune.',
      );
    }
    if (options.perLayer && scope === 'global') {
      throw new OptionError(`${OWNER}: perLayer goes with scope 'layer', not 'global'.`);
    }
  }

  override setParams(params: Parameters<ThimbleCallback['setParams']>[0]): void {
    super.setParams(params);
    this.#epochs = (params as { epochs?: number }).epochs;
  }

  /** Adds the masks, before a checkpoint is read. */
  override setModel(model: LayersModel): void {
    super.setModel(model);
    checkEvidence(OWNER, model, this.#rule.criterion, this.#options, ['initial']);
    const { perLayer, adjustDropout } = this.#options;
    this.#given = targetsOf(OWNER, model, this.#rule, perLayer);
    this.#weights = this.#given.weights;
    this.#dropouts = [];
    try {
      if (adjustDropout) this.#dropouts = dropoutRates(OWNER, model, this.#weights);
    } catch (error) {
      this.#given.takeBack();
      throw error;
    }
    this.rounds.length = 0;
    [this.#pruned, this.#due, this.#resetDue, this.#begun] = [0, false, false, false];
    [this.#initial, this.#start, this.#good] = [undefined, undefined, undefined];
  }

  override async onTrainBegin(): Promise<void> {
    await orTakeBack(this.#given, () => this.#checkTraining());
  }

  /** Where training fails before the first step, the model is what it was. */
  override leave(): void {
    if (!this.#begun) this.#given?.takeBack();
    this.#given = undefined;
  }

  #checkTraining(): void {
    const { rounds, fineTuneEpochs, denseEpochs = 0, rewind } = this.#options;
    const needed = denseEpochs + rounds * fineTuneEpochs;
    if (this.#epochs !== undefined && this.#epochs < needed) {
      throw new OptionError(
        `${OWNER}: ${rounds} rounds of ${fineTuneEpochs} epochs${denseEpochs ? ` after ${denseEpochs}` : ''} ` +
          `take ${needed} epochs; training has ${this.#epochs}.`,
      );
    }
    if (rewind !== undefined && !this.insideFit) {
      throw new OptionError(
        `${OWNER}: rewinding resets the optimizer, for which tfjs's own fit has no place. Use Thimble's fit.`,
      );
    }
  }

  /** The place where a round begins: it comes after a checkpoint is restored, and may take its time. */
  override async onBatchBegin(): Promise<void> {
    await orTakeBack(this.#given, () => this.#beginBatch());
  }

  async #beginBatch(): Promise<void> {
    const { denseEpochs = 0, rewind } = this.#options;
    if (!this.#begun) {
      this.#begun = true;
      this.#due = denseEpochs === 0;
      if ((this.#rule.criterion.needs as readonly string[]).includes('initial')) {
        this.#initial = storedValues(this.#weights);
      }
      if (rewind === 0) this.#start = await readWeights(this.model as LayersModel);
      if (this.#options.bound) this.#good = await readWeights(this.model as LayersModel);
    }
    if (!this.#due) return;
    this.#due = false;
    await this.#prune();
    if (rewind !== undefined) await this.#rewind();
  }

  async #prune(): Promise<void> {
    const { fraction, perLayer = {} } = this.#options;
    const round = this.#pruned++;
    /** What is gone after this round where every round so far took its fraction of the rest. */
    const after = (fractions: number | readonly number[]) => {
      const each = Array.from({ length: round + 1 }, (_, i) =>
        typeof fractions === 'number' ? fractions : fractions[i]!,
      );
      return 1 - each.reduce((left, gone) => left * (1 - gone), 1);
    };
    const { scope } = this.#rule;
    await pruneWeights(
      OWNER,
      this.model as LayersModel,
      this.#weights,
      this.#rule,
      scope === 'global'
        ? { scope, sparsity: after(fraction) }
        : {
            scope: 'layer',
            sparsities: this.#weights.map(({ weight }) =>
              after(perLayer[weight.layer.name] ?? fraction),
            ),
          },
      this.#options,
      this.#initial ? { initial: this.#initial } : {},
    );
    adjustedDropout(this.#dropouts);
  }

  /** Puts all weights but the masks back, and lets the optimizer start anew at the next step. */
  async #rewind(): Promise<void> {
    const masks = this.#weights.map(({ mask }) => mask.dataSync().slice());
    writeWeights(this.model as LayersModel, this.#start!);
    this.#weights.forEach(({ weight }, i) => {
      setMask(weight, masks[i]!);
    });
    this.#resetDue = true;
  }

  override gradients(gradients: tf.Tensor[], context: StepContext): tf.Tensor[] {
    if (this.#resetDue) context.resetOptimizer();
    this.#resetDue = false;
    return gradients;
  }

  override async onEpochEnd(epoch: number, logs: Logs = {}): Promise<void> {
    await orTakeBack(this.#given, () => this.#endEpoch(epoch, logs));
  }

  async #endEpoch(epoch: number, logs: Logs): Promise<void> {
    const { rounds, fineTuneEpochs, denseEpochs = 0, rewind, bound } = this.#options;
    const model = this.model as LayersModel;
    logs.sparsity = sparsityOf(this.#weights);
    if (rewind !== undefined && rewind === epoch + 1) this.#start = await readWeights(model);
    const tuned = epoch + 1 - denseEpochs;
    if (tuned < 0 || tuned % fineTuneEpochs !== 0 || tuned / fineTuneEpochs > rounds) return;
    const { sparsity } = logs;
    this.rounds.push({ round: this.#pruned, sparsity, logs: await numbersOf(logs) });
    if (bound && (await this.#isOver(bound))) return;
    this.#due = this.#pruned < rounds;
  }

  /** True where the last round has gone too far, and was taken back. */
  get takenBack(): boolean {
    const { bound } = this.#options;
    const last = this.rounds.at(-1);
    return bound !== undefined && last !== undefined && last.round > 0 && this.#isBroken(bound);
  }

  #isBroken({ monitor = 'val_accuracy', min = -Infinity, drop }: PruningBound): boolean {
    const [last, before] = [this.rounds.at(-1)!.logs, this.rounds.at(-2)?.logs];
    const value = last[monitor];
    if (value === undefined) {
      throw new NoMatchError(
        `${OWNER}: bound watches "${monitor}", which is not reported. Reported: ${Object.keys(last).join(', ')}.`,
      );
    }
    const least = drop === undefined || !before ? min : Math.max(min, before[monitor]! - drop);
    return !(value >= least);
  }

  /** True when the bound is broken: then the last good model is back and training ends. */
  async #isOver(bound: PruningBound): Promise<boolean> {
    const model = this.model as LayersModel;
    if (!this.#isBroken(bound)) {
      this.#good = await readWeights(model);
      return false;
    }
    model.stopTraining = true;
    // A dense network that is too bad already is not pruned, but kept as it was trained.
    if (this.#pruned > 0) writeWeights(model, this.#good!);
    adjustedDropout(this.#dropouts);
    return true;
  }

  override state(): StateValue {
    return {
      pruned: this.#pruned,
      due: this.#due,
      resetDue: this.#resetDue,
      begun: this.#begun,
      initial: inOrder(this.#initial),
      start: (this.#start ?? null) as StateValue,
      good: (this.#good ?? null) as StateValue,
      rounds: this.rounds as unknown as StateValue[],
    };
  }

  override restore(state: StateValue): void {
    const saved = state as Record<string, never>;
    this.#pruned = saved.pruned!;
    this.#due = saved.due!;
    this.#resetDue = saved.resetDue!;
    this.#begun = saved.begun!;
    this.#initial = byName(this.#weights, saved.initial!);
    this.#start = saved.start ?? undefined;
    this.#good = saved.good ?? undefined;
    this.rounds.length = 0;
    this.rounds.push(...(saved.rounds! as PruningRound[]));
    adjustedDropout(this.#dropouts);
  }
}

const OWNER = 'iterativePruning';

/** The figures of an epoch; tfjs's own fit has tensors for some of them. */
async function numbersOf(logs: Readonly<Record<string, number | tf.Scalar>>): Promise<Logs> {
  const entries = Object.entries(logs).map(async ([name, value]) => {
    const number = typeof value === 'number' ? value : (await value.data())[0]!;
    return [name, number] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}

function checkIterative(options: IterativePruningOptions): void {
  checkOptions(OWNER, options, [
    'rounds',
    'fraction',
    'perLayer',
    'fineTuneEpochs',
    'denseEpochs',
    'rewind',
    'bound',
    'adjustDropout',
    ...RULE_OPTIONS,
    ...EVIDENCE_OPTIONS,
  ]);
  const { rounds, fraction, perLayer = {}, fineTuneEpochs, denseEpochs = 0, rewind } = options;
  checkInteger(OWNER, 'rounds', rounds, 1);
  checkInteger(OWNER, 'fineTuneEpochs', fineTuneEpochs, 1);
  checkInteger(OWNER, 'denseEpochs', denseEpochs, 0);
  const fractions = typeof fraction === 'number' ? [fraction] : fraction;
  if (typeof fraction !== 'number' && fractions.length !== rounds) {
    throw new OptionError(
      `${OWNER}: ${rounds} rounds need as many fractions, not ${fractions.length}.`,
    );
  }
  for (const value of fractions) checkSparsity(OWNER, value, 'fraction');
  for (const [name, value] of Object.entries(perLayer)) {
    checkSparsity(OWNER, value, `perLayer.${name}`);
  }
  if (options.bound) {
    const { min, drop } = options.bound;
    checkOptions(`${OWNER}, bound`, options.bound, ['monitor', 'min', 'drop']);
    if (min === undefined && drop === undefined) {
      throw new OptionError(`${OWNER}: bound needs min or drop, for example { drop: 0.01 }.`);
    }
    if (min !== undefined) checkRange(OWNER, 'bound.min', min, -Number.MAX_VALUE);
    if (drop !== undefined) checkRange(OWNER, 'bound.drop', drop, 0);
  }
  if (rewind === undefined) return;
  checkInteger(OWNER, 'rewind', rewind, 0);
  if (rewind >= denseEpochs) {
    throw new OptionError(
      `${OWNER}: rewind (${rewind}) must be below denseEpochs (${denseEpochs}): the run has to pass the ` +
        'epoch to rewind to before the first pruning.',
    );
  }
}

/**
 * A callback that prunes in rounds: `fraction` of what is left goes, then `fineTuneEpochs` of training,
 * and again. After r rounds `(1 - fraction)^r` is left. `fit` needs
 * `denseEpochs + rounds * fineTuneEpochs` epochs. Kernels without a mask get one before a checkpoint is
 * read, and lose it where this throws and nothing is pruned yet; a resumed run goes on in the same round. `callback.rounds` tells what each round came to.
 *
 * - Han et al. retrain the weights that survive: leave `rewind` out, give `fit` a reduced `learningRate`,
 *   and `adjustDropout: true` where the network has dropout.
 * - `rewind: 0` (with `denseEpochs`) finds lottery tickets; `rewind: k` rewinds to epoch k.
 * - With `bound` it ends when accuracy falls too low, and the model is the last good one. The early stopping
 *   of `fit` is no substitute: its best weights may be those of a round before, masks included.
 * - A criterion that compares with initial weights compares with those at the beginning of the run.
 *
 * Papers: Han, Pool, Tran, Dally, "Learning both Weights and Connections for Efficient Neural Networks",
 * 2015, section 3; Frankle, Carbin, "The Lottery Ticket Hypothesis", 2019; Renda, Frankle, Carbin,
 * "Comparing Rewinding and Fine-tuning in Neural Network Pruning", 2020.
 *
 * @throws OptionError for unknown or impossible options, or too few epochs; NoMatchError for a target or
 *   monitor that is not there.
 * @example
 * const callback = iterativePruning({ rounds: 2, fraction: 0.5, fineTuneEpochs: 1, granularity: 'element' });
 * await fit(model, train, { epochs: 2, callbacks: [callback] });
 * callback.rounds.map(({ sparsity }) => sparsity); // about 0.5 and 0.75
 */
export function iterativePruning(options: IterativePruningOptions): IterativePruning {
  return new IterativePruning(options);
}
