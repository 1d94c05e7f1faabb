// The registry that turns a saved transform back into an object.
import type { serialization } from '@tensorflow/tfjs-core';
import { NoMatchError, OptionError } from '@thimble/base';
import type { WeightTransform } from './transform.ts';

/** Makes a transform from what its `getConfig` returned. */
export type TransformFactory = (config: serialization.ConfigDict) => WeightTransform;

const factories = new Map<string, TransformFactory>();

/**
 * Makes a kind of transform known for loading saved models. Call it once, where the transform is
 * defined; the module is then a side effect for bundlers (`sideEffects` in package.json).
 *
 * @throws {OptionError} when another transform has the name already.
 * @example
 * registerTransform('MyMask', (config) => mask(config));
 */
export function registerTransform(className: string, factory: TransformFactory): void {
  if (factories.has(className)) {
    throw new OptionError(
      `A transform named ${className} is registered already; choose another name, or load the package only once.`,
    );
  }
  factories.set(className, factory);
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
  const className = saved.className as string;
  const factory = factories.get(className);
  if (!factory) {
    throw new NoMatchError(
      `No transform named ${className} is registered: import the package that defines it before loading the model. ` +
        `Registered: ${[...factories.keys()].join(', ') || 'none'}.`,
    );
  }
  return factory((saved.config ?? {}) as serialization.ConfigDict);
}
