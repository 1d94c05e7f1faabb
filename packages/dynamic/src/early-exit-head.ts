// The classifier of an early exit.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { checkInteger, OptionError } from '@thimble/base';
import { type ApplyPart, CompositeLayer } from '@thimble/core';
import { slimmableDense } from './slimmable-layers.ts';
import type { Widths } from './slimmable-widths.ts';

/** What a head is made of. */
export interface ExitHeadOptions {
  /** Number of scores. */
  classes: number;
  /** Units of a hidden layer with ReLU; default none. */
  hidden?: number;
  /**
   * What becomes of images: 'flatten' (default) keeps every place, 'average' takes the mean over the places, which
   * needs far fewer weights and suits deep exits.
   */
  pooling?: 'flatten' | 'average';
  /** Default 'softmax'; 'linear' gives logits. */
  activation?: 'softmax' | 'linear';
}

/** Arguments of {@link earlyExitHead}: those of every layer, and its own. */
export type EarlyExitHeadArgs = ExitHeadOptions &
  NonNullable<Parameters<typeof tfl.layers.flatten>[0]>;

/** The layers of a head, the last one under the head's name; with `widths` its dense layers are slimmable. */
export function headLayers(
  name: string,
  options: ExitHeadOptions,
  rank: number,
  widths?: Widths,
): tfl.layers.Layer[] {
  const { classes, hidden, pooling = 'flatten', activation = 'softmax' } = options;
  checkInteger(`exit head "${name}"`, 'classes', classes, 1);
  if (hidden !== undefined) checkInteger(`exit head "${name}"`, 'hidden', hidden, 1);
  for (const [key, value, known] of [
    ['pooling', pooling, ['flatten', 'average']],
    ['activation', activation, ['softmax', 'linear']],
  ] as const) {
    if (!(known as readonly string[]).includes(value)) {
      throw new OptionError(
        `exit head "${name}": ${key} must be ${known.join(' or ')}, not "${value}".`,
      );
    }
  }
  const { flatten, globalAveragePooling1d, globalAveragePooling2d } = tfl.layers;
  const dense = (args: Parameters<typeof tfl.layers.dense>[0]) =>
    widths === undefined ? tfl.layers.dense(args) : slimmableDense({ ...args, widths });
  const layers: tfl.layers.Layer[] = [];
  const pool = { name: `${name}_pool` };
  if (rank > 2) {
    if (pooling === 'flatten') layers.push(flatten(pool));
    else layers.push(rank === 3 ? globalAveragePooling1d(pool) : globalAveragePooling2d(pool));
  }
  if (hidden !== undefined) {
    layers.push(dense({ name: `${name}_hidden`, units: hidden, activation: 'relu' }));
  }
  return [...layers, dense({ name, units: classes, activation })];
}

/**
 * The classifier at an early exit, as one layer: flatten or average, a hidden layer if asked for, scores.
 *
 * `y = softmax(W2 relu(W1 pool(x) + b1) + b2)`
 *
 * Inputs are [batch, features], [batch, steps, features] or images [batch, height, width, channels]; outputs
 * [batch, classes]. It is made of stock layers that masks, quantisation, summaries and lowering find inside.
 * {@link earlyExits} puts the same layers into a model one by one, so that plain TensorFlow.js can load it.
 *
 * Paper: Teerapittayanon, McDanel, Kung, "BranchyNet", 2016, section III.
 *
 * @throws {OptionError} for sizes that are not whole numbers above 0, and for an unknown pooling or activation.
 * @example
 * const head = earlyExitHead({ classes: 10, hidden: 32 });
 * head.apply(tf.zeros([2, 7, 7, 4])).shape; // [2, 10]
 */
export function earlyExitHead(args: EarlyExitHeadArgs): tfl.layers.Layer {
  return new ThimbleEarlyExitHead(args);
}

class ThimbleEarlyExitHead extends CompositeLayer {
  static className = 'ThimbleEarlyExitHead';
  readonly #options: ExitHeadOptions;

  constructor(args: EarlyExitHeadArgs) {
    const { classes, hidden, pooling, activation } = args;
    const given = Object.entries({ classes, hidden, pooling, activation });
    const options = Object.fromEntries(given.filter(([, value]) => value != null));
    super(args, options as tf.serialization.ConfigDict);
    this.#options = options as unknown as ExitHeadOptions;
    headLayers(this.name, this.#options, 2); // checks them
  }

  protected override prepare({ length }: tfl.Shape): void {
    for (const layer of headLayers(`${this.name}_scores`, this.#options, length)) {
      this.addPart(layer.name.slice(this.name.length + 1), () => layer);
    }
  }

  override connect<T>(input: T, apply: ApplyPart<T>): T {
    return this.parts.reduce((value, part) => apply(part, value), input);
  }
}
tf.serialization.registerClass(ThimbleEarlyExitHead as never);
