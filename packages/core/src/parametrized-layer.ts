// Lets loadLayersModel, Bidirectional and clones rebuild decorated layers.
import { serialization } from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { NoMatchError } from '@thimble/base';
import type { Layer } from './internals.ts';
import { parametrizeFromConfig } from './parametrization.ts';
import { originOf, PARAMETRIZED, splitConfig } from './parametrized-config.ts';

type FromConfig = (
  layerClass: unknown,
  config: serialization.ConfigDict,
  customObjects?: serialization.ConfigDict,
  fastWeightInit?: boolean,
) => Layer;

/** Makes a layer (or model) from the registered class and a config, as TensorFlow.js does when loading. */
export function layerFromConfig(
  className: string,
  config: serialization.ConfigDict,
  customObjects: serialization.ConfigDict = {},
  fastWeightInit: boolean = false,
): Layer {
  const entry = serialization.SerializationMap.getMap().classNameMap[className];
  if (!entry) {
    throw new NoMatchError(
      `No layer class named ${className} is registered: import or register it before loading the model.`,
    );
  }
  const [layerClass, fromConfig] = entry as unknown as [unknown, FromConfig];
  return fromConfig(layerClass, config, customObjects, fastWeightInit);
}

/** The class that decorated layers are saved under. It has no instances: loading gives the inner class. */
class ThimbleParametrized extends tfl.layers.Layer {
  static className: string = PARAMETRIZED;

  static override fromConfig<T extends serialization.Serializable>(
    _class: serialization.SerializableConstructor<T>,
    saved: serialization.ConfigDict,
    customObjects?: serialization.ConfigDict,
    fastWeightInit?: boolean,
  ): T {
    const { config, saved: chains } = splitConfig(saved);
    const layer = layerFromConfig(chains.className, config, customObjects, fastWeightInit);
    parametrizeFromConfig(layer, chains, originOf(saved));
    return layer as unknown as T;
  }
}

serialization.registerClass(ThimbleParametrized);
