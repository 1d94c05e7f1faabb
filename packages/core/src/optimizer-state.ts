// The state of a tfjs optimizer, by the names of the weights.
//
// tfjs keeps slots (moments, accumulators) in arrays by position in the list of gradients, as
// { originalName: '<weight>/m', variable }. A weight frozen or unfrozen shifts the positions, so that
// every later weight gets its neighbour's moments. And getWeights/setWeights are no way to save them:
// Adam's recomputes its beta powers (1e-6 off), Adamax has none. So this looks at the optimizer's own
// properties, which also serves tfjs-layers' private copies of the classes, and unknown subclasses.
import * as tf from '@tensorflow/tfjs-core';
import { CheckpointError } from '@thimble/base';
import type { StateValue } from './training.ts';

interface Slot {
  originalName: string;
  variable: tf.Variable;
}
type Slots = (Slot | undefined)[];

/** Values of a tensor as a checkpoint holds them. */
interface Values {
  shape: number[];
  values: Float32Array;
}

/** What {@link OptimizerState.capture} gives: all that the next step depends on, by name. */
interface Captured {
  numbers: Record<string, number>;
  variables: Record<string, Values>;
  slots: Record<string, Record<string, Values>>;
}

/** '<weight>' of '<weight>/m'. */
function weightOf(slot: Slot): string {
  return slot.originalName.slice(0, slot.originalName.lastIndexOf('/'));
}

function isSlots(value: unknown): value is Slots {
  return (
    Array.isArray(value) &&
    value.every((slot) => slot === undefined || (slot?.variable && slot.originalName !== undefined))
  );
}

async function read(variable: tf.Variable): Promise<Values> {
  return { shape: variable.shape, values: Float32Array.from(await variable.data()) };
}

function variableFrom({ shape, values }: Values): tf.Variable {
  const tensor = tf.tensor(values, shape);
  const variable = tf.variable(tensor, false);
  tensor.dispose();
  return variable;
}

const states = new WeakMap<tf.Optimizer, OptimizerState>();

/**
 * Keeps an optimizer's slots with their weights and saves and restores all of its state bit by bit.
 *
 * @example
 * const state = OptimizerState.of(optimizer);
 * state.align(variables); // before every applyGradients with gradients in the order of variables
 */
export class OptimizerState {
  readonly #optimizer: tf.Optimizer;
  readonly #own: Record<string, unknown>;
  #order: string[] = [];
  /** Slots of weights that are frozen now, by property and weight. */
  readonly #resting = new Map<string, Map<string, Slot>>();

  private constructor(optimizer: tf.Optimizer) {
    this.#optimizer = optimizer;
    this.#own = optimizer as unknown as Record<string, unknown>;
  }

  /**
   * The one state of an optimizer; it outlives a run, as the optimizer does. Between runs others may have
   * used the optimizer, so that the order of its slots has to be looked at again.
   */
  static of(optimizer: tf.Optimizer): OptimizerState {
    const state = states.get(optimizer) ?? new OptimizerState(optimizer);
    states.set(optimizer, state);
    state.#order = [];
    return state;
  }

  #slotLists(): [string, Slots][] {
    return Object.entries(this.#own).filter((entry): entry is [string, Slots] => isSlots(entry[1]));
  }

  #restingIn(property: string): Map<string, Slot> {
    const resting = this.#resting.get(property) ?? new Map<string, Slot>();
    this.#resting.set(property, resting);
    return resting;
  }

  /**
   * Puts the slots into the order of `variables`. Slots of weights that are not among them rest until
   * they are back; weights without a slot get a fresh one at the next step.
   */
  align(variables: readonly tf.Variable[]): void {
    const order = variables.map(({ name }) => name);
    if (order.length === this.#order.length && order.every((n, i) => n === this.#order[i])) return;
    for (const [property, slots] of this.#slotLists()) {
      const resting = this.#restingIn(property);
      for (const slot of slots) if (slot) resting.set(weightOf(slot), slot);
      if (resting.size === 0) continue;
      slots.length = 0;
      for (const name of order) {
        slots.push(resting.get(name));
        resting.delete(name);
      }
    }
    this.#order = order;
  }

  /** All that the next step depends on. `nameOf` gives the lasting name of a variable. */
  async capture(nameOf: (variable: string) => string): Promise<StateValue> {
    const captured: Captured = { numbers: {}, variables: {}, slots: {} };
    for (const [property, value] of Object.entries(this.#own)) {
      if (typeof value === 'number') captured.numbers[property] = value;
      else if (value instanceof tf.Variable) captured.variables[property] = await read(value);
    }
    for (const [property, slots] of this.#slotLists()) {
      const all = [...slots, ...this.#restingIn(property).values()];
      const byWeight: Record<string, Values> = {};
      for (const slot of all)
        if (slot) byWeight[nameOf(weightOf(slot))] = await read(slot.variable);
      captured.slots[property] = byWeight;
    }
    return captured as unknown as StateValue;
  }

  /** Puts a captured state back. `variableOf` gives the name of the variable now. */
  restore(state: StateValue, variableOf: (name: string) => string | undefined): void {
    const { numbers, variables, slots } = state as unknown as Captured;
    for (const [property, value] of Object.entries(numbers)) {
      if (property === 'learningRate' && typeof this.#own.setLearningRate === 'function') {
        this.#own.setLearningRate(value);
      } else this.#own[property] = value;
    }
    for (const [property, values] of Object.entries(variables)) {
      const variable = this.#own[property];
      if (!(variable instanceof tf.Variable)) throw this.#foreign(property);
      const tensor = tf.tensor(values.values, values.shape);
      variable.assign(tensor);
      tensor.dispose();
    }
    this.#disposeSlots();
    this.#order = [];
    for (const [property, byWeight] of Object.entries(slots)) {
      const list = this.#own[property];
      if (!isSlots(list)) throw this.#foreign(property);
      const resting = this.#restingIn(property);
      for (const [name, values] of Object.entries(byWeight)) {
        const weight = variableOf(name) ?? name;
        resting.set(weight, {
          originalName: `${weight}/${property}`,
          variable: variableFrom(values),
        });
      }
    }
  }

  #foreign(property: string): CheckpointError {
    return new CheckpointError(
      `The checkpoint holds "${property}" of an optimizer that is not ${this.#optimizer.getClassName()}.`,
    );
  }

  #disposeSlots(): void {
    for (const [property, slots] of this.#slotLists()) {
      const resting = this.#restingIn(property);
      for (const slot of [...slots, ...resting.values()]) slot?.variable.dispose();
      slots.length = 0;
      resting.clear();
    }
  }

  /** Forgets moments, accumulators, beta powers and step counts: the optimizer is as if it were new. */
  reset(): void {
    this.#disposeSlots();
    this.#order = [];
    const { beta1, beta2 } = this.#own as Record<string, number>;
    const fresh: Record<string, number | undefined> = {
      accBeta1: beta1,
      accBeta2: beta2,
      iteration: 0,
    };
    for (const [property, value] of Object.entries(fresh)) {
      const variable = this.#own[property];
      if (!(variable instanceof tf.Variable) || value === undefined) continue;
      tf.tidy(() => variable.assign(tf.scalar(value)));
    }
  }

  /** Disposes of the slots of weights that will not come back. */
  forget(variables: readonly tf.Variable[]): void {
    this.align([]);
    for (const resting of this.#resting.values()) {
      for (const { name } of variables) {
        resting.get(name)?.variable.dispose();
        resting.delete(name);
      }
    }
  }

  /** Disposes of the optimizer with everything it holds; tfjs's own dispose forgets some. */
  dispose(): void {
    this.#disposeSlots();
    for (const value of Object.values(this.#own)) {
      if (value instanceof tf.Tensor && !value.isDisposed) value.dispose();
    }
    states.delete(this.#optimizer);
  }
}
