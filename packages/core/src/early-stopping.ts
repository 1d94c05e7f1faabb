// Stops a run that no longer gets better, and brings its best weights back.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkInteger, checkOptions, checkRange, NoMatchError, OptionError } from '@thimble/base';
import type { StateValue } from './training.ts';
import { readWeights, type WeightValues, writeWeights } from './weight-values.ts';

/** When to stop early. */
export interface EarlyStoppingOptions {
  /** What to watch; default 'val_loss', without validation data 'loss'. */
  monitor?: string;
  /** Training stops after so many epochs in a row without improvement; default 1. */
  patience?: number;
  /** A change that is not above it is no improvement; default 0. */
  minDelta?: number;
  /** Whether less or more is better; 'auto' (default): more for accuracies, else less. */
  mode?: 'auto' | 'min' | 'max';
  /** Puts the weights of the best epoch back when training ends, for whatever reason; default true. */
  restoreBest?: boolean;
}

/** Watches one value over the epochs of a run. */
export class EarlyStopping {
  readonly monitor: string;
  readonly #patience: number;
  readonly #minDelta: number;
  readonly #sign: 1 | -1;
  readonly #restoreBest: boolean;
  #best = Number.NaN;
  #bestEpoch = -1;
  #bestWeights: WeightValues | undefined;
  #waited = 0;

  constructor(options: EarlyStoppingOptions, validates: boolean) {
    checkOptions('fit: earlyStopping', options, [
      'monitor',
      'patience',
      'minDelta',
      'mode',
      'restoreBest',
    ]);
    const { patience = 1, minDelta = 0, mode = 'auto', restoreBest = true } = options;
    this.monitor = options.monitor ?? (validates ? 'val_loss' : 'loss');
    checkInteger('fit: earlyStopping', 'patience', patience, 0);
    checkRange('fit: earlyStopping', 'minDelta', minDelta, 0);
    if (!['auto', 'min', 'max'].includes(mode)) {
      throw new OptionError(`fit: earlyStopping: mode must be auto, min or max, not "${mode}".`);
    }
    this.#patience = patience;
    this.#minDelta = minDelta;
    this.#sign = mode === 'max' || (mode === 'auto' && /acc/i.test(this.monitor)) ? -1 : 1;
    this.#restoreBest = restoreBest;
  }

  /** The epoch with the best value, from 0. */
  get bestEpoch(): number {
    return this.#bestEpoch;
  }

  /** Throws when the epoch's logs will not have the watched value. */
  check(keys: string[]): void {
    if (keys.includes(this.monitor)) return;
    throw new NoMatchError(
      `fit: earlyStopping watches "${this.monitor}", which is not reported. Reported: ${keys.join(', ')}.`,
    );
  }

  /** Takes an epoch's logs; true when training is to stop. */
  async epochEnds(
    model: LayersModel,
    epoch: number,
    logs: Record<string, number>,
  ): Promise<boolean> {
    const value = logs[this.monitor]!;
    const gain = this.#sign * (this.#best - value);
    if (Number.isNaN(this.#best) || gain > this.#minDelta) {
      this.#best = value;
      this.#bestEpoch = epoch;
      this.#waited = 0;
      if (this.#restoreBest) this.#bestWeights = await readWeights(model);
      return false;
    }
    this.#waited++;
    return this.#waited >= this.#patience;
  }

  /** Puts the best weights back, if asked for. */
  finish(model: LayersModel): void {
    if (this.#bestWeights) writeWeights(model, this.#bestWeights);
  }

  state(): StateValue {
    return {
      best: this.#best,
      bestEpoch: this.#bestEpoch,
      waited: this.#waited,
      bestWeights: (this.#bestWeights ?? null) as StateValue,
    };
  }

  restore(state: StateValue): void {
    const saved = state as ReturnType<EarlyStopping['state']> & Record<string, never>;
    this.#best = saved.best;
    this.#bestEpoch = saved.bestEpoch;
    this.#waited = saved.waited;
    this.#bestWeights = saved.bestWeights ?? undefined;
  }
}
