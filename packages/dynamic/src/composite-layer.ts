// A layer that is made of layers.
import type * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { layerFromConfig } from '@thimble/core';

type Layer = tfl.layers.Layer;
type Kwargs = { [key: string]: unknown };
/** Layers as a config holds them. */
export type SavedLayer = { className: string; config: tf.serialization.ConfigDict };

/** The arguments of a layer with the layers that it is made of, live or as a config holds them. */
export type CompositeArgs = ConstructorParameters<typeof tfl.layers.Layer>[0];

/** The layers that a config or a caller gave. */
export function liveLayers(layers: readonly (Layer | SavedLayer)[]): Layer[] {
  return layers.map((layer) =>
    'className' in layer && 'config' in layer
      ? layerFromConfig(layer.className, layer.config)
      : (layer as Layer),
  );
}

/** Layers as a config holds them. */
export function savedLayers(layers: readonly Layer[]): tf.serialization.ConfigDict[] {
  return layers.map((layer) => ({ className: layer.getClassName(), config: layer.getConfig() }));
}

/** Applies layers one after the other. */
export function chained(layers: readonly Layer[], x: tfl.SymbolicTensor): tfl.SymbolicTensor {
  return layers.reduce((value, layer) => layer.apply(value) as tfl.SymbolicTensor, x);
}

/**
 * Ancestor of layers that are made of other layers. When it is built it puts them together as a model,
 * its body, and shows that model's layers, inputs and outputs: everything that walks through a nested model
 * (masks, quantisation, summaries, lowering) walks through it too. Its weights are those of the body.
 */
export abstract class CompositeLayer extends tfl.layers.Layer {
  #body: tfl.LayersModel | undefined;

  /** What the layer computes, put together from layers. */
  protected abstract compose(inputs: tfl.SymbolicTensor[]): tfl.SymbolicTensor;

  /** The layers in the body; none before the layer is built. */
  get layers(): Layer[] {
    return this.#body?.layers ?? [];
  }
  get inputs(): tfl.SymbolicTensor[] {
    return this.#body?.inputs ?? [];
  }
  get outputs(): tfl.SymbolicTensor[] {
    return this.#body?.outputs ?? [];
  }

  override build(inputShape: tfl.Shape | tfl.Shape[]): void {
    const shapes = (Array.isArray(inputShape[0]) ? inputShape : [inputShape]) as tfl.Shape[];
    const inputs = shapes.map((shape, i) =>
      tfl.input({ shape: shape.slice(1), name: `${this.name}_input${i}` }),
    );
    const outputs = this.compose(inputs);
    this.#body = tfl.model({ inputs, outputs, name: `${this.name}_body` });
    this.#body.trainable = this.trainable;
    this.built = true;
  }

  override computeOutputShape(inputShape: tfl.Shape | tfl.Shape[]): tfl.Shape | tfl.Shape[] {
    if (!this.#body) this.build(inputShape);
    return this.#body!.computeOutputShape(inputShape);
  }

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: Kwargs): tf.Tensor | tf.Tensor[] {
    return this.#body!.call(inputs, kwargs);
  }

  override get trainable(): boolean {
    return super.trainable;
  }
  override set trainable(trainable: boolean) {
    super.trainable = trainable;
    if (this.#body) this.#body.trainable = trainable;
  }
  override get trainableWeights(): tfl.LayerVariable[] {
    return this.#body?.trainableWeights ?? [];
  }
  override get nonTrainableWeights(): tfl.LayerVariable[] {
    return this.#body?.nonTrainableWeights ?? [];
  }

  override calculateLosses(): tf.Scalar[] {
    return this.#body?.calculateLosses() ?? [];
  }
}
