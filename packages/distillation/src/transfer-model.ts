// Transfer learning: a trained network's lower layers, put to another use.
import * as tfl from '@tensorflow/tfjs-layers';
import { NoMatchError, OptionError } from '@thimble/base';
import { copyModel } from '@thimble/core';

/** Options of {@link transferModel}. */
export interface TransferOptions {
  /** Name of the last layer to take over. */
  after: string;
  /** New layers to put on top, in order. */
  head: readonly tfl.layers.Layer[];
  /** Whether the layers taken over are trained from the start; default false. See {@link stagedUnfreezing}. */
  trainable?: boolean;
}

/**
 * The part of a model up to a layer, as a model of its own that shares the layers and weights. With `predictAll` it
 * turns a data set into features once, to train any number of heads on.
 *
 * @param after name of the layer whose output is wanted
 * @throws NoMatchError for an unknown layer
 * @example
 * const [features] = await predictAll(featureExtractor(teacher, 'hidden'), train, { batchSize: 32 });
 * const head = tfl.sequential({ layers: [tfl.layers.dense({ units: 10, inputShape: [features.shape[1]] })] });
 */
export function featureExtractor(model: tfl.LayersModel, after: string): tfl.LayersModel {
  return tfl.model({ inputs: model.inputs, outputs: outputOf('featureExtractor', model, after) });
}

/**
 * A new model: a copy of a trained network up to a layer, with new layers on top. The given model stays as it was. The
 * copied layers keep their names and are frozen unless `trainable`; batch normalisation in frozen layers goes on
 * following the statistics of the new data, unless `stagedUnfreezing` takes part.
 *
 * @throws NoMatchError for an unknown layer; OptionError for an empty head
 * @example
 * const model = transferModel(teacher, {
 *   after: 'hidden', head: [tfl.layers.dense({ units: 3, activation: 'softmax' })],
 * });
 */
export function transferModel(
  model: tfl.LayersModel,
  { after, head, trainable = false }: TransferOptions,
): tfl.LayersModel {
  if (head.length === 0) {
    throw new OptionError(
      'transferModel: head is empty. For the features alone use featureExtractor.',
    );
  }
  outputOf('transferModel', model, after); // refuses an unknown layer before anything is copied
  const copy = copyModel(model);
  let output = outputOf('transferModel', copy, after);
  for (const layer of head) output = layer.apply(output) as tfl.SymbolicTensor;
  const made = tfl.model({ inputs: copy.inputs, outputs: output });
  for (const layer of made.layers) if (!head.includes(layer)) layer.trainable = trainable;
  // The layers that the new model does not have.
  for (const layer of copy.layers) if (!made.layers.includes(layer)) layer.dispose();
  return made;
}

function outputOf(owner: string, model: tfl.LayersModel, name: string): tfl.SymbolicTensor {
  const layer = model.layers.find((each) => each.name === name);
  if (layer) return layer.getOutputAt(0) as tfl.SymbolicTensor;
  const known = model.layers.map((each) => each.name).join(', ');
  throw new NoMatchError(
    `${owner}: the model "${model.name}" has no layer "${name}". Its layers: ${known}.`,
  );
}
