// Statistics of batch normalisation made anew, for a network whose weights were changed without training.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkInteger, checkOptions, NoMatchError } from '@thimble/base';
import { type FitData, toSource } from './batches.ts';
import { checkData, exampleShapes } from './check-data.ts';
import { eachBatch, type PassOptions } from './evaluate.ts';
import type { Layer } from './internals.ts';
import { ensureBuilt } from './model-weights.ts';
import { callLinks } from './parametrize.ts';
import { forward } from './supervised-step.ts';
import { walkLayers } from './walk.ts';

/** Options of {@link recalibrateBatchNorm}. */
export interface RecalibrateOptions extends PassOptions {
  /** Look at the first so many examples only; default all. */
  limit?: number;
}

/** Batch normalisation, parametrized or not. */
type Normalization = Layer & { momentum: number; movingVariance: unknown };

/**
 * Gives every batch normalisation of a model the statistics of its present inputs: the moving mean and
 * variance become the averages of those of the batches, each batch passed in training mode, without a
 * gradient or a loss (dropout and random transforms are at work as in training). Batch normalisation that was
 * fused into other layers (`fuseBatchNorm`) is treated alike, frozen or not. Nothing else changes. Channels
 * that were removed, weights that were quantised, a width that was switched: after each the old statistics
 * are those of another network.
 *
 * `mean <- 1/n sum of the batches' means`, and so the variance. Batches should be large: default 100.
 *
 * Papers: Yu, Huang, "Universally Slimmable Networks and Improved Training Techniques", 2019, section 3.3;
 * Li et al., "EagleEye: Fast Sub-net Evaluation for Efficient Neural Network Pruning", 2020, section 3.3.
 *
 * @throws NoMatchError where the model has no batch normalisation; ShapeError, DataError where the data does
 *   not fit.
 * @example
 * const normalized = tfl.sequential({
 *   layers: [
 *     tfl.layers.conv2d({ filters: 8, kernelSize: 3, inputShape: [28, 28, 1] }),
 *     tfl.layers.batchNormalization({}),
 *     tfl.layers.flatten(),
 *     tfl.layers.dense({ units: 10, activation: 'softmax' }),
 *   ],
 * });
 * await recalibrateBatchNorm(normalized, train, { limit: 50 });
 */
export async function recalibrateBatchNorm(
  model: LayersModel,
  data: FitData,
  options: RecalibrateOptions = {},
): Promise<void> {
  checkOptions(OWNER, options, ['limit', 'batchSize', 'progress', 'signal']);
  const { batchSize = 100, limit } = options;
  checkInteger(OWNER, 'batchSize', batchSize, 1);
  if (limit !== undefined) checkInteger(OWNER, 'limit', limit, 1);
  ensureBuilt(OWNER, model);
  const all = walkLayers(model);
  const layers = all.filter((layer): layer is Normalization => 'movingVariance' in layer);
  const fused = all.flatMap(callLinks).flatMap(({ transform }) => transform.statistics ?? []);
  if (layers.length + fused.length === 0)
    throw new NoMatchError(`${OWNER}: the model has no batch normalisation.`);
  const source = await toSource(data, exampleShapes(model), OWNER);
  await checkData(OWNER, source, model, undefined, batchSize);
  const momenta = layers.map(({ momentum }) => momentum);
  let seen = 0;
  try {
    await eachBatch(
      source,
      { ...options, batchSize },
      'recalibrating',
      async (batch) => {
        // The running average that a layer keeps, with this momentum, is the mean of all batches so far,
        // each as heavy as it has examples.
        const momentum = seen / (seen + batch.size);
        for (const statistics of [...layers, ...fused]) statistics.momentum = momentum;
        tf.tidy(() => void forward(model, batch.xs, true));
        seen += batch.size;
      },
      limit,
    );
  } finally {
    layers.forEach((layer, i) => {
      layer.momentum = momenta[i]!;
    });
    for (const statistics of fused) delete statistics.momentum;
  }
}

const OWNER = 'recalibrateBatchNorm';
