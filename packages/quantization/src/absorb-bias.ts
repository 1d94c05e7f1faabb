// High biases absorbed by the layers that read them: what is above 0 for nearly all inputs need not be in the
// range of the activations.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { foldReport, layerWeight, readValues, trace, walkLayers } from '@thimble/core';
import type { Cut, Side } from './channel-cuts.ts';
import type { ChannelWeights } from './channel-weights.ts';

/** Mean and deviation of each channel of what a layer answers: those that its batch normalisation gave it. */
export interface ChannelStatistics {
  mean: Float32Array;
  deviation: Float32Array;
}

/** The statistics of the layers of a folded model into which batch normalisation was folded, by name. */
export function normStatistics(
  model: LayersModel,
  folded: LayersModel,
): Map<string, ChannelStatistics> {
  const layers = new Map(walkLayers(model).map((layer) => [layer.name, layer]));
  const found = new Map<string, ChannelStatistics>();
  for (const { name, into } of foldReport(folded).folded) {
    const norm = layers.get(name)!;
    const read = (weight: string) => {
      const variable = layerWeight(norm, weight);
      return variable && readValues(() => variable.read());
    };
    const size = read('movingMean')!.length;
    const [gamma, beta] = [read('gamma'), read('beta')];
    found.set(into, {
      mean: beta ?? new Float32Array(size),
      deviation: gamma?.map(Math.abs) ?? new Float32Array(size).fill(1),
    });
  }
  return found;
}

/**
 * `c = max(0, mean - 3 deviation)` of each channel off the bias of the layer that makes it, and `sum of W c` onto
 * the biases of the layers that read it. The statistics are those from before the channels were scaled.
 * Gives c for every cut; undefined where nothing was absorbed.
 */
export function absorbBiases(
  model: LayersModel,
  cuts: readonly Cut[],
  scales: readonly Float64Array[],
  statistics: ReadonlyMap<string, ChannelStatistics>,
  weights: ChannelWeights,
): (Float32Array | undefined)[] {
  const { graph, layers } = trace(model);
  const ops = new Map(graph.nodes.map(({ layer, op }) => [layer, op]));
  const absorbs = ({ layer, weight }: Side) =>
    weights.has(layer, 'bias') && READERS[ops.get(layer) ?? ''] === weight;
  return cuts.map((cut, i) => {
    const [bias, ...others] = cut.biases;
    const from = bias && statistics.get(layers.get(bias.layer)!.name);
    const alone = cut.writers.every(({ layer }) => layer === bias?.layer) && others.length === 0;
    if (!from || !alone || !oneToOne(bias.channels, cut.size)) return undefined;
    if (!cut.readers.every(absorbs)) return undefined;
    const high = new Float32Array(cut.size);
    bias.channels.forEach((channel, j) => {
      const shift = (from.mean[j]! - 3 * from.deviation[j]!) / scales[i]![channel]!;
      high[channel] = Math.max(0, shift);
    });
    if (!high.some((c) => c > 0)) return undefined;
    const { values } = weights.whole(bias.layer, 'bias');
    bias.channels.forEach((channel, j) => {
      values[j]! -= high[channel]!;
    });
    for (const reader of cut.readers) addAnswers(reader, high, weights);
    return high;
  });
}

/** The kernels whose answers to a constant are the same at every place, padding apart. */
const READERS: Record<string, string> = {
  dense: 'kernel',
  conv1d: 'kernel',
  conv2d: 'kernel',
  depthwiseConv2d: 'depthwiseKernel',
};

function oneToOne(channels: Int32Array, size: number): boolean {
  return channels.length === size && new Set(channels).size === size && !channels.includes(-1);
}

/** Adds what a layer answers to inputs `high`, the same at every place, to its bias. */
function addAnswers(
  { layer, weight, axis, channels }: Side,
  high: Float32Array,
  weights: ChannelWeights,
): void {
  const { values, shape } = weights.whole(layer, weight);
  const bias = weights.whole(layer, 'bias').values;
  const outputs = shape.slice(axis + 1).reduce((n, size) => n * size, 1);
  values.forEach((value, i) => {
    const input = Math.floor(i / outputs) % shape[axis]!;
    const channel = channels[input]!;
    if (channel < 0) return;
    // A depthwise kernel has outputs of its own for every input.
    const output = (weight === 'depthwiseKernel' ? input * outputs : 0) + (i % outputs);
    bias[output]! += value * high[channel]!;
  });
}
