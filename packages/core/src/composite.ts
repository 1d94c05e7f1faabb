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
 * (`addPart`), or in `prepare` where they depend on the shape of the input, and says in `connect` what is applied to
 * what; building, shapes, calls, weights and saving follow from that. Parts are saved with the layer, transforms
 * included.
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
  /** Parts from a config that no role has asked for yet, in the order of the roles. */
  readonly #saved: Layer[];
  readonly #structure: tf.serialization.ConfigDict;
  #body: tfl.LayersModel | undefined;

  /**
   * @param args the arguments that every layer has and, from a config, the parts; others are left out
   * @param structure the arguments from which the constructor makes the same parts again; saved
   */
  constructor(args: object, structure: tf.serialization.ConfigDict) {
    super(args as ConstructorParameters<typeof tfl.layers.Layer>[0]);
    this.#structure = structure;
    this.#saved = [...((args as { parts?: readonly Layer[] }).parts ?? [])];
  }

  /** What is applied to what; asks `apply` for every part that there is, each once. `others`: further inputs. */
  abstract connect<T>(input: T, apply: ApplyPart<T>, others: readonly T[]): T;

  /** Number of inputs; 1 unless a class says otherwise. */
  protected get inputCount(): number {
    return 1;
  }

  /**
   * Called before the parts are built, perhaps several times, for what depends on the shape of the first input, batch
   * axis included.
   */
  protected prepare(_inputShape: tfl.Shape): void {}

  /** Adds a part under a role, unless there is one. Roles must come in the same order every time. */
  protected addPart(role: string, make: (name: string) => Layer): void {
    if (this.#parts.has(role)) return;
    this.#parts.set(role, this.#saved.shift() ?? make(`${this.name}_${role}`));
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
  expand(
    input: tfl.SymbolicTensor,
    others: readonly tfl.SymbolicTensor[] = [],
  ): tfl.SymbolicTensor {
    this.prepare(input.shape);
    return this.connect(input, (part, inputs) => part.apply(inputs) as tfl.SymbolicTensor, others);
  }

  override build(inputShape: tfl.Shape | tfl.Shape[]): void {
    const inputs = this.#shapes(inputShape).map((shape, i) =>
      tfl.input({ shape: shape.slice(1), name: `${this.name}_input${i || ''}` }),
    );
    const outputs = this.expand(inputs[0]!, inputs.slice(1));
    this.#body = tfl.model({ name: this.name, inputs, outputs });
    super.build(inputShape);
    // Transforms may bring weights to parts that have none by which to tell.
    const path = this.weights[0]?.originalName.split('/') ?? [];
    const scope = path.slice(0, path.indexOf(this.name) + 1).map((each) => `${each}/`);
    for (const part of this.parts) internals(part).scope = scope.join('');
  }

  override computeOutputShape(inputShape: tfl.Shape | tfl.Shape[]): tfl.Shape {
    const [shape, ...others] = this.#shapes(inputShape);
    if (!this.built) this.prepare(shape!);
    const apply: ApplyPart<tfl.Shape> = (part, inputs) =>
      part.computeOutputShape(inputs) as tfl.Shape;
    return this.connect(shape!, apply, others);
  }

  #shapes(shape: tfl.Shape | tfl.Shape[]): tfl.Shape[] {
    const shapes = (Array.isArray(shape[0]) ? shape : [shape]) as tfl.Shape[];
    if (shapes.length === this.inputCount) return shapes;
    const wanted = this.inputCount === 1 ? 'one input' : `${this.inputCount} inputs`;
    throw new ShapeError(`Layer "${this.name}" takes ${wanted}, not ${shapes.length}.`);
  }

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: { [key: string]: unknown }): tf.Tensor {
    return tf.tidy(() => {
      const [input, ...others] = [inputs].flat() as tf.Tensor[];
      return this.connect(input!, (part, x) => part.call(x, kwargs) as tf.Tensor, others);
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
      parts: [...this.parts, ...this.#saved].map((part) => ({
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
    const saved = (config.parts ?? []) as unknown as SavedPart[];
    const parts = saved.map((part) =>
      layerFromConfig(part.className, part.config, customObjects, fastWeightInit),
    );
    return new cls({ ...config, parts });
  }
}

interface SavedPart {
  className: string;
  config: tf.serialization.ConfigDict;
}
