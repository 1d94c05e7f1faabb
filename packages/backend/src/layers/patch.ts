// How the `call` of a layer class of tfjs-layers is replaced for the backend `thimble` alone.
import { getBackend, type Tensor } from '@tensorflow/tfjs-core';
import { BACKEND_NAME } from '../name.ts';

/** What a layer is called with. */
export type Kwargs = Record<string, unknown>;
/** The method `call` of a layer. */
export type LayerCall = (inputs: Tensor | Tensor[], kwargs: Kwargs) => Tensor | Tensor[];

const OURS = Symbol.for('thimble.layer');

/**
 * Replaces `call` in the class that `layer` has it from. The replacement serves the backend `thimble`;
 * it gets the layer and the stock method, bound. Does nothing where that has been done. `layer` itself
 * is thrown away: give it a name, or tfjs numbers the user's next layer one higher.
 */
export function patchCall<L>(
  layer: object,
  replacement: (
    layer: L,
    stock: LayerCall,
    inputs: Tensor | Tensor[],
    kwargs: Kwargs,
  ) => Tensor | Tensor[],
): void {
  const owner = owning(layer, 'call') as { call: LayerCall & { [OURS]?: true } };
  const stock = owner.call;
  if (stock[OURS]) return;
  const patched: LayerCall & { [OURS]?: true } = function (this: L, inputs, kwargs) {
    const bound: LayerCall = (...args) => stock.apply(this, args);
    return getBackend() === BACKEND_NAME
      ? replacement(this, bound, inputs, kwargs ?? {})
      : bound(inputs, kwargs);
  };
  patched[OURS] = true;
  owner.call = patched;
}

/** The prototype that defines the method itself. */
export function owning(layer: object, method: string): object {
  let owner = Object.getPrototypeOf(layer);
  while (!Object.hasOwn(owner, method)) owner = Object.getPrototypeOf(owner);
  return owner;
}

/** The one input of a layer, as tfjs hands it over. */
export function only(inputs: Tensor | Tensor[]): Tensor {
  return Array.isArray(inputs) ? (inputs[0] as Tensor) : inputs;
}
