// The saved form of a decorated layer: the config of the layer itself with one key more, so that
// whoever reads or changes a layer's config (Bidirectional sets `goBackwards`) finds it where it was.
import type { serialization } from '@tensorflow/tfjs-core';
import { type CallTransform, callTransformFromConfig } from './call-transform.ts';
import type { Layer } from './internals.ts';
import type { WeightTransform } from './transform.ts';
import { transformFromConfig, transformToConfig } from './transforms.ts';

/** Class name that a decorated layer is saved under. */
export const PARAMETRIZED = 'ThimbleParametrized';

/**
 * What is saved beside the layer's own config. Weight names are values of `name` because TensorFlow.js
 * rewrites all other strings of a config.
 */
export interface SavedChains {
  className: string;
  chains: { name: string; transforms: serialization.ConfigDict[] }[];
  /** Absent where there are none. */
  calls?: serialization.ConfigDict[];
}

export function toConfig(
  config: serialization.ConfigDict,
  className: string,
  chains: Record<string, WeightTransform[]>,
  calls: readonly CallTransform[],
): serialization.ConfigDict {
  const saved: SavedChains = {
    className,
    chains: Object.entries(chains).map(([name, transforms]) => ({
      name,
      transforms: transforms.map(transformToConfig),
    })),
    ...(calls.length > 0 ? { calls: calls.map(transformToConfig) } : {}),
  };
  return { ...config, parametrized: saved as unknown as serialization.ConfigDict };
}

/** The layer's own config, and what was saved beside it. */
export function splitConfig(config: serialization.ConfigDict): {
  config: serialization.ConfigDict;
  saved: SavedChains;
} {
  const { parametrized, ...rest } = config;
  return { config: rest, saved: parametrized as unknown as SavedChains };
}

export function chainsFromConfig(saved: SavedChains): Record<string, WeightTransform[]> {
  return Object.fromEntries(
    saved.chains.map(({ name, transforms }) => [name, transforms.map(transformFromConfig)]),
  );
}

export function callsFromConfig({ calls = [] }: SavedChains): CallTransform[] {
  return calls.map(callTransformFromConfig);
}

const origins = new WeakMap<object, Layer>();

/** Remembers which layer a config object came from. */
export function rememberConfig(config: object, layer: Layer): void {
  origins.set(config, layer);
}

/** The layer that a config object came from, when it was handed on in memory. */
export function originOf(config: object): Layer | undefined {
  return origins.get(config);
}
