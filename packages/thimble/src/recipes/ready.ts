// Recipes that are ready.

import type { Recipe } from './recipe.ts';
import { checkSchema, type Schema } from './schema.ts';

/** Options of `recipes.deepCompression`. */
export interface DeepCompressionOptions {
  /** Share of all weights that is gone at most; default 0.97. */
  sparsity?: number;
  /** A round of pruning that costs more training accuracy than this is taken back, and is the last; default 0.015. */
  maxDrop?: number;
  /** Shared values of each kernel; default 16. */
  clusters?: number;
  /** Rounds of pruning, each with an epoch of training; default 4. */
  rounds?: number;
  /** Epochs after the last round, half as many after clustering; default 4. */
  epochs?: number;
}

/** Options of `recipes.lotteryTicket`. */
export interface LotteryTicketRecipeOptions {
  /** Share of the weights that is gone; default 0.8. */
  sparsity?: number;
  /** Default 5. */
  rounds?: number;
  /** Epochs of each training; default 3. */
  epochs?: number;
  /** Epoch that is gone back to; default 0. */
  rewind?: number;
}

/** Options of `recipes.mobile`. */
export interface MobileOptions {
  /** Share of the channels that is gone; default 0.5. */
  ratio?: number;
  /** Epochs of training after removing, and with rounding; default 3. */
  epochs?: number;
}

/** Options of `recipes.binary`. */
export interface BinaryOptions {
  /** Default 5. */
  epochs?: number;
}

/** Options of `recipes.anytime`. */
export interface AnytimeOptions {
  /** Parts of the channels that it can run with, 1 among them; default 0.25, 0.5, 0.75 and 1. [1]: exits alone. */
  widths?: readonly number[];
  /** Layers after which there is an exit; default two, at thirds of the work. */
  after?: readonly string[];
  /** Accuracy that leaving early may cost on the validation data, at each width; default 0.002. */
  accuracyDrop?: number;
  /** Epochs of all widths, and of the exits; default 2. */
  epochs?: number;
}

const positive: Schema = { type: 'integer', minimum: 1 };
const share: Schema = { type: 'number', minimum: 0, exclusiveMaximum: 1 };

function checked(owner: string, options: object, properties: Record<string, Schema>): void {
  const schema: Schema = { type: 'object', properties, additionalProperties: false };
  checkSchema(`recipes.${owner}`, '', options, schema);
}

/**
 * Prunes over all layers in rounds, as far as the network can bear, while the network as it was teaches, lets what is
 * left share a few values, and writes them with the smallest codes: Han, Mao, Dally, "Deep Compression", 2016, with a
 * teacher, and with LAMP to share out what is left.
 */
function deepCompression(options: DeepCompressionOptions = {}): Recipe {
  const own = { sparsity: share, maxDrop: share, rounds: positive, epochs: positive };
  checked('deepCompression', options, { ...own, clusters: { type: 'integer', minimum: 2 } });
  const { sparsity = 0.97, maxDrop = 0.015, clusters = 16, rounds = 4, epochs = 4 } = options;
  const tune = Math.max(1, Math.round(epochs / 2));
  const about = {
    criterion: 'lamp',
    scope: 'global',
    rounds,
    epochs: 1,
    fineTune: epochs - 1,
  } as const;
  return {
    name: 'deepCompression',
    steps: [
      { prune: { sparsity, maxDrop, ...about, teacher: true } },
      { cluster: { clusters, biasBits: 8, epochs: tune, learningRate: 0.0003, teacher: true } },
      { encode: {} },
    ],
  };
}

/** A sparse network trained from its own initial weights: Frankle, Carbin, "The Lottery Ticket Hypothesis", 2019. */
function lotteryTicket(options: LotteryTicketRecipeOptions = {}): Recipe {
  const own = { sparsity: share, rounds: positive, epochs: positive };
  checked('lotteryTicket', options, { ...own, rewind: { type: 'integer', minimum: 0 } });
  const { sparsity = 0.8, rounds = 5, epochs = 3, rewind = 0 } = options;
  return {
    name: 'lotteryTicket',
    steps: [{ lotteryTicket: { sparsity, rounds, epochs, rewind } }, { encode: {} }],
  };
}

/** Fewer channels, then weights and activations of 8 bits, trained with: what runs fast in integers. */
function mobile(options: MobileOptions = {}): Recipe {
  checked('mobile', options, { ratio: share, epochs: positive });
  const { ratio = 0.5, epochs = 3 } = options;
  return {
    name: 'mobile',
    steps: [
      { removeChannels: { ratio, epochs } },
      { quantize: { bits: 8, activations: 8, epochs, learningRate: 0.0003 } },
      { encode: {} },
    ],
  };
}

/** Signs with a scale per filter, but for the layer of the outputs; the network as it was teaches. */
function binary(options: BinaryOptions = {}): Recipe {
  checked('binary', options, { epochs: positive });
  const { epochs = 5 } = options;
  return { name: 'binary', steps: [{ binarize: { epochs, teacher: true } }, { encode: {} }] };
}

/**
 * One file for any hurry: several widths, early exits for easy examples at each of them, and weights of 8 bits. Read
 * it with `load`, set the width with `setWidth`, leave early with `predictEarly`.
 */
function anytime(options: AnytimeOptions = {}): Recipe {
  const after: Schema = { type: 'array', items: { type: 'string' }, minItems: 1 };
  const accuracyDrop: Schema = { type: 'number', minimum: 0, maximum: 1 };
  const widths: Schema = {
    type: 'array',
    items: { type: 'number', exclusiveMinimum: 0, maximum: 1 },
    minItems: 1,
  };
  checked('anytime', options, { widths, after, accuracyDrop, epochs: positive });
  const { widths: parts = [0.25, 0.5, 0.75, 1], ...exits } = options;
  const { epochs = 2 } = options;
  return {
    name: 'anytime',
    steps: [
      ...(parts.length > 1 ? [{ slimmable: { widths: parts, epochs } }] : []),
      { exits: { ...exits } },
      { quantize: { bits: 8 } },
      { encode: {} },
    ],
  };
}

/**
 * Recipes that are ready, as plain data: change them, write them down, or give them to `compress`.
 *
 * - `deepCompression`: pruned, shared weights, entropy codes: the smallest file
 * - `lotteryTicket`: a sparse network trained from its own initial weights
 * - `mobile`: fewer channels, 8-bit weights and activations
 * - `binary`: weights of one bit
 * - `anytime`: several widths and early exits in one
 *
 * @throws {OptionError} for unknown options, and values out of range.
 * @example
 * const recipe = recipes.deepCompression({ sparsity: 0.8, rounds: 1, epochs: 1 });
 * const { bytes, report } = await compress(model, { data: train, recipe });
 */
export const recipes: {
  readonly anytime: typeof anytime;
  readonly binary: typeof binary;
  readonly deepCompression: typeof deepCompression;
  readonly lotteryTicket: typeof lotteryTicket;
  readonly mobile: typeof mobile;
} = { anytime, binary, deepCompression, lotteryTicket, mobile };
