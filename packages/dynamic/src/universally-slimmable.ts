// Statistics of batch normalisation for each width.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkOptions, OptionError } from '@thimble/base';
import { type FitData, type RecalibrateOptions, recalibrateBatchNorm } from '@thimble/core';
import { presentSettings } from './extract-width.ts';
import { setWidth } from './set-width.ts';
import { ThimbleSlimmableBatchNormalization } from './slimmable-batch-normalization.ts';
import { slimmableLayers } from './slimmable-flow.ts';
import { isList } from './slimmable-widths.ts';

/** Options of {@link calibrateWidths}. */
export interface CalibrateWidthsOptions extends RecalibrateOptions {
  /** Default: the widths of the layers where they have a list. For a range they must be given. */
  widths?: readonly number[];
}

/**
 * Gives the batch normalisation of a slimmable model its statistics at each of some widths: the averages over
 * the batches, in training mode, without a gradient (`recalibrateBatchNorm`). A universally slimmable network,
 * whose widths are a range, needs it after training for every width below 1 at which it is to predict; a few
 * hundred examples do. The statistics are saved with the model. It keeps its present width.
 *
 * Paper: Yu, Huang, "Universally Slimmable Networks and Improved Training Techniques", 2019, section 3.3.
 *
 * @throws {OptionError} for a width that a layer does not have, and without widths where there is no list;
 *   {NoMatchError} without slimmable layers or without batch normalisation.
 * @example
 * const widths = { min: 0.25 };
 * const model = tfl.sequential({ layers: [
 *   slimmableConv2d({ filters: 8, kernelSize: 3, widths, inputShape: [28, 28, 1] }),
 *   slimmableBatchNormalization({ widths }),
 *   tfl.layers.globalAveragePooling2d({}),
 *   slimmableDense({ units: 10, widths, activation: 'softmax' }),
 * ] });
 * await calibrateWidths(model, train, { widths: [0.25, 0.4, 1], limit: 50 });
 * setWidth(model, 0.4);
 */
export async function calibrateWidths(
  model: LayersModel,
  data: FitData,
  options: CalibrateWidthsOptions = {},
): Promise<void> {
  const known = ['widths', 'limit', 'batchSize', 'progress', 'signal'];
  checkOptions('calibrateWidths', options, known);
  const { widths: given, ...pass } = options;
  const layers = slimmableLayers('calibrateWidths', model);
  const own = layers.map(({ slim }) => slim.widths).find(isList);
  const widths = given ?? own;
  if (!widths || widths.length === 0) {
    throw new OptionError(
      'calibrateWidths: the layers take a range of widths: say which, for example { widths: [0.25, 0.5] }.',
    );
  }
  const goBack = presentSettings(model);
  try {
    for (const width of widths) {
      setWidth(model, width);
      for (const layer of layers) {
        if (layer instanceof ThimbleSlimmableBatchNormalization) layer.addStatistics();
      }
      await recalibrateBatchNorm(model, data, pass);
    }
  } finally {
    goBack();
  }
}
