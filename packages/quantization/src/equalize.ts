// Cross-layer equalisation: channels scaled so that no layer has large and small ones side by side.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkInteger, checkOptions, NoMatchError, UnsupportedError } from '@thimble/base';
import { foldBatchNorm, trace } from '@thimble/core';
import { type Cut, channelCuts, type LeftChannels, type Side } from './channel-cuts.ts';

/** Options of {@link equalize}. */
export interface EqualizeOptions {
  /** Rounds over all pairs of layers at most; they end when no scale moves by a thousandth. Default 50. */
  rounds?: number;
}

/** What {@link equalize} did. */
export interface EqualizeReport {
  /** The scaled channels, by the layers whose outputs were divided and those whose inputs were multiplied. */
  pairs: { channels: string; from: string[]; to: string[]; scales: Float32Array }[];
  /** Channels that stayed as they were. */
  left: LeftChannels[];
}

/**
 * A plain model with the same outputs, up to rounding, that loses less when its layers are quantised with one
 * range each. Between two layers with nothing but ReLU and its like, channel i may be divided by any s_i > 0
 * behind the first and multiplied by it before the second:
 *
 * - `W1_i <- W1_i / s_i`, `b1_i <- b1_i / s_i`, `W2_i <- W2_i s_i` with `s_i = sqrt(r1_i r2_i) / r2_i`, where
 *   r is the largest magnitude of the channel's weights: afterwards both are `sqrt(r1_i r2_i)`
 *
 * All pairs in turn, until no scale moves. A depthwise kernel is the second of one pair and the first of the
 * next. Layers of which one reads several, or that are added up, share one scale per channel, with the
 * largest r of each side. Batch normalisation is folded first, transforms are baked. Channels without weights
 * on one side stay.
 *
 * Paper: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019,
 * section 4.1.
 *
 * @throws {NoMatchError} where no two layers can be equalised, with the reasons; {OptionError} for unknown
 *   options.
 * @example
 * const equalized = await equalize(model);
 * console.log(equalizeReport(equalized).pairs.length);
 */
export async function equalize(
  model: LayersModel,
  options: EqualizeOptions = {},
): Promise<LayersModel> {
  checkOptions(OWNER, options, ['rounds']);
  const { rounds = 50 } = options;
  checkInteger(OWNER, 'rounds', rounds, 1);
  const folded = await foldBatchNorm(model);
  try {
    equalizeInPlace(folded, rounds);
    return folded;
  } catch (error) {
    folded.dispose();
    throw error;
  }
}

const OWNER = 'equalize';

/** Which channels of a model made by {@link equalize} were scaled, and which not, with the reason. */
export function equalizeReport(equalized: LayersModel): EqualizeReport {
  const report = reports.get(equalized);
  if (report) return report;
  throw new UnsupportedError(`equalizeReport: model "${equalized.name}" was not made by equalize.`);
}

const reports = new WeakMap<LayersModel, EqualizeReport>();

function equalizeInPlace(model: LayersModel, rounds: number): void {
  const { cuts, left } = channelCuts(model);
  if (cuts.length === 0) {
    const reasons = left.map(({ name, reason }) => `${name}: ${reason}`).join('; ');
    throw new NoMatchError(
      `${OWNER}: model "${model.name}" has no two layers with only ReLU and its like between them. ${reasons}.`,
    );
  }
  const weights = new Weights(model);
  const scales = cuts.map(({ size }) => new Float64Array(size).fill(1));
  for (let round = 0; round < rounds; round++) {
    let moved = 0;
    cuts.forEach((cut, i) => {
      const step = stepOf(cut, weights);
      for (const side of [...cut.writers, ...cut.biases]) weights.scale(side, step, -1);
      for (const side of cut.readers) weights.scale(side, step, 1);
      step.forEach((s, channel) => {
        scales[i]![channel]! *= s;
        moved = Math.max(moved, Math.abs(Math.log(s)));
      });
    });
    if (moved < SETTLED) break;
  }
  weights.write();
  const layersOf = (sides: Side[]) => [...new Set(sides.map(({ layer }) => layer))];
  const pairs = cuts.map(({ name, writers, readers }, i) => ({
    channels: name,
    from: layersOf(writers),
    to: layersOf(readers),
    scales: Float32Array.from(scales[i]!),
  }));
  reports.set(model, { pairs, left });
}

/** When no logarithm of a scale moves by more, the scales are found. */
const SETTLED = 1e-3;

/** `s_i = sqrt(r1_i / r2_i)` for each channel; 1 where one of them is 0. */
function stepOf({ size, writers, readers }: Cut, weights: Weights): Float64Array {
  const [first, second] = [writers, readers].map((sides) => weights.ranges(sides, size));
  return first!.map((r1, i) => {
    const r2 = second![i]!;
    return r1 > 0 && r2 > 0 ? Math.sqrt(r1 / r2) : 1;
  });
}

interface Entry {
  variable: tf.Variable;
  values: Float64Array;
}

/** The weights of a model by path and name, in double precision until they are written back. */
class Weights {
  readonly #entries = new Map<string, Entry>();
  readonly #variables: ReturnType<typeof trace>['variables'];

  constructor(model: LayersModel) {
    this.#variables = trace(model).variables;
  }

  #entryOf({ layer, weight }: Side): Entry {
    const key = `${layer}/${weight}`;
    let entry = this.#entries.get(key);
    if (!entry) {
      const variable = this.#variables.get(key)!.read() as tf.Variable;
      entry = { variable, values: Float64Array.from(variable.dataSync()) };
      this.#entries.set(key, entry);
    }
    return entry;
  }

  /** Calls `visit` with every entry of a weight whose channel is one of the group. */
  #each(side: Side, visit: (values: Float64Array, i: number, channel: number) => void): void {
    const { variable, values } = this.#entryOf(side);
    const { axis, channels } = side;
    const inner = variable.shape.slice(axis + 1).reduce((n, size) => n * size, 1);
    const length = channels.length;
    for (let i = 0; i < values.length; i++) {
      const channel = channels[Math.floor(i / inner) % length]!;
      if (channel >= 0) visit(values, i, channel);
    }
  }

  /** The largest magnitude of each channel's weights. */
  ranges(sides: readonly Side[], size: number): Float64Array {
    const ranges = new Float64Array(size);
    for (const side of sides) {
      this.#each(side, (values, i, channel) => {
        const magnitude = Math.abs(values[i]!);
        if (magnitude > ranges[channel]!) ranges[channel] = magnitude;
      });
    }
    return ranges;
  }

  /** Multiplies every channel by its scale to the power of 1 or -1. */
  scale(side: Side, scales: Float64Array, power: 1 | -1): void {
    this.#each(side, (values, i, channel) => {
      if (power === 1) values[i]! *= scales[channel]!;
      else values[i]! /= scales[channel]!;
    });
  }

  write(): void {
    for (const { variable, values } of this.#entries.values()) {
      tf.tidy(() => variable.assign(tf.tensor(Float32Array.from(values), variable.shape)));
    }
  }
}
