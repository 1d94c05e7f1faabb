// Calibration: ranges of activations from examples, with observers.
import type * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkInteger, checkOptions, DataError, NoMatchError } from '@thimble/base';
import { type FitData, type PassOptions, probe } from '@thimble/core';
import { DEFAULT_EXAMPLES } from './layer-pairs.ts';
import { minMaxObserver } from './min-max-observer.ts';
import type { Observer } from './observer.ts';
import { activationPlaces } from './quantized-call.ts';
import { checkModel } from './targets.ts';

/** Options of {@link calibrateActivations}. */
export interface CalibrationOptions extends PassOptions {
  /** Examples like those that the model will see. Labels are not looked at. */
  calibration: FitData;
  /** How many of them are used, from the first. Default 1000. */
  examples?: number;
  /** Makes the observer of one place. Default `observers.minMax`. */
  observer?: () => Observer;
}

/**
 * Sets the ranges of all quantised activations of a model whose ranges are not learned: an observer looks at
 * what comes there from the examples. Where the ranges of layers before are set already, it sees rounded
 * activations. The model is changed in place, or not at all when this throws.
 *
 * @returns how many ranges were set
 * @throws {NoMatchError} where the model has no quantised activations; {DataError} naming the layer, where
 *   nothing, NaN or one value only was seen; {OptionError}, {ShapeError}.
 * @example
 * quantizeAware(model, { weights: 8, activations: 8 });
 * await calibrateActivations(model, {
 *   calibration: train, examples: 200, observer: () => observers.percentile({ percentile: 99.9 }),
 * });
 */
export async function calibrateActivations(
  model: LayersModel,
  options: CalibrationOptions,
): Promise<number> {
  const known = ['calibration', 'examples', 'observer', 'batchSize', 'progress', 'signal'];
  checkModel(OWNER, model);
  checkOptions(OWNER, options, known);
  const { calibration, examples = DEFAULT_EXAMPLES, batchSize = 100, progress, signal } = options;
  const { observer = () => minMaxObserver() } = options;
  checkInteger(OWNER, 'examples', examples, 1);
  const places = activationPlaces(model)
    .filter(({ quantizer }) => quantizer.setRange)
    .map((place) => ({ ...place, observer: observer() }));
  if (places.length === 0) {
    throw new NoMatchError(
      `${OWNER}: the model has no quantised activations with ranges to set. Call quantizeAware first.`,
    );
  }
  const layers = [...new Set(places.map(({ layer }) => layer))];
  const pass = { layers, limit: examples, batchSize, progress, signal } as const;
  await probe(model, calibration, pass, ({ allInputs, outputs }) => {
    for (const { layer, end, index, observer } of places) {
      const at = layers.indexOf(layer);
      const seen: tf.Tensor[] =
        end === 'output' ? outputs[at]! : allInputs[at]!.map((inputs) => inputs[index]!);
      naming(layer.name, () => {
        for (const values of seen) observer.observe(values);
      });
    }
  });
  const ranges = places.map(({ layer, observer }) => naming(layer.name, () => observer.range()));
  places.forEach(({ quantizer, state }, i) => {
    quantizer.setRange!(state, ranges[i]!.min[0]!, ranges[i]!.max[0]!);
  });
  return places.length;
}

const OWNER = 'calibrateActivations';

/** Says in errors about data which layer it came to. */
function naming<T>(layer: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    throw new DataError(`${OWNER}: at layer "${layer}": ${error.message}`, { cause: error });
  }
}
