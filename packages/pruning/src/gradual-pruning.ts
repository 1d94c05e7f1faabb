// Gradual pruning: a little more goes every so many steps while the network trains.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkInteger, checkOptions, OptionError } from '@thimble/base';
import { type Logs, type StateValue, type StepContext, ThimbleCallback } from '@thimble/core';
import { checkEvidence, EVIDENCE_OPTIONS, type EvidenceOptions } from './evidence.ts';
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

/** Options of {@link gradualPruning}. */
export interface GradualPruningOptions extends PruneRule, EvidenceOptions {
  /** The sparsity that is due after so many optimizer steps: one of `sparsitySchedules`. */
  schedule: (step: number) => number;
  /** After how many steps pruning begins; default 0, before the first. */
  begin?: number;
  /** After how many steps it ends; default never. */
  end?: number;
  /** Steps between two prunings, counted from `begin`; default 100. */
  every?: number;
}

/** The callback that {@link gradualPruning} makes. */
export class GradualPruning extends ThimbleCallback {
  readonly #options: GradualPruningOptions;
  readonly #rule: ReturnType<typeof resolveRule>;
  readonly #begin: number;
  readonly #end: number;
  readonly #every: number;
  #weights: readonly MaskedWeight[] = [];
  #given: GivenMasks | undefined;
  /** True when the first step has begun. */
  #begun = false;
  /** Steps taken in tfjs's own fit. */
  #step = 0;
  #history: Map<string, Float32Array> | undefined;
  #initial: ReadonlyMap<string, Float32Array> | undefined;

  constructor(options: GradualPruningOptions) {
    super();
    checkOptions(OWNER, options, [
      'schedule',
      'begin',
      'end',
      'every',
      ...RULE_OPTIONS,
      ...EVIDENCE_OPTIONS,
    ]);
    const { schedule, begin = 0, end = Number.MAX_SAFE_INTEGER, every = 100 } = options;
    if (typeof schedule !== 'function') {
      throw new OptionError(
        `${OWNER}: schedule must be a function of the step, such as sparsitySchedules.polynomial({ ... }).`,
      );
    }
    checkInteger(OWNER, 'begin', begin, 0);
    checkInteger(OWNER, 'end', end, begin);
    checkInteger(OWNER, 'every', every, 1);
    this.#options = options;
    this.#rule = resolveRule(OWNER, options);
    if (this.#rule.criterion.threshold) {
      throw new OptionError(
        `${OWNER}: the criterion ${this.#rule.criterion.name} says itself how much goes and cannot follow ` +
          'a schedule. Use it with prune.',
      );
    }
    this.#begin = begin;
    this.#end = end;
    this.#every = every;
  }

  /** Adds the masks, before a checkpoint is read. */
  override setModel(model: LayersModel): void {
    super.setModel(model);
    const { criterion } = this.#rule;
    const needs: readonly string[] = criterion.needs;
    const history = needs.includes('history');
    if (history && !this.insideFit) {
      throw new OptionError(
        `${OWNER}: the criterion ${criterion.name} looks at the gradients of every step, which tfjs's own ` +
          "fit does not show. Use Thimble's fit.",
      );
    }
    checkEvidence(OWNER, model, criterion, this.#options, ['history', 'initial']);
    this.#given = targetsOf(OWNER, model, this.#rule);
    this.#weights = this.#given.weights;
    [this.#step, this.#begun] = [0, false];
    const zeros = () => this.#weights.map(({ mask }) => new Float32Array(mask.size));
    this.#history = byName(this.#weights, history ? zeros() : null);
    this.#initial = needs.includes('initial') ? storedValues(this.#weights) : undefined;
  }

  override gradients(gradients: tf.Tensor[], { variables }: StepContext): tf.Tensor[] {
    const { criterion } = this.#rule;
    if (!this.#history || criterion.level !== 'weight') return gradients;
    for (const { name, weight } of this.#weights) {
      const gradient = gradients[variables.indexOf(weight.variable)];
      if (!gradient) continue;
      const running = tf.tensor(this.#history.get(name)!, weight.variable.shape);
      const next = criterion.accumulate!(running, weight.variable, gradient);
      this.#history.set(name, Float32Array.from(next.dataSync()));
    }
    return gradients;
  }

  /** Before the first step. */
  override async onBatchBegin(): Promise<void> {
    if (this.#begun) return;
    this.#begun = true;
    // There is nothing yet that a criterion of training steps could look at.
    if (!this.#history) await this.#after(0);
  }

  /** After a step of Thimble's `fit`. */
  override async afterStep({ step }: StepContext): Promise<void> {
    await this.#after(step + 1);
  }

  /** After a step of tfjs's own fit, where there is no `afterStep`. */
  override async onBatchEnd(): Promise<void> {
    if (!this.insideFit) await this.#after(++this.#step);
  }

  /** Where training fails before the first step, the model is what it was. */
  override leave(): void {
    if (!this.#begun) this.#given?.takeBack();
    this.#given = undefined;
  }

  async #after(steps: number): Promise<void> {
    await orTakeBack(this.#given, () => this.#prune(steps));
  }

  async #prune(steps: number): Promise<void> {
    const [begin, every] = [this.#begin, this.#every];
    if (steps < begin || steps > this.#end || (steps - begin) % every !== 0) return;
    const sparsity = this.#options.schedule(steps);
    checkSparsity(OWNER, sparsity, `schedule(${steps})`);
    if (sparsity === 0) return;
    const { scope } = this.#rule;
    await pruneWeights(
      OWNER,
      this.model as LayersModel,
      this.#weights,
      this.#rule,
      scope === 'global'
        ? { scope, sparsity }
        : { scope: 'layer', sparsities: this.#weights.map(() => sparsity) },
      this.#options,
      {
        ...(this.#history ? { history: this.#history } : {}),
        ...(this.#initial ? { initial: this.#initial } : {}),
      },
    );
  }

  /** Puts the share of pruned entries into the history, as `sparsity`. */
  override async onEpochEnd(_epoch: number, logs?: Logs): Promise<void> {
    if (logs) logs.sparsity = sparsityOf(this.#weights);
  }

  override state(): StateValue {
    return {
      begun: this.#begun,
      history: inOrder(this.#history),
      initial: inOrder(this.#initial),
    };
  }

  override restore(state: StateValue): void {
    const { begun, history, initial } = state as {
      begun: boolean;
      history: Float32Array[] | null;
      initial: Float32Array[] | null;
    };
    this.#begun = begun;
    this.#history = byName(this.#weights, history);
    this.#initial = byName(this.#weights, initial);
  }
}

const OWNER = 'gradualPruning';

/**
 * A callback that prunes while a network trains: after `begin`, `begin + every`, ... steps it masks the
 * lowest units until the sparsity is what the schedule says; after 0 steps means before the first. Pruned
 * units never come back, also where a schedule falls. Kernels without a mask get one when training begins,
 * before a checkpoint is read, and lose it where this throws and nothing is pruned yet.
 *
 * Works in `fit` and in tfjs's own `model.fit` (there without criteria that look at the gradients of every
 * step). `sparsity` is in the history, and what a checkpoint needs is in it. The early stopping of `fit` gives
 * back the weights of its best epoch with the masks of that time, which may be from before the last sparsity:
 * set its `restoreBest` to false.
 *
 * Paper: Zhu, Gupta, "To prune, or not to prune: exploring the efficacy of pruning for model compression",
 * 2017, with the cubic schedule `sparsitySchedules.polynomial`.
 *
 * @throws OptionError for unknown or impossible options; NoMatchError for a target that matches no layer.
 * @example
 * const callback = gradualPruning({
 *   schedule: sparsitySchedules.polynomial({ final: 0.9, begin: 0, end: 20 }), granularity: 'element', every: 5,
 * });
 * await fit(model, train, { epochs: 2, callbacks: [callback] });
 */
export function gradualPruning(options: GradualPruningOptions): GradualPruning {
  return new GradualPruning(options);
}
