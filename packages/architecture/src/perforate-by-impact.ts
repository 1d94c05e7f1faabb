// The positions of perforated layers that the loss depends on most.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkOptions, checkRange, NoMatchError } from '@thimble/base';
import {
  type FitData,
  type LayerTargets,
  matchLayers,
  type ObjectiveOptions,
  type PassOptions,
  probe,
  walkLayers,
} from '@thimble/core';
import { perforated, setPerforation } from './perforated-conv.ts';
import { highest } from './perforation.ts';

/** Options of {@link perforateByImpact}. */
export interface PerforateByImpactOptions extends PassOptions {
  /** What impacts are measured on. */
  data: FitData;
  /** Part of the positions to keep; default that of each layer. */
  keep?: number;
  /** The perforated layers; default all. */
  layers?: LayerTargets;
  /** Default that of `model.compile`. */
  loss?: ObjectiveOptions['loss'];
  /** Examples to look at, from the first. Default 1000. */
  examples?: number;
  /** Of the order of positions with equal impact. Default 0. */
  seed?: number;
}

const OWNER = 'perforateByImpact';

/**
 * Lets perforated layers compute the positions with the largest impact on the loss: the mean over examples of
 * `sum_c |dL/dy[p, c] y[p, c]|`, the first-order estimate of what setting output position p to zero would change.
 * Layers are changed in place; train the model on afterwards.
 *
 * Paper: Figurnov, Ibraimova, Vetrov, Kohli, "PerforatedCNNs", 2016, section 3.3.
 *
 * @throws {NoMatchError} for a model without perforated layers; {OptionError} for unknown options, a `keep`
 *   outside (0, 1], or without a loss.
 * @example
 * const net = tfl.sequential({ layers: [
 *   perforatedConv2d({ filters: 4, kernelSize: 3, strides: 2, keep: 0.3, inputShape: [28, 28, 1] }),
 *   tfl.layers.flatten(),
 *   tfl.layers.dense({ units: 10, activation: 'softmax' }),
 * ] });
 * await perforateByImpact(net, { data: train, loss: 'categoricalCrossentropy', examples: 32 });
 */
export async function perforateByImpact(
  model: LayersModel,
  options: PerforateByImpactOptions,
): Promise<void> {
  checkOptions(OWNER, options, [
    ...['data', 'keep', 'layers', 'loss', 'examples', 'seed', 'batchSize', 'progress', 'signal'],
  ]);
  const { data, keep, layers: targets, examples = 1000, seed = 0, ...pass } = options;
  if (keep !== undefined) checkRange(OWNER, 'keep', keep, Number.EPSILON, 1);
  const known = walkLayers(model).filter((layer) => 'perforation' in layer);
  if (known.length === 0) {
    throw new NoMatchError(`${OWNER}: the model "${model.name}" has no perforatedConv2d layer.`);
  }
  const layers = matchLayers(OWNER, known, targets, 'Perforated layers');
  const sums = layers.map((layer) => {
    const [height, width] = perforated(OWNER, layer).size;
    return new Float64Array(height * width);
  });
  await probe(
    model,
    data,
    { ...pass, layers, outputGradients: true, limit: examples },
    ({ outputs, outputGradients }) => {
      for (const [i, calls] of outputs.entries()) {
        for (const [j, output] of calls.entries()) {
          const impacts = tf.tidy(() =>
            tf.sum(tf.abs(tf.mul(output, outputGradients[i]![j]!)), [0, 3]).dataSync(),
          );
          for (const [p, impact] of impacts.entries()) sums[i]![p]! += impact;
        }
      }
    },
  );
  for (const [i, layer] of layers.entries()) {
    const own = (layer as unknown as { keep: number }).keep;
    setPerforation(layer, highest(sums[i]!, keep ?? own, seed));
  }
}
