// What turns a saved object back into a live one: factories by class name.
import type { serialization } from '@tensorflow/tfjs-core';
import { NoMatchError, OptionError } from '@thimble/base';

/**
 * Factories of one kind of object, called `kind` in messages, by the name that objects are saved under.
 *
 * @example
 * const noises = new Registry<() => number>('noise');
 * noises.register('MyNoise', () => () => 4);
 * noises.create({ className: 'MyNoise', config: {} })(); // 4
 */
export class Registry<T> {
  readonly #kind: string;
  readonly #factories = new Map<string, (config: serialization.ConfigDict) => T>();

  constructor(kind: string) {
    this.#kind = kind;
  }

  /** @throws {OptionError} when the name is taken. */
  register(className: string, factory: (config: serialization.ConfigDict) => T): void {
    if (this.#factories.has(className)) {
      const article = /^[aeiou]/.test(this.#kind) ? 'An' : 'A';
      throw new OptionError(
        `${article} ${this.#kind} named ${className} is registered already; choose another name, or load the package only once.`,
      );
    }
    this.#factories.set(className, factory);
  }

  /**
   * The object that was saved as `{ className, config }`.
   *
   * @throws {NoMatchError} when its package has not been imported.
   */
  create(saved: serialization.ConfigDict): T {
    const className = saved.className as string;
    const factory = this.#factories.get(className);
    if (!factory) {
      throw new NoMatchError(
        `No ${this.#kind} named ${className} is registered: import the package that defines it before loading the model. ` +
          `Registered: ${[...this.#factories.keys()].join(', ') || 'none'}.`,
      );
    }
    return factory((saved.config ?? {}) as serialization.ConfigDict);
  }
}
