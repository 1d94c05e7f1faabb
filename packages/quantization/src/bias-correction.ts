// Bias correction: what quantising a kernel adds to the answers of its layer on average is taken off its bias.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel, layers } from '@tensorflow/tfjs-layers';
import { checkOptions, NoMatchError, startProgress } from '@thimble/base';
import { eachInTurn } from './in-turn.ts';
import {
  checkReference,
  eachAnswer,
  linearPairs,
  REFERENCE_OPTIONS,
  type ReferenceOptions,
} from './layer-pairs.ts';

/** What {@link correctBias} did. */
export interface BiasCorrection {
  /** The layers with a new bias, and how far it is from the original's on average over its channels. */
  corrected: { layer: string; moved: number }[];
  /** Dense layers and convolutions without a bias. */
  left: string[];
}

/**
 * Corrects the biases of a quantised model, in place, layer by layer in the order of computation:
 *
 * - `b' <- b + E[W x] - E[W' x']`
 *
 * b is the original's bias, W x are the answers in full precision, W' x' those of the quantised layer to what the
 * quantised and already corrected layers before it give, rounded where the layer rounds what it gets; without bias
 * and activation. The means are over examples and positions, per channel. Dense layers and convolutions with a
 * bias are corrected; labels are not looked at. To correct twice is to correct once, by what is rounded then.
 *
 * Each layer computes once or twice for every example, however deep the model is; what goes from the corrected
 * layers to the others is held in memory for all examples.
 *
 * Paper: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019,
 * section 4.2 and appendix D (empirical bias correction).
 *
 * @throws {UnsupportedError} when the two models have not the same layers; {NoMatchError} when no layer has a
 *   bias; {DataError}, {ShapeError} for data that does not fit.
 * @example
 * const q = await quantize(model, { bits: 4 });
 * await correctBias(q, { original: model, calibration: train, examples: 200 });
 */
export async function correctBias(
  model: LayersModel,
  options: ReferenceOptions,
): Promise<BiasCorrection> {
  checkOptions(OWNER, options, REFERENCE_OPTIONS);
  checkReference(OWNER, options);
  const all = linearPairs(OWNER, model, options.original);
  const pairs = all.filter(({ quantized }) => biasOf(quantized));
  if (pairs.length === 0) {
    throw new NoMatchError(`${OWNER}: no dense layer or convolution of the model has a bias.`);
  }
  const before = pairs.map(({ quantized }) => tf.clone(biasOf(quantized)!));
  const corrected: BiasCorrection['corrected'] = [];
  const progress = startProgress(options.progress ?? true, 'correcting biases', pairs.length);
  try {
    const wanted = pairs.map(({ original }) => new ChannelMeans(original));
    const found = pairs.map(({ quantized }) => new ChannelMeans(quantized));
    const originals = pairs.map(({ original }) => original);
    await eachAnswer(options.original, originals, options, (i, answer) => wanted[i]!.add(answer));
    const correct = (i: number) => {
      const { name, original, quantized } = pairs[i]!;
      const means = found[i]!.means();
      const shift = wanted[i]!.means().map((mean, channel) => mean - means[channel]!);
      tf.tidy(() => {
        const moved = tf.add(biasOf(original)!, tf.tensor1d(Float32Array.from(shift)));
        biasOf(quantized)!.assign(moved);
      });
      corrected.push({
        layer: name,
        moved: shift.reduce((sum, by) => sum + Math.abs(by), 0) / shift.length,
      });
      progress.update(i + 1);
    };
    const layers = pairs.map(({ quantized }) => quantized);
    await eachInTurn(model, layers, options, (i, answer) => found[i]!.add(answer), correct);
  } catch (error) {
    pairs.forEach(({ quantized }, i) => {
      biasOf(quantized)!.assign(before[i]!);
    });
    throw error;
  } finally {
    tf.dispose(before);
    progress.stop();
  }
  const left = all.filter((pair) => !pairs.includes(pair)).map(({ name }) => name);
  return { corrected, left };
}

const OWNER = 'correctBias';

/** The bias of a layer as it is stored. */
function biasOf(layer: layers.Layer): tf.Variable | undefined {
  const { bias } = layer as unknown as { bias?: { read(): tf.Variable } | null };
  return bias?.read();
}

/** The mean answer of each channel of a layer. */
class ChannelMeans {
  readonly #channelsFirst: boolean;
  #sums = new Float64Array(0);
  #rows = 0;

  constructor(layer: layers.Layer) {
    this.#channelsFirst = (layer as { dataFormat?: string }).dataFormat === 'channelsFirst';
  }

  add(answer: tf.Tensor): void {
    const channels = this.#channelsFirst ? 1 : answer.rank - 1;
    const over = answer.shape.map((_, axis) => axis).filter((axis) => axis !== channels);
    const total = tf.sum(answer, over).dataSync();
    if (this.#rows === 0) this.#sums = new Float64Array(total.length);
    total.forEach((sum, channel) => {
      this.#sums[channel]! += sum;
    });
    this.#rows += answer.size / total.length;
  }

  means(): Float64Array {
    return this.#sums.map((sum) => sum / this.#rows);
  }
}
