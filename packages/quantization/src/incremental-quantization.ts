// INQ: part of the weights become powers of two, the others make up for it; until none is left.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkInteger, checkOptions, checkRange, OptionError, Random } from '@thimble/base';
import {
  type LayerTargets,
  type Logs,
  parametrize,
  type StateValue,
  ThimbleCallback,
} from '@thimble/core';
import { fixPortion, type PowersOfTwoState, powersOfTwo, powersOfTwoOf } from './powers-of-two.ts';
import { chainsAt, checkFinite, checkNotRounded, kernelSites, kernelValues } from './targets.ts';

/** Options of {@link incrementalQuantization}. */
export interface IncrementalQuantizationOptions {
  /** Bits of a weight, 2 to 8; default 5. */
  bits?: number;
  /** Portions of each kernel that are fixed, rising, up to 1; default 0.5, 0.75, 0.875, 1 as in the paper. */
  portions?: readonly number[];
  /** Epochs of training after a portion, before the next one; default 1. */
  epochsPerPortion?: number;
  /** What is fixed first: the largest weights (default), or weights drawn by `seed`. */
  partition?: 'magnitude' | 'random';
  /** Seed of a random partition; default 0. */
  seed?: number | string;
  /** The layers; default all with a kernel. */
  targets?: LayerTargets;
}

const OWNER = 'incrementalQuantization';
const PORTIONS = [0.5, 0.75, 0.875, 1];
type Fixable = { bits: number; state: PowersOfTwoState };

/** The callback that {@link incrementalQuantization} makes. */
export class IncrementalQuantization extends ThimbleCallback {
  readonly #options: IncrementalQuantizationOptions;
  readonly #bits: number;
  readonly #portions: readonly number[];
  readonly #epochs: number;
  #weights: Fixable[] = [];
  #epoch = 0;
  /** How many of the portions are fixed. */
  #done = 0;

  constructor(options: IncrementalQuantizationOptions) {
    super();
    checkOptions(OWNER, options, [
      'bits',
      'portions',
      'epochsPerPortion',
      'partition',
      'seed',
      'targets',
    ]);
    const { bits = 5, portions = PORTIONS, epochsPerPortion = 1 } = options;
    const { partition = 'magnitude' } = options;
    checkInteger(OWNER, 'bits', bits, 2, 8);
    checkInteger(OWNER, 'epochsPerPortion', epochsPerPortion, 1);
    portions.forEach((portion, i) => {
      checkRange(OWNER, 'portions', portion, portions[i - 1] ?? 0, 1);
    });
    if (portions.at(-1) !== 1) {
      throw new OptionError(
        `${OWNER}: portions must end with 1, so that all weights are quantised.`,
      );
    }
    if (partition !== 'magnitude' && partition !== 'random') {
      throw new OptionError(`${OWNER}: partition must be magnitude or random, not "${partition}".`);
    }
    this.#options = options;
    this.#bits = bits;
    this.#portions = portions;
    this.#epochs = epochsPerPortion;
  }

  /** Puts the transforms into the chains, before a checkpoint is read. */
  override setModel(model: LayersModel): void {
    super.setModel(model);
    const bits = this.#bits;
    const sites = kernelSites(OWNER, model, this.#options.targets);
    for (const weight of chainsAt(model, sites)) {
      const own = powersOfTwoOf(weight);
      if (!own || own.bits === bits) continue;
      throw new OptionError(
        `${OWNER}: "${weight.weight}" of layer "${weight.layer.name}" has powers of two with ${own.bits} bits ` +
          `already, not ${bits}.`,
      );
    }
    checkNotRounded(
      OWNER,
      chainsAt(model, sites).filter((weight) => !powersOfTwoOf(weight)),
    );
    for (const { values, ...place } of kernelValues(sites)) checkFinite(OWNER, place, values);
    for (const { layer, weights } of sites) {
      const here = chainsAt(model, [{ layer, weights }]);
      const bare = weights.filter(
        (name) => !here.some((each) => each.weight === name && powersOfTwoOf(each)),
      );
      if (bare.length === 0) continue;
      parametrize(layer, Object.fromEntries(bare.map((name) => [name, [powersOfTwo({ bits })]])));
    }
    this.#weights = chainsAt(model, sites).flatMap((weight) => powersOfTwoOf(weight) ?? []);
    [this.#epoch, this.#done] = [0, 0];
  }

  override async onEpochBegin(epoch: number): Promise<void> {
    this.#epoch = epoch;
  }

  override async onBatchBegin(): Promise<void> {
    this.#fixUpTo(Math.floor(this.#epoch / this.#epochs) + 1);
  }

  /** Training may end before all portions had their turn. */
  override async onTrainEnd(): Promise<void> {
    this.#fixUpTo(this.#portions.length);
  }

  #fixUpTo(due: number): void {
    for (; this.#done < Math.min(due, this.#portions.length); this.#done++) {
      const portion = this.#portions[this.#done]!;
      this.#weights.forEach((weight, i) => {
        fixPortion(weight, portion, this.#rank(weight, i));
      });
    }
  }

  #rank({ state }: Fixable, place: number): Float32Array | undefined {
    const { partition, seed = 0 } = this.#options;
    if (partition !== 'random') return undefined;
    const random = new Random(seed, OWNER, place);
    return Float32Array.from({ length: state.free.size }, () => random.uniform());
  }

  /** Puts the share of the entries that are fixed into the history, as `quantized`. */
  override async onEpochEnd(_epoch: number, logs?: Logs): Promise<void> {
    if (!logs) return;
    let [free, all] = [0, 0];
    for (const { state } of this.#weights) {
      for (const each of state.free.dataSync()) free += each;
      all += state.free.size;
    }
    logs.quantized = 1 - free / all;
  }

  override state(): StateValue {
    return { done: this.#done };
  }

  override restore(state: StateValue): void {
    this.#done = (state as { done: number }).done;
  }
}

/**
 * A callback that turns a trained network into one of powers of two and zeros, little by little
 * (Incremental Network Quantization). Before epoch 0, `epochsPerPortion`, twice that, ... the next portion
 * of every kernel is fixed at its nearest powers of two ({@link powersOfTwo}); the rest of the weights,
 * biases and all else train on and make up for it. When training ends all kernels are quantised, also where
 * it ends early; with the default portions give it `3 * epochsPerPortion` epochs, and more for what is
 * trained besides kernels.
 *
 * What masks hide is fixed at 0, and portions are counted without it. The exponents are found before the
 * first step and stay. The paper begins every portion with the full learning rate: `schedules.restart`.
 * Works in `fit` and in tfjs's own `model.fit`; `quantized`, the share of entries that are fixed, is in the
 * history, and what a checkpoint needs is in it.
 *
 * Paper: Zhou, Yao, Guo, Xu, Chen, "Incremental Network Quantization: Towards Lossless CNNs with
 * Low-Precision Weights", 2017.
 *
 * @throws {OptionError} for unknown or impossible options; when training begins, for a kernel that is quantised
 *   already; {NonFiniteError} for one with NaN or infinities; {NoMatchError} for a target that matches no layer.
 * @example
 * await fit(model, train, { epochs: 3, callbacks: [incrementalQuantization({ bits: 5 })] });
 * summarize(model).print(); // 5 bits a weight
 */
export function incrementalQuantization(
  options: IncrementalQuantizationOptions = {},
): IncrementalQuantization {
  return new IncrementalQuantization(options);
}
