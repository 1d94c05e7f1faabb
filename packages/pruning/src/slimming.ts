// Network Slimming: the scales of batch normalisation say which channels are needed.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel, layers } from '@tensorflow/tfjs-layers';
import { checkOptions, NoMatchError, OptionError } from '@thimble/base';
import {
  type LayerTargets,
  matchLayers,
  parametrize,
  parametrizedWeights,
  walkLayers,
} from '@thimble/core';
import { l1Penalty } from './l1.ts';

/** Options of {@link slimming}. */
export interface SlimmingOptions {
  /** Weight of the penalty, at least 0; default 1e-4, as the paper has for VGG (1e-5 for ResNet). */
  strength?: number;
  /** Value that every scale is set to; default 0.5, as in the paper. undefined: they stay as they are. */
  initialGamma?: number | undefined;
  /** Which batch normalisation layers; default all of the model. */
  targets?: LayerTargets;
}

/**
 * Prepares a model for Network Slimming: puts {@link l1Penalty} on the scale gamma of its batch
 * normalisation layers, so that channels that are not needed end with a scale near zero, and sets the
 * scales to `initialGamma`. Train the model afterwards, remove the channels with small scales (and their
 * offsets beta with them), and train again by the same schedule.
 *
 * - loss: `+ strength * sum |gamma|` over the layers
 * - The strength depends on the learning rate: when few scales are near zero after training, it was too
 *   low, and removing channels by a global threshold will cost accuracy.
 *
 * Paper: Liu, Li, Shen, Huang, Yan, Zhang, "Learning Efficient Convolutional Networks through Network
 * Slimming", 2017, section 3.
 *
 * @returns the layers, in the order of the model
 * @throws {NoMatchError} when the model has no batch normalisation with a scale, or a target is none.
 * @throws {OptionError} when one of the layers has such a penalty already.
 * @example
 * const model = tfl.sequential({
 *   layers: [
 *     tfl.layers.dense({ units: 500, inputShape: [784] }),
 *     tfl.layers.batchNormalization(),
 *     tfl.layers.dense({ units: 10, activation: 'softmax' }),
 *   ],
 * });
 * slimming(model, { strength: 1e-4 });
 */
export function slimming(model: LayersModel, options: SlimmingOptions = {}): layers.Layer[] {
  checkOptions('slimming', options, ['strength', 'initialGamma', 'targets']);
  const { strength = 1e-4, targets } = options;
  const initialGamma = 'initialGamma' in options ? options.initialGamma : 0.5;
  if (initialGamma !== undefined && !Number.isFinite(initialGamma)) {
    throw new OptionError(`slimming: initialGamma must be a number, not ${initialGamma}.`);
  }
  const penalty = l1Penalty({ strength });
  const found = findTargets(model, targets);
  for (const layer of found) {
    parametrize(layer, { gamma: [penalty] });
    if (initialGamma !== undefined) setGamma(layer, initialGamma);
  }
  return found;
}

function findTargets(model: LayersModel, targets: LayerTargets | undefined): layers.Layer[] {
  const all = walkLayers(model).filter(isScaledBatchNorm);
  if (all.length === 0) {
    throw new NoMatchError(
      `slimming: model "${model.name}" has no batch normalisation layer with a scale. Put ` +
        'tfl.layers.batchNormalization() after the layers whose channels are to go.',
    );
  }
  const found = matchLayers('slimming', all, targets, 'Batch normalisations with a scale');
  const className = l1Penalty({ strength: 0 }).getClassName();
  for (const { layer, weight, links } of found.flatMap((each) => parametrizedWeights(each))) {
    if (weight === 'gamma' && links.some((link) => link.transform.getClassName() === className)) {
      throw new OptionError(
        `slimming: gamma of layer "${layer.name}" has an l1Penalty already; name the others in targets.`,
      );
    }
  }
  return found;
}

function isScaledBatchNorm(layer: layers.Layer): boolean {
  // Not getClassName(), which says something else once the layer has been parametrized.
  const { className } = layer.constructor as unknown as { className: string };
  return className === 'BatchNormalization' && (layer as unknown as { scale: boolean }).scale;
}

function setGamma(layer: layers.Layer, value: number): void {
  const { variable } = parametrizedWeights(layer).find(({ weight }) => weight === 'gamma')!;
  tf.tidy(() => variable.assign(tf.fill(variable.shape, value)));
}
