// Bop: an optimizer for binary weights that have no real ones behind them.
import * as tf from '@tensorflow/tfjs-core';
import { checkOptions, checkRange, NoMatchError, UnsupportedError } from '@thimble/base';
import { isBinary } from './latent.ts';

/** Options of {@link bop}. */
export interface BopOptions {
  /** How fast the average of the gradients follows, from 0 to 1; default 1e-4. */
  gamma?: number;
  /** The average must exceed this for a weight to flip, 0 or more; default 1e-8. */
  threshold?: number;
  /** Learning rate of Adam, which trains all other weights; default 0.01. */
  learningRate?: number;
}

interface Slot {
  originalName: string;
  variable: tf.Variable;
}
type Slots = (Slot | undefined)[];
type Gradients = { name: string; tensor: tf.Tensor }[] | tf.NamedTensorMap;

/** Where tfjs's Adam keeps what it knows of the weights. */
const ADAM_SLOTS = ['accumulatedFirstMoment', 'accumulatedSecondMoment'];

const DEFAULTS = { gamma: 1e-4, threshold: 1e-8, learningRate: 0.01 };

/**
 * The Binary Optimizer: flips a binary weight when the average of its gradients says so for long enough.
 *
 * - `m <- (1 - gamma) m + gamma g`
 * - `w <- -sign(w)` where `m sign(w) > threshold`, else `sign(w)`
 *
 * Binary weights are those that `binaryConnect`, `binaryWeights`, `thresholdWeights` or an xnor layer
 * sees (not centred ones, which need their real values: give xnor layers `centre: false`); after the first
 * step they are -1 and +1 exactly. All others (biases, batch normalization, real layers)
 * are trained by Adam with `learningRate`, which is what `fit`'s option of that name sets. Serves `fit`,
 * whose checkpoints keep m, and `model.compile`. The paper lowers gamma in training: set `gamma` of the
 * optimizer in a callback.
 *
 * Paper: Helwegen et al., "Latent Weights Do Not Exist: Rethinking Binarized Neural Network Optimization",
 * 2019, section 4; gamma and threshold as in its experiments on CIFAR-10.
 *
 * @throws {OptionError} for a value outside its range.
 * @throws {NoMatchError} at the first step, when none of the trained weights is binary.
 * @example
 * const net = tfl.sequential({ layers: [binaryDense({ units: 10, inputShape: [784] })] });
 * net.compile({ optimizer: bop({ gamma: 1e-3, threshold: 1e-6 }), loss: 'meanSquaredError' });
 */
export function bop(options: BopOptions = {}): ThimbleBop {
  checkOptions('bop', options, Object.keys(DEFAULTS));
  const { gamma, threshold, learningRate } = { ...DEFAULTS, ...options };
  checkRange('bop', 'gamma', gamma, 0, 1);
  checkRange('bop', 'threshold', threshold, 0);
  checkRange('bop', 'learningRate', learningRate, 0);
  return new ThimbleBop(learningRate, gamma, threshold);
}

/** The optimizer that {@link bop} makes. Its numbers may be changed between steps. */
export class ThimbleBop extends tf.AdamOptimizer {
  static override get className(): string {
    return 'ThimbleBop';
  }

  gamma: number;
  threshold: number;
  /** m of every binary weight, at its place among all gradients. */
  accumulatedAverages: Slots = [];

  constructor(learningRate: number, gamma: number, threshold: number) {
    super(learningRate, 0.9, 0.999);
    this.gamma = gamma;
    this.threshold = threshold;
  }

  override applyGradients(gradients: Gradients): void {
    const pairs = Array.isArray(gradients)
      ? gradients
      : Object.entries(gradients).map(([name, tensor]) => ({ name, tensor }));
    const variables = pairs.map(({ name }) => tf.engine().registeredVariables[name]!);
    const binary = variables.map(isBinary);
    if (!binary.includes(true)) {
      throw new NoMatchError(
        'bop: none of the trained weights is binary. Use binaryDense, binaryConv2d, binarized(layer), or xnor ' +
          'layers with centre: false; for a network without binary weights take another optimizer.',
      );
    }
    tf.tidy(() => {
      for (const [i, variable] of variables.entries()) {
        const gradient = pairs[i]!.tensor;
        if (binary[i] && gradient) this.#flip(variable, gradient, i);
      }
    });
    this.#train(pairs, binary);
  }

  #flip(variable: tf.Variable, gradient: tf.Tensor, place: number): void {
    this.accumulatedAverages[place] ??= {
      originalName: `${variable.name}/average`,
      variable: tf.tidy(() => tf.variable(tf.zerosLike(variable), false)),
    };
    const { variable: average } = this.accumulatedAverages[place];
    const next = tf.add(average, tf.mul(tf.sub(gradient, average), this.gamma));
    average.assign(next);
    const signs = tf.sub(tf.mul(tf.cast(tf.greaterEqual(variable, 0), 'float32'), 2), 1);
    const flips = tf.cast(tf.greater(tf.mul(next, signs), this.threshold), 'float32');
    variable.assign(tf.mul(signs, tf.sub(1, tf.mul(flips, 2))));
  }

  /** Adam's step for the others. Its slots lie at the places of all gradients, as those of every optimizer. */
  #train(pairs: { name: string; tensor: tf.Tensor }[], binary: boolean[]): void {
    const own = this as unknown as Record<string, Slots>;
    const places = pairs.flatMap((_, i) => (binary[i] ? [] : [i]));
    const spread = ADAM_SLOTS.map((list) => own[list]!);
    for (const [i, list] of ADAM_SLOTS.entries()) {
      // Adam looks for a slot at each place, and makes those that are not there.
      own[list] = [];
      places.forEach((place, at) => {
        const slot = spread[i]![place];
        if (slot) own[list]![at] = slot;
      });
    }
    super.applyGradients(places.map((place) => pairs[place]!));
    for (const [i, list] of ADAM_SLOTS.entries()) {
      const compact = own[list]!;
      const all: Slots = pairs.map(() => undefined);
      places.forEach((place, at) => {
        all[place] = compact[at];
      });
      spread[i]!.length = 0;
      spread[i]!.push(...all);
      own[list] = spread[i]!;
    }
  }

  override dispose(): void {
    const own = this as unknown as Record<string, Slots>;
    for (const list of ADAM_SLOTS) own[list] = own[list]!.filter((slot) => slot !== undefined);
    super.dispose();
    for (const slot of this.accumulatedAverages) slot?.variable.dispose();
    this.accumulatedAverages = [];
  }

  override getWeights(): Promise<never> {
    throw new UnsupportedError(
      "bop: TensorFlow.js saves an optimizer's state by position, which does not fit. Save the model without " +
        "its optimizer; the checkpoints of Thimble's fit keep all of the state.",
    );
  }

  override getConfig(): tf.serialization.ConfigDict {
    const { learningRate, gamma, threshold } = this;
    return { learningRate, gamma, threshold };
  }

  static override fromConfig<T extends tf.serialization.Serializable>(
    _class: tf.serialization.SerializableConstructor<T>,
    config: tf.serialization.ConfigDict,
  ): T {
    return bop(config as BopOptions) as unknown as T;
  }
}
tf.serialization.registerClass(ThimbleBop);
