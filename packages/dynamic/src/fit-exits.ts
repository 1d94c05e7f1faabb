// Training of models with several exits.
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import { OptionError, UnsupportedError } from '@thimble/base';
import {
  type BatchSource,
  type FitData,
  type FitOptions,
  fit,
  type History,
  toSource,
} from '@thimble/core';
import { givesProbabilities, layersTo } from './exit-plan.ts';

/** Options of {@link fitExits}: those of `fit`, and what becomes of the trunk. */
export interface FitExitsOptions extends FitOptions {
  /**
   * 'train' (default) trains trunk and heads together; 'frozen' the heads alone, while the layers that lead to the
   * last exit stay as they are and work as they do when predicting, batch normalisation and dropout too.
   */
  trunk?: 'train' | 'frozen';
}

/**
 * Trains a model with several exits, each on the same labels. `L = sum_n w_n L_n` over the exits, with `w` the
 * option `lossWeights` (default 1 each; BranchyNet gives early exits more, for example `[1, 0.3]`). The loss is the
 * cross-entropy, of probabilities or of logits as the outputs are, unless `loss` says otherwise. Logs are
 * those of `fit`: `loss`, `<output>_loss`, `<output>_<metric>`.
 *
 * `fit` does the same with data that holds the labels once per output; {@link forEveryExit} makes such data.
 *
 * Paper: Teerapittayanon, McDanel, Kung, "BranchyNet", 2016, section III-B.
 *
 * @throws {OptionError} for an unknown `trunk`; {UnsupportedError} where all layers lead to the last exit, so that
 *   nothing is left to train; whatever `fit` throws.
 * @example
 * const branchy = earlyExits(model, { after: [model.layers[1].name] });
 * await fitExits(branchy, train, { epochs: 1, lossWeights: [1, 0.3], metrics: ['accuracy'] });
 */
export async function fitExits(
  branchy: tfl.LayersModel,
  data: FitData,
  options: FitExitsOptions = {},
): Promise<History> {
  const { trunk = 'train', ...training } = options;
  if (trunk !== 'train' && trunk !== 'frozen') {
    throw new OptionError(`fitExits: trunk must be train or frozen, not "${trunk}".`);
  }
  const logits = !branchy.outputs.every(givesProbabilities);
  const validationData =
    training.validationData && (await forEveryExit(branchy, training.validationData));
  const run = async () =>
    fit(branchy, await forEveryExit(branchy, data), {
      loss: logits ? 'categoricalCrossentropyFromLogits' : 'categoricalCrossentropy',
      ...training,
      ...(validationData ? { validationData } : {}),
    });
  return trunk === 'train' ? run() : withFrozenTrunk(branchy, run);
}

/**
 * The data with its labels once for every output of the model, as `fit` and `evaluate` want them. Data that has
 * labels for every output already stays as it is.
 *
 * @example
 * const branchy = earlyExits(model, { after: [model.layers[1].name] });
 * await evaluate(branchy, await forEveryExit(branchy, test), { metrics: ['accuracy'] });
 */
export async function forEveryExit(branchy: tfl.LayersModel, data: FitData): Promise<BatchSource> {
  const exits = branchy.outputs.length;
  const example = (tensor: tfl.SymbolicTensor) => {
    const shape = tensor.shape.slice(1);
    return shape.includes(null) ? undefined : (shape as number[]);
  };
  const shapes = { inputs: branchy.inputs.map(example), outputs: branchy.outputs.map(example) };
  const source = await toSource(data, shapes, 'forEveryExit');
  return {
    size: source.size,
    ...(source.varies === undefined ? {} : { varies: source.varies }),
    batch(indices, random) {
      const raw = source.batch(indices, random);
      const [xs, labels] = 'xs' in raw ? [raw.xs, raw.ys] : [raw.images, raw.labels];
      const [first, ...others] = [labels].flat();
      if (!first || others.length > 0) return { xs, ys: [labels].flat() };
      const ys = Array.from({ length: exits }, (_, i) => (i === 0 ? first : tf.clone(first)));
      return { xs, ys };
    },
  };
}

/** Runs `body` with the layers of the trunk untrainable and at work as when predicting. */
async function withFrozenTrunk<T>(branchy: tfl.LayersModel, body: () => Promise<T>): Promise<T> {
  const leading = layersTo(branchy.outputs.at(-1)!);
  if (branchy.layers.every((layer) => leading.has(layer) || layer.weights.length === 0)) {
    throw new UnsupportedError(
      `fitExits: every layer of "${branchy.name}" leads to its last exit, so there is no head to train alone.`,
    );
  }
  const undo = [...leading].map((layer) => {
    const { trainable, call } = layer;
    const own = Object.hasOwn(layer, 'call');
    layer.trainable = false;
    layer.call = (inputs, kwargs) => call.call(layer, inputs, { ...kwargs, training: false });
    return () => {
      layer.trainable = trainable;
      if (own) layer.call = call;
      else Reflect.deleteProperty(layer, 'call');
    };
  });
  try {
    return await body();
  } finally {
    for (const each of undo) each();
  }
}
