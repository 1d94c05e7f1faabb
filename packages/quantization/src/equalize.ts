// Cross-layer equalisation: channels scaled so that no layer has large and small ones side by side.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkInteger, checkOptions, NoMatchError, UnsupportedError } from '@thimble/base';
import { foldBatchNorm } from '@thimble/core';
import { absorbBiases, type ChannelStatistics, normStatistics } from './absorb-bias.ts';
import { type Cut, channelCuts, type LeftChannels, type Side } from './channel-cuts.ts';
import { ChannelWeights } from './channel-weights.ts';
import { checkModel } from './targets.ts';

/** Options of {@link equalize}. */
export interface EqualizeOptions {
  /** Rounds over all pairs of layers at most; they end when no scale moves by a thousandth. Default 50. */
  rounds?: number;
  /** Whether high biases go into the layers that read them: see {@link equalize}. Default false. */
  absorbBiases?: boolean;
}

/** Channels that were scaled, with the layers whose outputs were divided and whose inputs were multiplied. */
export interface EqualizedPair {
  channels: string;
  from: string[];
  to: string[];
  scales: Float32Array;
  /** What was taken off each bias of `from`; absent where nothing was. */
  absorbed?: Float32Array;
}

/** What {@link equalize} did. */
export interface EqualizeReport {
  pairs: EqualizedPair[];
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
 * largest r of each side. Batch normalisation is folded first, transforms are baked. Channels whose weights are
 * nothing, or nearly so, on one side stay.
 *
 * With `absorbBiases`, activations that equalisation has made large get smaller ranges: where batch
 * normalisation was folded into the first layer, its answers have the mean b and the deviation g (beta and
 * |gamma|, divided by s), and nearly all of them are above `c = max(0, b - 3 g)`, where ReLU changes nothing:
 *
 * - `b1 <- b1 - c`, `b2 <- b2 + sum of W2 c`
 *
 * The outputs are then those of before but for answers below c, and at rims with zero padding. Dense,
 * convolutional and depthwise layers with a bias absorb, behind a layer that alone makes their channels.
 *
 * Paper: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019,
 * sections 4.1.1 to 4.1.3.
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
  checkModel(OWNER, model);
  checkOptions(OWNER, options, ['rounds', 'absorbBiases']);
  const { rounds = 50, absorbBiases = false } = options;
  checkInteger(OWNER, 'rounds', rounds, 1);
  const folded = await foldBatchNorm(model);
  try {
    equalizeInPlace(folded, rounds, absorbBiases ? normStatistics(model, folded) : undefined);
    return folded;
  } catch (error) {
    folded.dispose();
    throw error;
  }
}

const OWNER = 'equalize';

/** Which channels of a model made by {@link equalize} were scaled, and which not, with the reason. */
export function equalizeReport(equalized: LayersModel): EqualizeReport {
  checkModel('equalizeReport', equalized);
  const report = reports.get(equalized);
  if (report) return report;
  throw new UnsupportedError(`equalizeReport: model "${equalized.name}" was not made by equalize.`);
}

const reports = new WeakMap<LayersModel, EqualizeReport>();

function equalizeInPlace(
  model: LayersModel,
  rounds: number,
  statistics: ReadonlyMap<string, ChannelStatistics> | undefined,
): void {
  const { cuts, left } = channelCuts(model);
  if (cuts.length === 0) {
    const reasons = left.map(({ name, reason }) => `${name}: ${reason}`).join('; ');
    throw new NoMatchError(
      `${OWNER}: model "${model.name}" has no two layers with only ReLU and its like between them. ${reasons}.`,
    );
  }
  const weights = new ChannelWeights(model);
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
  const absorbed = statistics && absorbBiases(model, cuts, scales, statistics, weights);
  weights.write();
  const layersOf = (sides: Side[]) => [...new Set(sides.map(({ layer }) => layer))];
  const pairs = cuts.map(({ name, writers, readers }, i) => ({
    channels: name,
    from: layersOf(writers),
    to: layersOf(readers),
    scales: Float32Array.from(scales[i]!),
    ...(absorbed?.[i] ? { absorbed: absorbed[i] } : {}),
  }));
  reports.set(model, { pairs, left });
}

/** When no logarithm of a scale moves by more, the scales are found. */
const SETTLED = 1e-3;

/**
 * `s_i = sqrt(r1_i / r2_i)` for each channel; 1 where one of them is dead: below `DEAD` of the largest range on
 * its side.
 */
function stepOf({ size, writers, readers }: Cut, weights: ChannelWeights): Float64Array {
  const [first, second] = [writers, readers].map((sides) => weights.ranges(sides, size));
  const [least1, least2] = [first!, second!].map((ranges) => DEAD * Math.max(...ranges));
  return first!.map((r1, i) => {
    const r2 = second![i]!;
    return r1 > least1! && r2 > least2! ? Math.sqrt(r1 / r2) : 1;
  });
}

/** Weights that training has brought to nearly nothing; to scale them up would only blow up biases. */
const DEAD = 2 ** -12;
