// Statistics of batch normalisation made anew, for a network whose weights were changed without training.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkInteger, checkOptions, NoMatchError } from '@thimble/base';
import { type FitData, toSource } from './batches.ts';
import { checkData, exampleShapes } from './check-data.ts';
import { eachBatch, type PassOptions } from './evaluate.ts';
import type { Layer } from './internals.ts';
import { withLayerOutputs } from './layer-outputs.ts';
import { ensureBuilt } from './model-weights.ts';
import { callLinks } from './parametrization.ts';
import { forward } from './supervised-step.ts';
import { walkLayers } from './walk.ts';

/** Options of {@link recalibrateBatchNorm}. */
export interface RecalibrateOptions extends PassOptions {
  /** Look at the first so many examples only; default all. */
  limit?: number;
}

/** Batch normalisation, parametrized or not. */
type Normalization = Layer & { momentum: number; movingVariance: unknown };

/** Statistics that move with the calls of a layer. */
interface Moving {
  layer: Layer;
  /** What holds their momentum. */
  statistics: { momentum?: number };
  /** Examples seen so far, those of every call. */
  seen: number;
}

/**
 * Gives every batch normalisation of a model the statistics of its present inputs: the moving mean and
 * variance become the averages of those of the batches, each batch passed in training mode, without a
 * gradient or a loss (dropout and random transforms are at work as in training). Batch normalisation that was
 * fused into other layers (`fuseBatchNorm`) is treated alike, frozen or not. Nothing else changes. Channels
 * that were removed, weights that were quantised, a width that was switched: after each the old statistics
 * are those of another network.
 *
 * `mean <- 1/n sum of the batches' means`, and so the variance; of a layer that is applied several times to a
 * batch (shared, or once per step of TimeDistributed) all applications count. Batches should be large: default
 * 100.
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
  const norms = all.filter((layer): layer is Normalization => 'movingVariance' in layer);
  const moving: Moving[] = [
    ...norms.map((layer) => ({ layer, statistics: layer, seen: 0 })),
    ...all.flatMap((layer) =>
      callLinks(layer).flatMap(({ transform: { statistics } }) =>
        statistics ? [{ layer, statistics, seen: 0 }] : [],
      ),
    ),
  ];
  if (moving.length === 0)
    throw new NoMatchError(`${OWNER}: the model has no batch normalisation.`);
  const source = await toSource(data, exampleShapes(model), OWNER);
  await checkData(OWNER, source, model, undefined, batchSize);
  const momenta = norms.map(({ momentum }) => momentum);
  const layers = [...new Set(moving.map(({ layer }) => layer))];
  try {
    await eachBatch(
      source,
      { ...options, batchSize },
      'recalibrating',
      async (batch) => {
        // The running average that a layer keeps, with this momentum, is the mean of all calls so far, each
        // as heavy as it has examples.
        const weigh = ({ statistics, seen }: Moving) => {
          statistics.momentum = seen / (seen + batch.size);
        };
        const called = (layer: Layer): undefined => {
          for (const each of moving) {
            if (each.layer !== layer) continue;
            each.seen += batch.size;
            weigh(each);
          }
        };
        moving.forEach(weigh);
        tf.tidy(() => void withLayerOutputs(layers, called, () => forward(model, batch.xs, true)));
      },
      limit,
    );
  } finally {
    norms.forEach((layer, i) => {
      layer.momentum = momenta[i]!;
    });
    for (const { layer, statistics } of moving) {
      if (statistics !== layer) delete statistics.momentum;
    }
  }
}

const OWNER = 'recalibrateBatchNorm';
