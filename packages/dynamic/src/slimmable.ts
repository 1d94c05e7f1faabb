// What slimmable layers have in common: the part of their weights that they compute with.
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import { ShapeError } from '@thimble/base';
import { checkedWidths, isList, type Widths } from './slimmable-widths.ts';

/** How much of a layer is at work. */
export interface Active {
  /** Channels of the input. */
  inputs: number;
  /** Channels of the output. */
  outputs: number;
  /** Of a flattened map of features, the number of its positions; else 1. */
  positions: number;
}

/** What the types of tfjs-layers hide. */
export interface Inside extends tfl.layers.Layer {
  inputSpec: { ndim?: number; minNDim?: number }[];
}

/** How the active part is cut from a weight, by the name that the layer calls the weight. */
export type Cuts = Record<string, (weight: tf.Tensor) => tf.Tensor>;

/** A layer that can be narrowed. */
export type SlimmableLayer = tfl.layers.Layer & { readonly slim: Slim };

/** True for the layers of this kind, decorated or not. */
export function isSlimmable(layer: tfl.layers.Layer): layer is SlimmableLayer {
  return (layer as Partial<SlimmableLayer>).slim instanceof Slim;
}

/** What comes back from a saved form beside the arguments of a layer. */
export interface SlimConfig {
  widths: Widths;
  width?: number;
  active?: Active | null;
}

interface Part {
  source: object;
  value: tf.Tensor;
}

/** The widths of one layer, the one that it has now, and the parts of its weights. */
export class Slim {
  readonly widths: Widths;
  width: number;
  /** Undefined for the whole layer. */
  active: Active | undefined;
  readonly #layer: tfl.layers.Layer;
  /** The parts as they were when the layer was last called outside training. */
  readonly #parts = new Map<string, Part>();

  constructor(layer: tfl.layers.Layer, { widths, width = 1, active }: SlimConfig) {
    this.#layer = layer;
    this.widths = checkedWidths(`layer "${layer.name}"`, widths);
    this.width = width;
    this.active = active ?? undefined;
  }

  set(width: number, active: Active): void {
    this.width = width;
    this.active = active;
    this.forget();
  }

  /** Disposes of the parts that are kept. */
  forget(): void {
    for (const { value } of this.#parts.values()) value.dispose();
    this.#parts.clear();
  }

  /** Throws where an input is not as wide as the layer is set to. */
  check(x: tf.Tensor, whole: number): void {
    const { active } = this;
    const expected = active ? active.inputs * active.positions : whole;
    if (x.shape.at(-1) === expected) return;
    throw new ShapeError(
      `Layer "${this.#layer.name}" is set to ${expected} input channels, but gets ${x.shape.at(-1)}: set ` +
        'the width of the whole model with setWidth.',
    );
  }

  /**
   * Runs `run`, the call of the plain layer, while the weights named in `cuts` are seen cut to their active
   * parts, after their transforms. Outside training a part is kept for the next call.
   */
  narrowed<T>(cuts: Cuts, training: boolean, run: () => T): T {
    const owner = this.#layer as unknown as Record<string, tfl.LayerVariable | null>;
    const passing = training || tf.engine().state.gradientDepth > 0;
    // A gradient may be on its way to an optimizer that changes weights where they are.
    if (passing) this.forget();
    const whole: [string, tfl.LayerVariable][] = [];
    try {
      for (const [name, cut] of Object.entries(cuts)) {
        const weight = owner[name];
        if (!weight) continue;
        whole.push([name, weight]);
        const read = () => this.#part(name, weight.read(), cut, passing);
        owner[name] = Object.create(weight, { read: { value: read } }) as tfl.LayerVariable;
      }
      return run();
    } finally {
      for (const [name, weight] of whole) owner[name] = weight;
    }
  }

  #part(
    name: string,
    weight: tf.Tensor,
    cut: (weight: tf.Tensor) => tf.Tensor,
    passing: boolean,
  ): tf.Tensor {
    // What transforms made of a weight is a new tensor at every call.
    if (passing || !(weight instanceof tf.Variable)) return cut(weight);
    const known = this.#parts.get(name);
    if (known?.source === weight.dataId && !known.value.isDisposed) return known.value;
    known?.value.dispose();
    const value = tf.keep(tf.tidy(() => tf.clone(cut(weight))));
    this.#parts.set(name, { source: weight.dataId, value });
    return value;
  }

  get config(): tf.serialization.ConfigDict {
    const { widths, width, active } = this;
    const plain = isList(widths) ? [...widths] : { ...widths };
    return { widths: plain, width, active: active ? { ...active } : null };
  }
}

/** The config of a layer without what belongs to {@link Slim}. */
export function withoutSlim({
  widths,
  width,
  active,
  ...config
}: tf.serialization.ConfigDict): tf.serialization.ConfigDict {
  return config;
}

/** One of the inputs. */
export function only(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
  return Array.isArray(inputs) ? inputs[0]! : inputs;
}

/** The first entries of a vector. */
export function head(size: number): (vector: tf.Tensor) => tf.Tensor {
  return (vector) => (vector.shape[0] === size ? vector : tf.slice(vector, [0], [size]));
}
