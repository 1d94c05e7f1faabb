// One weight of one layer, and the chain of transforms through which the layer sees it.
import * as tf from '@tensorflow/tfjs-core';
import type { LayerVariable } from '@tensorflow/tfjs-layers';
import {
  countNonzero,
  type Encoding,
  encodedBits,
  OptionError,
  ShapeError,
  type ValueCode,
} from '@thimble/base';
import { axesOf } from './axes.ts';
import { codebookOf } from './codebook-of.ts';
import { type Context, currentContext } from './context.ts';
import { internals, type Layer, localName, ownerOf, variablesOf } from './internals.ts';
import type { Axes, Site, WeightTransform } from './transform.ts';

/** A transform with its state at one weight. */
export interface Link {
  readonly transform: WeightTransform;
  readonly state: unknown;
}

/** A weight that its layer sees through a chain of transforms. */
export interface ParametrizedWeight {
  readonly layer: Layer;
  /** Name of the weight as the layer calls it, for example 'kernel'. */
  readonly weight: string;
  /** The stored weight, which the optimizer changes. */
  readonly variable: tf.Variable;
  /** The stored weight, and the weights that the links brought. */
  readonly variables: readonly tf.Variable[];
  readonly axes: Axes;
  readonly links: readonly Link[];
  /** True when a link has something to do after the optimizer's step. */
  readonly hasUpdate: boolean;
  /**
   * The stored weight to keep after an optimizer's step from `before` to `after`: every link's `update`
   * in the order of the chain. The result is a new tensor, or `after` itself.
   */
  update(before: tf.Tensor, after: tf.Tensor): tf.Tensor;
  /** The weight at test time: a new tensor. */
  bake(): tf.Tensor;
  /** What is stored, as counting and file writing see it. */
  encoding(): Encoding;
}

/** The chain of one weight; made when the layer is built. */
export class Chain implements ParametrizedWeight {
  readonly layer: Layer;
  readonly weight: string;
  readonly axes: Axes;
  readonly links: Link[] = [];
  readonly stored: LayerVariable;
  /** The weights that the links brought. */
  readonly added: LayerVariable[] = [];
  /** The same by link, with the names under which the layer noted them. */
  readonly #brought = new WeakMap<Link, { weights: LayerVariable[]; names: string[] }>();
  #held: tf.Tensor | undefined;

  constructor(layer: Layer, weight: string, stored: LayerVariable) {
    this.layer = layer;
    this.weight = weight;
    this.stored = stored;
    this.axes = axesOf(layer, weight, stored.shape as number[]);
  }

  get variable(): tf.Variable {
    return this.stored.read() as tf.Variable;
  }

  get variables(): tf.Variable[] {
    return [this.stored, ...this.added].map((weight) => weight.read() as tf.Variable);
  }

  get hasUpdate(): boolean {
    return this.links.some(({ transform }) => transform.update);
  }

  /**
   * Adds links at the end; one with a source, if it is the first of those that are added together, at the
   * front. `prefix` is what a state weight's name needs outside the layer's scope. Where one of them throws, none is
   * added.
   */
  add(transforms: readonly WeightTransform[], prefix: string): Link[] {
    const owner = internals(ownerOf(this.layer));
    const [links, added, known] = [[...this.links], this.added.length, variablesOf(this.layer)];
    const [trainable, others] = [[...owner._trainableWeights], [...owner._nonTrainableWeights]];
    const names = [...owner._addedWeightNames];
    const { trainable: trained } = this.stored;
    try {
      return transforms.map((transform, i) => this.#add(transform, prefix, i === 0));
    } catch (error) {
      for (const weight of variablesOf(this.layer)) if (!known.includes(weight)) weight.dispose();
      [owner._trainableWeights, owner._nonTrainableWeights] = [trainable, others];
      owner._addedWeightNames = names;
      this.stored.trainable = trained;
      this.links.splice(0, this.links.length, ...links);
      this.added.length = added;
      throw error;
    }
  }

  #add(transform: WeightTransform, prefix: string, first: boolean): Link {
    const { source, freezes } = transform;
    if (source) this.#checkSource(transform, first);
    const link = { transform, state: undefined as unknown };
    const at = source ? 0 : this.links.length;
    const { added } = this;
    const owner = internals(ownerOf(this.layer));
    const [weights, names] = [added.length, owner._addedWeightNames.length];
    link.state = transform.build(this.#site(prefix, () => this.#before(link, at)));
    this.links.splice(at, 0, link);
    this.#brought.set(link, {
      weights: added.slice(weights),
      names: owner._addedWeightNames.slice(names),
    });
    if (source || freezes) this.#freeze();
    return link;
  }

  /** Takes the links of these transforms away again, with the weights that they brought. */
  remove(transforms: readonly WeightTransform[]): void {
    const owner = internals(ownerOf(this.layer));
    for (const link of this.links.filter((each) => transforms.includes(each.transform))) {
      this.links.splice(this.links.indexOf(link), 1);
      const { weights, names } = this.#brought.get(link)!;
      const stays = (weight: LayerVariable) => !weights.includes(weight);
      this.added.splice(0, this.added.length, ...this.added.filter(stays));
      owner._trainableWeights = owner._trainableWeights.filter(stays);
      owner._nonTrainableWeights = owner._nonTrainableWeights.filter(stays);
      owner._addedWeightNames = owner._addedWeightNames.filter((name) => !names.includes(name));
      for (const weight of weights) weight.dispose();
    }
  }

  #checkSource(transform: WeightTransform, first: boolean): void {
    const name = transform.getClassName();
    const where = `"${this.weight}" of layer "${this.layer.name}"`;
    const other = this.links.find((link) => link.transform.source)?.transform.getClassName();
    if (other) {
      throw new OptionError(
        `${name} and ${other} both replace the stored ${where}: keep one of them.`,
      );
    }
    if (!first) {
      throw new OptionError(
        `${name} replaces the stored weight, so it must be the first transform of ${where}, not number ` +
          `${this.links.length + 1}.`,
      );
    }
  }

  #site(prefix: string, before: () => readonly Link[]): Site {
    const { layer, weight, axes, stored } = this;
    return {
      layer: layer.name,
      owner: layer,
      weight,
      key: `${stored.name}/${this.links.length}`,
      shape: stored.shape as number[],
      axes,
      variable: this.variable,
      trained: () => layer.trainableWeights.includes(stored),
      read: () => this.#baked(before()),
      encoding: () => this.encoding(),
      addWeight: (name, shape, initial, trainable) => {
        // 'kernel_mask', or 'kernel_mask2' where the chain has another mask already.
        const wanted = `${localName(stored)}_${name}`;
        const added = addedWeight(layer, prefix, wanted, shape, initial, trainable);
        this.added.push(added);
        return added.read() as tf.Variable;
      },
    };
  }

  /** Takes the stored weight from the trainable ones for good, also when `layer.trainable` is set. */
  #freeze(): void {
    const owner = internals(ownerOf(this.layer));
    if (!owner._trainableWeights.includes(this.stored)) return;
    owner._trainableWeights = owner._trainableWeights.filter((weight) => weight !== this.stored);
    owner._nonTrainableWeights.push(this.stored);
    this.stored.trainable = false;
  }

  /** Evaluates the chain for the calls of {@link read} until {@link release}; inside the caller's tidy. */
  hold(context: Context): void {
    this.#held = this.#apply(context);
  }

  release(): void {
    this.#held = undefined;
  }

  /** The penalty of a link. */
  penalty(link: Link): tf.Scalar {
    const context = currentContext(true);
    return link.transform.penalty!(this.#apply(context, link), link.state, context);
  }

  /** What the last link makes of the stored weight; or, with `end`, what that link gets. */
  #apply(context: Context, end?: Link): tf.Tensor {
    let value: tf.Tensor = this.variable;
    for (const link of this.links) {
      const { transform, state } = link;
      if (transform.source) value = transform.source(state, context);
      if (link === end) break;
      value = transform.apply(value, state, context);
      if (value.shape.join() !== this.variable.shape.join()) {
        throw new ShapeError(
          `${transform.getClassName()} made [${value.shape}] of "${this.weight}" of layer ` +
            `"${this.layer.name}", which has shape [${this.variable.shape}].`,
        );
      }
    }
    return value;
  }

  /** The weight as the layer sees it; outside the layer's call a new tensor, at test time. */
  read(): tf.Tensor {
    return this.#held ?? this.bake();
  }

  update(before: tf.Tensor, after: tf.Tensor): tf.Tensor {
    return tf.tidy(() => {
      const context = currentContext(true);
      return this.links.reduce(
        (value, { transform, state }) =>
          transform.update ? transform.update(before, value, state, context) : value,
        after,
      );
    });
  }

  bake(): tf.Tensor {
    return this.#baked(this.links);
  }

  /** The links in front of one; while it is being built it is not there, but comes to place `at`. */
  #before(link: Link, at: number): readonly Link[] {
    const place = this.links.indexOf(link);
    return this.links.slice(0, place < 0 ? at : place);
  }

  #baked(links: readonly Link[]): tf.Tensor {
    return tf.tidy(() => tf.clone(this.#walk(links, () => {})));
  }

  encoding(): Encoding {
    const codes: ValueCode[] = [];
    let mask: Uint8Array | undefined;
    let data: ArrayLike<number> = [];
    // A tidy that returned the numbers would look at each of them for tensors.
    tf.tidy(() => {
      const baked = this.#walk(this.links, (weight, { transform, state }) => {
        const { values, mask: next } = transform.encoding(weight, state);
        if (values) codes.push(values);
        mask = mask && next ? mask.map((keep, i) => keep & next[i]!) : (next ?? mask);
      });
      data = baked.dataSync();
    });
    const encoding: Encoding = {
      shape: this.variable.shape.slice(),
      values: codes.at(-1) ?? { type: 'float', bits: 32 },
      ...(mask ? { mask } : {}),
      nonzero: countNonzero(data),
    };
    const codebook = codes.findLast((code) => code.type === 'codebook');
    if (!codebook || codebook === encoding.values) return encoding;
    // A link that comes after a codebook leaves as many values as there were: they are a codebook still.
    const shared = codebookOf(data, { ...encoding, values: codebook });
    return shared && encodedBits(shared) < encodedBits(encoding) ? shared : encoding;
  }

  /** The weight at test time after some links; shows each of them the weight that it gets. */
  #walk(links: readonly Link[], visit: (weight: tf.Tensor, link: Link) => void): tf.Tensor {
    const context = currentContext(false);
    let value: tf.Tensor = this.variable;
    for (const link of links) {
      const { transform, state } = link;
      if (transform.source) value = transform.source(state, context);
      visit(value, link);
      value = transform.bake(value, state);
    }
    return value;
  }
}

/**
 * A new weight of a layer; a number is added to its name where the layer has one of that name (without
 * '_', with which tfjs numbers equal names of other layers). `prefix`
 * is what the name needs in front outside the layer's scope.
 */
export function addedWeight(
  layer: Layer,
  prefix: string,
  name: string,
  shape: number[],
  initial: tf.Tensor | number,
  trainable: boolean,
): LayerVariable {
  if (typeof initial !== 'number' && initial.shape.join() !== shape.join()) {
    throw new ShapeError(
      `${layer.name}: initial ${name} has shape [${initial.shape}], not [${shape}].`,
    );
  }
  const initializer = {
    apply: () => (typeof initial === 'number' ? tf.fill(shape, initial) : tf.clone(initial)),
  };
  const taken = new Set(variablesOf(layer).map(localName));
  let free = name;
  for (let i = 1; taken.has(free); i++) free = `${name}${i + 1}`;
  const owner = internals(ownerOf(layer));
  // Layers of loaded and finalized models start all weights from 0: they were to be overwritten.
  const { fastWeightInitDuringBuild } = owner;
  owner.fastWeightInitDuringBuild = false;
  try {
    return owner.addWeight(prefix + free, shape, 'float32', initializer, undefined, trainable);
  } finally {
    owner.fastWeightInitDuringBuild = fastWeightInitDuringBuild;
  }
}
