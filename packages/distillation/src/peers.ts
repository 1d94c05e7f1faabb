// Networks that learn side by side: one model around all of them, so that one training loop trains them.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { OptionError } from '@thimble/base';
import {
  type BatchSource,
  type FitData,
  type FitOptions,
  fit,
  type History,
  type ThimbleCallback,
  toSource,
} from '@thimble/core';
import { labelLoss } from './distill.ts';
import { checkPair } from './teacher.ts';

/** Options of trainings in which several models learn together. */
export interface PeerOptions extends FitOptions {
  /** Two models or more with equal inputs and classes; trained in place. */
  models: readonly tfl.LayersModel[];
  /** What all see: a data set, or tensors `{ xs, ys }` with one-hot labels. */
  data: FitData;
}

/** What these trainings give back. The history has `model1_loss`, `model2_loss` ..., and metrics so named. */
export interface Peers {
  models: readonly tfl.LayersModel[];
  history: History;
}

/**
 * Trains the models together with a callback that is given the outputs of all of them. The loss is the sum of their
 * own; each model's default is its cross-entropy.
 */
export async function fitPeers(
  owner: string,
  { models, data, ...training }: PeerOptions,
  callback: ThimbleCallback,
): Promise<Peers> {
  if (!Array.isArray(models) || models.length < 2 || new Set(models).size < models.length) {
    throw new OptionError(`${owner}: models must be a list of at least two different models.`);
  }
  checkPair(models.slice(1), models[0]!);
  const source = forEach(await toSource(data), models.length);
  const { validationData } = training;
  const joint = jointModel(models);
  try {
    const history = await fit(joint, source, {
      loss: models.map(labelLoss),
      ...training,
      ...(validationData
        ? { validationData: forEach(await toSource(validationData), models.length) }
        : {}),
      callbacks: [callback, ...(training.callbacks ?? [])],
    });
    return { models, history };
  } finally {
    // The joint model has held them. To dispose of it would dispose of them: tfjs counts containers twice.
    for (const model of models) (model as unknown as Counted)._refCount -= 1;
  }
}

/** How many hold a model; the last to dispose of it frees its weights. */
interface Counted {
  _refCount: number;
}

/** A model with the common inputs and one output per model, named model1, model2 ... */
function jointModel(models: readonly tfl.LayersModel[]): tfl.LayersModel {
  const inputs = models[0]!.inputs.map(({ shape, dtype }) =>
    tfl.input({ shape: shape.slice(1), dtype }),
  );
  const names = models.map(({ name }) => name);
  try {
    // Copies of one model have one name, which tfjs refuses inside of a model.
    models.forEach((model, i) => {
      model.name = `model${i + 1}`;
    });
    const outputs = models.map((model) => model.apply(inputs) as tfl.SymbolicTensor);
    return tfl.model({ inputs, outputs });
  } finally {
    models.forEach((model, i) => {
      model.name = names[i]!;
    });
  }
}

/** The labels of a source once for each model. */
function forEach(source: BatchSource, models: number): BatchSource {
  return {
    size: source.size,
    varies: source.varies === true,
    batch(indices, random) {
      const raw = source.batch(indices, random);
      const [xs, ys] = 'xs' in raw ? [raw.xs, raw.ys] : [raw.images, raw.labels];
      const labels = [ys].flat()[0]!;
      const others = Array.from({ length: models - 1 }, () => tf.clone(labels));
      return { xs, ys: [labels, ...others] };
    },
  };
}
