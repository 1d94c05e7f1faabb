// Layers that are made of other layers.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { ShapeError } from '@thimble/base';
import { internals, type Layer } from './internals.ts';
import { rememberConfig } from './parametrized-config.ts';
import { layerFromConfig } from './parametrized-layer.ts';

/** Applies a part of a composite layer, to symbolic tensors, to tensors or to shapes. */
export type ApplyPart<T> = (part: Layer, inputs: T | T[]) => T;

/**
 * A layer that stands for several plain layers: a block. A class of it makes its parts in its constructor
 * (`addPart`) and says in `connect` what is applied to what; building, shapes, calls, weights and saving
 * follow from that. Parts are saved with the layer, transforms included.
 *
 * - `parametrize(block, { kernel })` passes chains on to all parts that have such a weight
 * - `walkLayers`, `summarize` and whatever works on the layers of a model see the parts
 * - `finalize` puts a nested plain model of the parts in the place of the block
 *
 * Give parts the names that `addPart` hands over: names of weights must differ within a model.
 *
 * @example
 * class MyBottleneck extends CompositeLayer {
 *   static className = 'MyBottleneck';
 *   constructor(args) {
 *     super(args, { units: args.units });
 *     this.addPart('narrow', (name) => tfl.layers.dense({ name, units: 2 }));
 *     this.addPart('wide', (name) => tfl.layers.dense({ name, units: args.units }));
 *   }
 *   connect(input, apply) {
 *     return apply(this.part('wide'), apply(this.part('narrow'), input));
 *   }
 * }
 * tf.serialization.registerClass(MyBottleneck);
 * tfl.sequential({ layers: [new MyBottleneck({ units: 8, inputShape: [8] })] });
 */
export abstract class CompositeLayer extends tfl.layers.Layer {
  readonly #parts = new Map<string, Layer>();
  readonly #structure: tf.serialization.ConfigDict;
  #body: tfl.LayersModel | undefined;

  /**
   * @param args the arguments that every layer has, others are left out
   * @param structure the arguments from which the constructor makes the same parts again; saved
   */
  constructor(args: object, structure: tf.serialization.ConfigDict) {
    super(args as ConstructorParameters<typeof tfl.layers.Layer>[0]);
    this.#structure = structure;
  }

  /** What is applied to what; asks `apply` for every part that there is, each once. */
  abstract connect<T>(input: T, apply: ApplyPart<T>): T;

  /** Called before the parts are built, for what depends on the shape of the input, batch axis included. */
  protected prepare(_inputShape: tfl.Shape): void {}

  /** Adds a part under a role, for use in a constructor. */
  protected addPart(role: string, make: (name: string) => Layer): void {
    this.#parts.set(role, make(`${this.name}_${role}`));
  }

  /** The part with a role. */
  part(role: string): Layer {
    return this.#parts.get(role)!;
  }

  hasPart(role: string): boolean {
    return this.#parts.has(role);
  }

  /** The layers that it is made of, in the order in which they were added. */
  get parts(): Layer[] {
    return [...this.#parts.values()];
  }

  /** The plain layers as a model of their own; undefined before the layer is built. */
  get body(): tfl.LayersModel | undefined {
    return this.#body;
  }

  // A built composite has what a nested model has.
  get layers(): Layer[] | undefined {
    return this.#body?.layers;
  }
  get inputs(): tfl.SymbolicTensor[] | undefined {
    return this.#body?.inputs;
  }
  get outputs(): tfl.SymbolicTensor[] | undefined {
    return this.#body?.outputs;
  }

  /**
   * Applies the parts to a symbolic tensor one by one, as if they were layers of the model being built; instead of
   * applying the layer.
   */
  expand(input: tfl.SymbolicTensor): tfl.SymbolicTensor {
    this.prepare(input.shape);
    return this.connect(input, (part, inputs) => part.apply(inputs) as tfl.SymbolicTensor);
  }

  override build(inputShape: tfl.Shape | tfl.Shape[]): void {
    const shape = oneShape(this, inputShape);
    const input = tfl.input({ shape: shape.slice(1), name: `${this.name}_input` });
    const output = this.expand(input);
    this.#body = tfl.model({ name: this.name, inputs: input, outputs: output });
    super.build(inputShape);
    // Transforms may bring weights to parts that have none by which to tell.
    const path = this.weights[0]?.originalName.split('/') ?? [];
    const scope = path.slice(0, path.indexOf(this.name) + 1).map((each) => `${each}/`);
    for (const part of this.parts) internals(part).scope = scope.join('');
  }

  override computeOutputShape(inputShape: tfl.Shape | tfl.Shape[]): tfl.Shape {
    const shape = oneShape(this, inputShape);
    if (!this.built) this.prepare(shape);
    return this.connect(shape, (part, inputs) => part.computeOutputShape(inputs) as tfl.Shape);
  }

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: { [key: string]: unknown }): tf.Tensor {
    return tf.tidy(() => {
      const input = Array.isArray(inputs) ? inputs[0]! : inputs;
      return this.connect(input, (part, values) => part.call(values, kwargs) as tf.Tensor);
    });
  }

  override get trainableWeights(): tfl.LayerVariable[] {
    if (!this.trainable) return [];
    return [...super.trainableWeights, ...this.parts.flatMap((part) => part.trainableWeights)];
  }
  override set trainableWeights(weights: tfl.LayerVariable[]) {
    super.trainableWeights = weights;
  }

  override get nonTrainableWeights(): tfl.LayerVariable[] {
    const own = super.nonTrainableWeights;
    return this.trainable
      ? [...own, ...this.parts.flatMap((part) => part.nonTrainableWeights)]
      : [...own, ...this.parts.flatMap((part) => part.weights)];
  }
  override set nonTrainableWeights(weights: tfl.LayerVariable[]) {
    super.nonTrainableWeights = weights;
  }

  override get trainable(): boolean {
    return super.trainable;
  }
  override set trainable(trainable: boolean) {
    super.trainable = trainable;
    // tfjs's own constructor sets it before there are parts.
    if (#parts in this) for (const part of this.parts) part.trainable = trainable;
  }

  override calculateLosses(): tf.Scalar[] {
    return [...super.calculateLosses(), ...this.parts.flatMap((part) => part.calculateLosses())];
  }

  override setFastWeightInitDuringBuild(value: boolean): void {
    super.setFastWeightInitDuringBuild(value);
    for (const part of this.parts) part.setFastWeightInitDuringBuild(value);
  }

  override getConfig(): tf.serialization.ConfigDict {
    const config: tf.serialization.ConfigDict = {
      ...super.getConfig(),
      ...this.#structure,
      parts: this.parts.map((part) => ({
        className: part.getClassName(),
        config: part.getConfig(),
      })),
    };
    rememberConfig(config, this);
    return config;
  }

  static override fromConfig<T extends tf.serialization.Serializable>(
    cls: tf.serialization.SerializableConstructor<T>,
    config: tf.serialization.ConfigDict,
    customObjects: tf.serialization.ConfigDict = {},
    fastWeightInit: boolean = false,
  ): T {
    const { parts, ...args } = config;
    const layer = new cls(args);
    const composite = layer as unknown as CompositeLayer;
    const saved = (parts ?? []) as unknown as SavedPart[];
    for (const [i, role] of [...composite.#parts.keys()].entries()) {
      const part = saved[i];
      if (!part) continue;
      const made = layerFromConfig(part.className, part.config, customObjects, fastWeightInit);
      composite.#parts.set(role, made);
    }
    return layer;
  }
}

interface SavedPart {
  className: string;
  config: tf.serialization.ConfigDict;
}

function oneShape(layer: Layer, shape: tfl.Shape | tfl.Shape[]): tfl.Shape {
  if (!Array.isArray(shape[0])) return shape as tfl.Shape;
  if (shape.length === 1) return shape[0];
  throw new ShapeError(`Layer "${layer.name}" takes one input, not ${shape.length}.`);
}
