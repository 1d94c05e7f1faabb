// How a gradient of tfjs-core is replaced for the backend `thimble` alone. tfjs keeps one gradient per
// kernel name for all backends, so ours looks at the active backend and hands all others to the stock
// one.
import {
  type GradConfig,
  getBackend,
  getGradient,
  type NamedAttrMap,
  registerGradient,
  type Tensor,
  unregisterGradient,
} from '@tensorflow/tfjs-core';
import { BACKEND_NAME } from '../name.ts';

/** For every input, by name, how its gradient is computed. */
export type GradientMap = Record<string, () => Tensor>;

/** The gradient of one kernel; `Dy` is a list for kernels with several outputs. */
export interface Gradient {
  kernelName: string;
  /** Left out where the stock gradient saves the same. */
  inputsToSave?: string[];
  /** All inputs, for kernels that take a list of tensors. */
  saveAllInputs?: boolean;
  /** By position, which outputs are needed. */
  outputsToSave?: boolean[];
  gradFunc(dy: Tensor | Tensor[], saved: Tensor[], attrs: NamedAttrMap): GradientMap;
}

/** A gradient, typed; tfjs's own type for it says nothing of attributes. */
export function defineGradient<Attrs, Dy = Tensor>(
  kernelName: string,
  gradFunc: (dy: Dy, saved: Tensor[], attrs: Attrs) => GradientMap,
  saves: Omit<Gradient, 'kernelName' | 'gradFunc'> = {},
): Gradient {
  return { kernelName, gradFunc: gradFunc as unknown as Gradient['gradFunc'], ...saves };
}

const OURS = Symbol.for('thimble.gradient');

/** Registers `gradient` for the backend `thimble`; does nothing where that has been done. */
export function overrideGradient(gradient: Gradient): void {
  const stock = getGradient(gradient.kernelName) as (GradConfig & { [OURS]?: true }) | undefined;
  if (stock?.[OURS]) return;
  const { kernelName, ...saves } = gradient;
  const config: GradConfig & { [OURS]: true } = {
    ...stock,
    ...saves,
    kernelName,
    [OURS]: true,
    gradFunc: (dy, saved, attrs) => {
      if (getBackend() === BACKEND_NAME) return gradient.gradFunc(dy, saved, attrs);
      if (stock) return stock.gradFunc(dy, saved, attrs);
      // What tfjs says where no gradient is registered.
      throw new Error(`Cannot compute gradient: gradient function not found for ${kernelName}.`);
    },
  };
  if (stock) unregisterGradient(kernelName);
  registerGradient(config);
}

/**
 * Names of inputs to save, of which some may be absent. tfjs maps the names to tensors and then copies
 * every one of them, which throws for an absent input; this list leaves the absent ones out.
 */
export class OptionalInputs extends Array<string> {
  static override get [Symbol.species](): ArrayConstructor {
    return Array;
  }

  override map<T>(callback: (name: string, index: number, all: string[]) => T): T[] {
    return super.map(callback).filter((tensor) => tensor != null);
  }
}
