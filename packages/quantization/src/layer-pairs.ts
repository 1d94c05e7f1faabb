// The layers of a quantised model beside those of the model in full precision that it was made from.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel, layers } from '@tensorflow/tfjs-layers';
import { checkInteger, UnsupportedError } from '@thimble/base';
import { type FitData, isLinear, linearPart, type PassOptions, probe, trace } from '@thimble/core';
import { roundedInput } from './quantized-call.ts';
import { checkModel } from './targets.ts';

/** What there is to compare a quantised model with. */
export interface ReferenceOptions extends PassOptions {
  /**
   * The model in full precision with the same layers: batch normalisation folded, and equalised, as the
   * quantised one.
   */
  original: LayersModel;
  /** Examples like those that the model will see. */
  calibration: FitData;
  /** How many of them are used, from the first. Default 1000. */
  examples?: number;
}

export const REFERENCE_OPTIONS: readonly string[] = [
  'original',
  'calibration',
  'examples',
  'batchSize',
  'progress',
  'signal',
];

export const DEFAULT_EXAMPLES = 1000;

/** A linear layer in both models. */
export interface LayerPair {
  /** Its path. */
  name: string;
  original: layers.Layer;
  quantized: layers.Layer;
}

/** Dense layers and convolutions in the order in which they are computed. */
export function linearPairs(owner: string, model: LayersModel, original: LayersModel): LayerPair[] {
  for (const one of [model, original]) checkModel(owner, one);
  const [ours, theirs] = [linearLayers(model), linearLayers(original)];
  const [a, b] = [ours, theirs].map((layers) => [...layers.keys()].join(', '));
  if (a !== b || a === '') {
    throw new UnsupportedError(
      `${owner}: the model and the original must have the same dense layers and convolutions; they have ` +
        `${a || 'none'} and ${b || 'none'}. Fold the original's batch normalisation (foldBatchNorm).`,
    );
  }
  return [...ours].map(([name, quantized]) => ({
    name,
    original: theirs.get(name)!,
    quantized,
  }));
}

function linearLayers(model: LayersModel): Map<string, layers.Layer> {
  const { graph, layers } = trace(model);
  const found = new Map<string, layers.Layer>();
  for (const { layer: path } of graph.nodes) {
    const layer = layers.get(path);
    if (layer && isLinear(layer)) found.set(path, layer);
  }
  return found;
}

export function checkReference(owner: string, { examples, batchSize }: ReferenceOptions): void {
  if (examples !== undefined) checkInteger(owner, 'examples', examples, 1);
  if (batchSize !== undefined) checkInteger(owner, 'batchSize', batchSize, 1);
}

/**
 * Shows `visit` each batch's answers before bias and activation of each of the layers of a model, and what they get,
 * rounded where they round it.
 */
export async function eachAnswer(
  model: LayersModel,
  layers: readonly layers.Layer[],
  { calibration, examples = DEFAULT_EXAMPLES, batchSize = 100, signal }: ReferenceOptions,
  visit: (place: number, answer: tf.Tensor, input: tf.Tensor) => void,
): Promise<void> {
  const options = { layers, limit: examples, batchSize, progress: false, signal } as const;
  await probe(model, calibration, options, ({ inputs }) => {
    layers.forEach((layer, place) => {
      for (const given of inputs[place]!) {
        showAnswer(layer, given, (answer, input) => visit(place, answer, input));
      }
    });
  });
}

/** Shows `visit` what a layer answers before bias and activation, and what it gets, rounded where it rounds it. */
export function showAnswer(
  layer: layers.Layer,
  given: tf.Tensor,
  visit: (answer: tf.Tensor, input: tf.Tensor) => void,
): void {
  tf.tidy(() => {
    const input = roundedInput(layer, given);
    visit(linearPart(layer, input), input);
  });
}
