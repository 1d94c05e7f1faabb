// Fewer and fewer bits while a network trains.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkInteger, checkOptions, OptionError } from '@thimble/base';
import {
  type LayerTargets,
  type Logs,
  parametrize,
  registerTransform,
  ThimbleCallback,
  type WeightTransform,
} from '@thimble/core';
import { type FakeQuantOptions, fakeQuant } from './fake-quant.ts';
import { weightGrid } from './shared-values.ts';
import { chainsAt, checkNotRounded, kernelSites } from './targets.ts';

/** Options of {@link gradualBits}. */
export interface GradualBitsOptions {
  /** From which epoch on how many bits, 2 to 16; epochs rising from 0. Before that 32: no rounding. */
  stages: readonly { epoch: number; bits: number }[];
  /**
   * Fake quantisation besides its bits; default symmetric, narrow and per channel, but for kernels with one
   * codebook, which get one step.
   */
  quantizer?: Omit<FakeQuantOptions, 'bits'>;
  /** The layers; default all with a kernel. */
  targets?: LayerTargets;
}

const OWNER = 'gradualBits';
const CLASS_NAME = 'ThimbleGradualBits';
/** Bits of a weight that is not quantised. */
const FLOAT = 32;

interface State {
  bits: tf.Variable;
  /** The state of fake quantisation, which does not depend on the bits. */
  inner: ReturnType<ReturnType<typeof fakeQuant>['build']>;
}

/** Fake quantisation whose bits are a weight that is not trained. */
function varying(quantizer: Omit<FakeQuantOptions, 'bits'>): WeightTransform<State> {
  const now = ({ bits }: State) => {
    const value = bits.dataSync()[0]!;
    return value === FLOAT ? undefined : fakeQuant({ ...quantizer, bits: value });
  };
  return {
    getClassName: () => CLASS_NAME,
    getConfig: () => ({ ...quantizer }),
    build: (site) => ({
      bits: site.addWeight('bits', [1], FLOAT, false),
      inner: fakeQuant({ ...quantizer, bits: 8 }).build(site),
    }),
    apply: (weight, state, context) => now(state)?.apply(weight, state.inner, context) ?? weight,
    bake: (weight, state) => now(state)?.bake(weight, state.inner) ?? weight,
    encoding: (weight, state) => now(state)?.encoding(weight, state.inner) ?? {},
  };
}
registerTransform(CLASS_NAME, (config) => varying(config as Omit<FakeQuantOptions, 'bits'>));

/** The callback that {@link gradualBits} makes. */
export class GradualBits extends ThimbleCallback {
  readonly #options: GradualBitsOptions;
  #bits: tf.Variable[] = [];
  #epoch = 0;

  constructor(options: GradualBitsOptions) {
    super();
    checkOptions(OWNER, options, ['stages', 'quantizer', 'targets']);
    const { stages, quantizer } = options;
    if (!Array.isArray(stages) || stages.length === 0) {
      throw new OptionError(`${OWNER}: stages must be a list, as [{ epoch: 0, bits: 8 }].`);
    }
    stages.forEach(({ epoch, bits }, i) => {
      checkInteger(OWNER, 'epoch', epoch, i === 0 ? 0 : stages[i - 1].epoch + 1);
      fakeQuant({ ...quantizer, bits });
    });
    this.#options = options;
  }

  /** Puts fake quantisation into the chains, before a checkpoint is read. */
  override setModel(model: LayersModel): void {
    super.setModel(model);
    const { quantizer, targets } = this.#options;
    const sites = kernelSites(OWNER, model, targets);
    const linksOf = () =>
      chainsAt(model, sites).flatMap(({ layer, weight, links }) => {
        const link = links.find(({ transform }) => transform.getClassName() === CLASS_NAME);
        return link ? [{ layer, weight, state: link.state as State }] : [];
      });
    if (linksOf().length === 0) {
      checkNotRounded(OWNER, chainsAt(model, sites));
      for (const { layer, weights } of sites) {
        const transform = varying(quantizer ?? weightGrid(layer));
        parametrize(layer, Object.fromEntries(weights.map((name) => [name, [transform]])));
      }
    }
    this.#bits = linksOf().map(({ state }) => state.bits);
    this.#epoch = 0;
  }

  override async onEpochBegin(epoch: number): Promise<void> {
    this.#epoch = epoch;
  }

  override async onBatchBegin(): Promise<void> {
    const bits = this.#due();
    for (const variable of this.#bits) {
      if (variable.dataSync()[0] !== bits) tf.tidy(() => variable.assign(tf.tensor1d([bits])));
    }
  }

  /** Puts the bits into the history. */
  override async onEpochEnd(_epoch: number, logs?: Logs): Promise<void> {
    if (logs) logs.bits = this.#due();
  }

  #due(): number {
    return this.#options.stages.findLast(({ epoch }) => epoch <= this.#epoch)?.bits ?? FLOAT;
  }
}

/**
 * A callback that trains with fewer and fewer bits: from every stage's epoch on the kernels are seen through
 * {@link fakeQuant} with its bits, so that each stage begins where the one before has adapted. Training ends
 * with the bits of the last stage that it reached; they are saved with the model, and `summarize` counts them.
 * Works in `fit` and in tfjs's own `model.fit`; `bits` is in the history.
 *
 * Paper: Zhuang, Shen, Tan, Liu, Reid, "Towards Effective Low-bitwidth Convolutional Neural Networks", 2018,
 * progressive quantisation.
 *
 * @throws {OptionError} for stages that are empty or not in order, and for bits out of range; when training begins,
 *   for a kernel that is quantised already.
 * @example
 * const stages = [{ epoch: 0, bits: 8 }, { epoch: 1, bits: 4 }];
 * await fit(model, train, { epochs: 2, callbacks: [gradualBits({ stages })] });
 */
export function gradualBits(options: GradualBitsOptions): GradualBits {
  return new GradualBits(options);
}
