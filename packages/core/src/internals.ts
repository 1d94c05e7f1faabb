// The parts of a tfjs layer that its types hide, and which layer object owns the weights.
import type { serialization, Tensor } from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import type { Encoding } from '@thimble/base';

export type Layer = tfl.layers.Layer;
type Shape = (number | null)[];

/** A layer with the members that TensorFlow.js marks as protected or leaves to subclasses. */
export interface LayerInternals {
  name: string;
  built: boolean;
  _trainableWeights: tfl.LayerVariable[];
  _nonTrainableWeights: tfl.LayerVariable[];
  _addedWeightNames: string[];
  initialWeights: Tensor[] | null;
  /** True in models that are loaded or made from a config: new weights start from 0, whatever they ask for. */
  fastWeightInitDuringBuild: boolean;
  addWeight(
    name: string,
    shape: number[],
    dtype: 'float32',
    initializer: { apply(): Tensor },
    regularizer: undefined,
    trainable: boolean,
  ): tfl.LayerVariable;
  build(inputShape: Shape | Shape[]): void;
  call(inputs: Tensor | Tensor[], kwargs: { training?: boolean } | null): Tensor | Tensor[];
  getClassName(): string;
  getConfig(): serialization.ConfigDict;
  /** Of a recurrent layer. */
  cell?: Layer;
  /** Of stacked recurrent cells. */
  cells?: Layer[];
  /** Of a model. */
  layers?: Layer[];
  /** Of a composite layer: the layers that it is made of. */
  parts?: Layer[];
  /** Of a part of a composite layer: what the names of its weights begin with, in front of its own name. */
  scope?: string;
  /** Of a built composite layer: its parts as a model. */
  body?: tfl.LayersModel;
  /** Of a wrapper. */
  layer?: Layer;
  /** Of a Bidirectional wrapper; `layer` is then only the pattern from which both were made. */
  forwardLayer?: Layer;
  backwardLayer?: Layer;
  units?: number;
  filters?: number;
  /**
   * Of Thimble's own layers whose class has a static `plainForm`: the weights of that layer by their names,
   * as they are at test time, new tensors. Called inside a tidy.
   */
  plainWeights?(): Record<string, Tensor>;
  /**
   * Of Thimble's own layers: the multiply-accumulates of one application to one example whose output has that
   * shape, where shapes of weights do not tell.
   */
  countMacs?(output: Shape): number;
  /** Of Thimble's own layers: how a weight that no transform sees is stored, where not as floats. */
  storedAs?(
    weight: string,
    data: Float32Array,
    shape: readonly number[],
  ): Partial<Encoding> | undefined;
}

export function internals(layer: Layer): LayerInternals {
  return layer as unknown as LayerInternals;
}

/** The object that holds a layer's weights: the cell of a recurrent layer, else the layer itself. */
export function ownerOf(layer: Layer): Layer {
  return internals(layer).cell ?? layer;
}

/** True once the layer has its weights; the layers inside a Bidirectional never say so themselves. */
export function isBuilt(layer: Layer): boolean {
  return layer.built || ownerOf(layer).built;
}

/** A layer's weights by the name of the property that holds them. */
export function weightsOf(layer: Layer): Record<string, tfl.LayerVariable> {
  const weights: Record<string, tfl.LayerVariable> = {};
  for (const [name, value] of Object.entries(ownerOf(layer))) {
    if (value instanceof tfl.LayerVariable) weights[name] = value;
  }
  return weights;
}

/** All variables of a layer, in the order in which they were added. */
export function variablesOf(layer: Layer): tfl.LayerVariable[] {
  const owner = internals(ownerOf(layer));
  return [...owner._trainableWeights, ...owner._nonTrainableWeights];
}

/** 'kernel' for 'model/dense/kernel'. */
export function localName(variable: tfl.LayerVariable): string {
  return variable.originalName.split('/').at(-1)!;
}
