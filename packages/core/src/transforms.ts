// The registry that turns a saved transform back into an object.
import type { serialization } from '@tensorflow/tfjs-core';
import { Registry } from './registry.ts';
import type { WeightTransform } from './transform.ts';

/** Makes a transform from what its `getConfig` returned. */
export type TransformFactory = (config: serialization.ConfigDict) => WeightTransform;

const transforms = new Registry<WeightTransform>('transform');

/**
 * Makes a kind of transform known for loading saved models. Call it once, where the transform is
 * defined; the module is then a side effect for bundlers (`sideEffects` in package.json).
 *
 * @throws {OptionError} when another transform has the name already.
 * @example
 * registerTransform('MyMask', (config) => mask(config));
 */
export function registerTransform(className: string, factory: TransformFactory): void {
  transforms.register(className, factory);
}

/** The saved form of a transform. */
export function transformToConfig(
  transform: Pick<WeightTransform, 'getClassName' | 'getConfig'>,
): serialization.ConfigDict {
  return { className: transform.getClassName(), config: transform.getConfig() };
}

/**
 * The transform that was saved as `saved`.
 *
 * @throws {NoMatchError} when its package has not been imported.
 */
export function transformFromConfig(saved: serialization.ConfigDict): WeightTransform {
  return transforms.create(saved);
}
