// Decorates a layer so that it sees its weights through chains of transforms.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel, LayerVariable } from '@tensorflow/tfjs-layers';
import { NoMatchError, OptionError, UnsupportedError } from '@thimble/base';
import type { CallTransform } from './call-transform.ts';
import { addedWeight, Chain, type ParametrizedWeight } from './chain.ts';
import { currentContext } from './context.ts';
import { internals, isBuilt, type Layer, variablesOf, weightsOf } from './internals.ts';
import { expectedKernels, layerWeight } from './kernel-names.ts';
import {
  callsFromConfig,
  chainsFromConfig,
  PARAMETRIZED,
  rememberConfig,
  type SavedChains,
  toConfig,
} from './parametrized-config.ts';
import type { WeightTransform } from './transform.ts';
import { innerLayers, stackedCells, walkLayers } from './walk.ts';

/** Transforms by the name of the weight that they apply to, in the order in which they apply. */
export type Chains = Record<string, WeightTransform[]>;

/**
 * Lets a layer see weights through chains of transforms: the first transform gets the stored weight, the
 * layer computes with what the last one returns. The layer itself is changed and returned; whatever it
 * has besides (regularizers, constraints, `trainable`, `units`) stays as it is, and the optimizer trains
 * the stored weight. The weights of the transforms become weights of the layer.
 *
 * - Weights are named as the layer names them: kernel, bias, depthwiseKernel, pointwiseKernel,
 *   recurrentKernel, embeddings, gamma, beta, alpha.
 * - TimeDistributed and Bidirectional pass the chains on to the layers inside them.
 * - Composite layers, and recurrent layers with several cells, pass each chain on to all of their parts that have such
 *   a weight.
 * - A second call for the same weight adds its transforms at the end of the chain. If the first of them
 *   has a source, that one goes to the front: what is there already then works on the source.
 * - Works before and after the layer is built, also on a layer inside a model. A model that has been
 *   compiled must be compiled again when a transform brings trainable weights.
 * - A chain is evaluated once per call of the layer: for a recurrent layer once per sequence, inside
 *   TimeDistributed once per time step.
 * - TensorFlow.js does not add the penalties of recurrent layers' own regularizers to the loss; those
 *   of transforms it does, but for those in stacked cells. Thimble's `fit` adds all.
 *
 * @throws {NoMatchError} naming the layer's weights, when there is no such weight. For a layer that is
 *   not built yet, when it is built.
 * @example
 * const layer = parametrize(tfl.layers.dense({ units: 300 }), { kernel: [mask(), fakeQuant({ bits: 8 })] });
 */
export function parametrize<L extends Layer>(layer: L, chains: Chains): L {
  checkChains(layer, chains);
  decorate(layer, chains, []);
  return layer;
}

/**
 * Lets transforms take part in the calls of a layer: the first gets the layer's inputs and gives its
 * output, and in between runs the next, the last one the layer itself. Their weights become weights of
 * the layer. Works wherever {@link parametrize} does, before or after it; `finalize` keeps such a layer as
 * it is, with its chains, and reports it.
 *
 * @throws {UnsupportedError} for a recurrent layer with stacked cells.
 * @example
 * const noisy: CallTransform = {
 *   getClassName: () => 'MyNoise',
 *   getConfig: () => ({}),
 *   build: () => null,
 *   call: (run, [x], _, { training }) => run([training ? tf.add(x, tf.randomNormal(x.shape)) : x]),
 * };
 * const layer = decorateCall(tfl.layers.dense({ units: 300 }), [noisy]);
 */
export function decorateCall<L extends Layer>(layer: L, transforms: CallTransform[]): L {
  if (!Array.isArray(transforms) || transforms.length === 0) {
    throw new OptionError(`decorateCall: layer "${layer.name}" was given no transform.`);
  }
  const stacked = walkLayers(layer).find(stackedCells);
  if (stacked) {
    throw new UnsupportedError(
      `decorateCall: layer "${stacked.name}" has stacked cells, and TensorFlow.js saves no weight of its own for such a ` +
        'layer. Put layers such as tf.layers.lstm one behind the other.',
    );
  }
  decorate(layer, {}, transforms);
  return layer;
}

function decorate(layer: Layer, chains: Chains, calls: CallTransform[], pattern?: Layer): void {
  const { layers, layer: wrapped, parts = stackedCells(layer) } = internals(layer);
  if (parts) {
    for (const [weight, transforms] of Object.entries(chains)) {
      for (const part of partsWith(layer, parts, weight))
        decorate(part, { [weight]: transforms }, []);
    }
    if (calls.length > 0) parametrizationOf(layer).addCalls(calls);
  } else if (layers) {
    throw new UnsupportedError(
      `"${layer.name}" is a model, not a layer: parametrize its layers (walkLayers lists them).`,
    );
  } else if (wrapped) {
    // A Bidirectional saves its pattern (`wrapped`), not the two layers that were made from it. The pattern comes
    // last: it is not built, and takes what the two may refuse.
    for (const inner of new Set([...innerLayers(layer), wrapped])) {
      decorate(inner, chains, calls, inner === wrapped ? undefined : wrapped);
    }
  } else {
    const known = parametrizationOf(layer, pattern);
    known.add(chains);
    known.addCalls(calls);
  }
}

function parametrizationOf(layer: Layer, pattern?: Layer): Parametrization {
  return parametrizations.get(layer) ?? new Parametrization(layer, pattern);
}

/** The parts of a composite layer that have a weight of that name, or will have it once they are built. */
function partsWith(layer: Layer, parts: readonly Layer[], weight: string): Layer[] {
  const has = (part: Layer) =>
    expectedKernels(part).includes(weight) ||
    layerWeight(part, weight) !== undefined ||
    (weight === 'bias' && (part as Layer & { useBias?: boolean }).useBias === true);
  const found = parts.filter(has);
  if (found.length > 0) return found;
  throw new NoMatchError(
    `Layer "${layer.name}" (${classNameOf(layer)}) is made of ${parts.map(({ name }) => name).join(', ')}, ` +
      `of which none has a weight "${weight}". Weights with kernels: ${expectedKernels(layer).join(', ')}.`,
  );
}

/**
 * Every weight of a model, or of one layer, that is seen through a chain, in the order of the layers;
 * nested models, wrappers and recurrent cells included, each once. Empty while nothing is built.
 *
 * @example
 * for (const { layer, weight, variable } of parametrizedWeights(model)) console.log(layer.name, weight);
 */
export function parametrizedWeights(model: LayersModel | Layer): ParametrizedWeight[] {
  return walkLayers(model).flatMap((layer) => {
    const { cell } = internals(layer);
    return (cell ? [layer, cell] : [layer]).flatMap(chainsOf);
  });
}

/** The chains of one layer; empty where it has none or is not built. */
export function chainsOf(layer: Layer): Chain[] {
  return [...(parametrizations.get(layer)?.chains.values() ?? [])];
}

/** A call transform with its state at one layer. */
export interface CallLink {
  readonly transform: CallTransform;
  readonly state: unknown;
}

/**
 * The call transforms of one layer with their states; empty where it has none or is not built.
 *
 * @example
 * for (const { transform } of callLinks(layer)) console.log(transform.getClassName());
 */
export function callLinks(layer: Layer): readonly CallLink[] {
  return parametrizations.get(layer)?.calls ?? [];
}

/** The weights of a layer that its call transforms brought. */
export function callWeights(layer: Layer): readonly LayerVariable[] {
  return parametrizations.get(layer)?.callWeights ?? [];
}

/** True for a layer that transforms of its calls were given, built or not. */
export function hasCallTransforms(layer: Layer): boolean {
  return (parametrizations.get(layer)?.askedCalls.length ?? 0) > 0;
}

const parametrizations = new WeakMap<Layer, Parametrization>();

/** The name of the class of a layer, also where {@link parametrize} has changed what the layer says. */
export function classNameOf(layer: Layer): string {
  return parametrizations.get(layer)?.className ?? layer.getClassName();
}

/** What is known of one decorated layer. */
class Parametrization {
  readonly layer: Layer;
  readonly className: string;
  /** What was asked for, in order; the saved form. */
  readonly asked: Chains = {};
  readonly chains = new Map<string, Chain>();
  readonly askedCalls: CallTransform[] = [];
  readonly calls: CallLink[] = [];
  readonly callWeights: LayerVariable[] = [];
  /** For the layers inside a Bidirectional: the pattern from which they were made. */
  readonly pattern: Layer | undefined;

  constructor(layer: Layer, pattern?: Layer) {
    this.layer = layer;
    this.pattern = pattern;
    this.className = layer.getClassName();
  }

  /** Changes what the layer does, once there is something to do. */
  #decorate(): void {
    const { layer } = this;
    if (parametrizations.has(layer)) return;
    const target = internals(layer);
    const { build, call, getClassName, getConfig } = target;
    parametrizations.set(layer, this);

    target.build = (inputShape) => {
      build.call(layer, inputShape);
      if (target.initialWeights) {
        layer.setWeights(target.initialWeights);
        target.initialWeights = null;
      }
      for (const [weight, transforms] of Object.entries(this.asked)) {
        this.#attach(weight, transforms, false);
      }
      const several = Array.isArray(inputShape[0]) ? inputShape.length : 1;
      for (const transform of this.askedCalls) this.#attachCall(transform, several, '');
    };
    target.call = (inputs, kwargs) =>
      tf.tidy(() => {
        const context = currentContext(kwargs?.training === true);
        const chains = [...this.chains.values()];
        try {
          for (const chain of chains) chain.hold(context);
          const plain = (given: tf.Tensor[]) =>
            call.call(layer, Array.isArray(inputs) ? given : given[0]!, kwargs);
          const run = this.calls.reduceRight<typeof plain>(
            (next, { transform, state }) =>
              (given) =>
                transform.call(next, given, state, context),
            plain,
          );
          return run(Array.isArray(inputs) ? inputs : [inputs]);
        } finally {
          for (const chain of chains) chain.release();
        }
      });
    target.getClassName = () => PARAMETRIZED;
    target.getConfig = () => {
      // Some layers' getConfig asks for their own class name.
      const shown = target.getClassName;
      target.getClassName = getClassName;
      try {
        const config = toConfig(getConfig.call(layer), this.className, this.asked, this.askedCalls);
        rememberConfig(config, layer);
        return config;
      } finally {
        target.getClassName = shown;
      }
    };
  }

  add(chains: Chains): void {
    const built = isBuilt(this.layer);
    if (built) for (const weight of Object.keys(chains)) findWeight(this.layer, weight);
    for (const [weight, transforms] of Object.entries(chains)) {
      const before = this.asked[weight] ?? [];
      const [first, ...others] = transforms;
      const moved = before.length > 0 && first?.source !== undefined;
      if (moved && before[0]!.source) {
        throw new OptionError(
          `${first.getClassName()} and ${before[0]!.getClassName()} both replace the stored "${weight}" of ` +
            `layer "${this.layer.name}": keep one of them.`,
        );
      }
      if (built) this.#attach(weight, transforms, true);
      this.asked[weight] = moved ? [first, ...before, ...others] : [...before, ...transforms];
      this.#decorate();
    }
  }

  addCalls(transforms: readonly CallTransform[]): void {
    const { layer } = this;
    if (isBuilt(layer)) {
      const several = layer.inboundNodes[0]?.inputShapes.length ?? 1;
      const [first] = variablesOf(layer);
      const scope = first?.originalName.split('/').slice(0, -1) ?? [];
      const prefix =
        scope.map((part) => `${part}/`).join('') || `${internals(layer).scope ?? ''}${layer.name}/`;
      for (const transform of transforms) this.#attachCall(transform, several, prefix);
    }
    this.askedCalls.push(...transforms);
    this.#decorate();
  }

  #attachCall(transform: CallTransform, inputs: number, prefix: string): void {
    const { layer } = this;
    const state = transform.build({
      layer,
      inputs,
      addWeight: (name, shape, initial, trainable) => {
        const added = addedWeight(layer, prefix, name, shape, initial, trainable);
        this.callWeights.push(added);
        return added.read() as tf.Variable;
      },
    });
    this.calls.push({ transform, state });
    if (transform.penalty) {
      this.#addPenalty(() => transform.penalty!(state, currentContext(true)));
    }
  }

  #attach(weight: string, transforms: WeightTransform[], late: boolean): void {
    const { layer } = this;
    const chain = this.chains.get(weight) ?? new Chain(layer, weight, findWeight(layer, weight));
    const scope = chain.stored.originalName.split('/').slice(0, -1);
    const prefix = late ? scope.map((part) => `${part}/`).join('') : '';
    for (const link of chain.add(transforms, prefix)) {
      if (link.transform.penalty) this.#addPenalty(() => chain.penalty(link));
    }
    if (!this.chains.has(weight)) {
      this.chains.set(weight, chain);
      const owner = (internals(layer).cell ?? layer) as unknown as Record<string, LayerVariable>;
      owner[weight] = seenThrough(chain);
    }
  }

  #addPenalty(penalty: () => tf.Scalar): void {
    const loss = () => tf.tidy(penalty);
    this.layer.addLoss(loss);
    // A Bidirectional asks only its pattern for losses. The pattern has none of its own: it is never
    // built. If it is, it is in use by itself, and the losses of its copies are not its affair.
    const { pattern } = this;
    pattern?.addLoss(() => (isBuilt(pattern) ? tf.scalar(0) : loss()));
  }
}

/** Decorates a layer that was made from a saved form. */
export function parametrizeFromConfig(
  layer: Layer,
  saved: SavedChains,
  pattern: Layer | undefined,
): void {
  const made = new Parametrization(layer, pattern);
  made.add(chainsFromConfig(saved));
  made.addCalls(callsFromConfig(saved));
}

function checkChains(layer: Layer, chains: Chains): void {
  const names = Object.keys(chains);
  if (names.length === 0) {
    throw new OptionError(`parametrize: no weight of layer "${layer.name}" was given a transform.`);
  }
  for (const name of names) {
    const transforms = chains[name];
    if (!Array.isArray(transforms) || transforms.length === 0) {
      throw new OptionError(
        `parametrize: "${name}" of layer "${layer.name}" needs an array of one or more transforms.`,
      );
    }
    const other = transforms.findIndex(
      (each) => typeof each?.build !== 'function' || typeof each.apply !== 'function',
    );
    if (other >= 0) {
      throw new OptionError(
        `parametrize: number ${other + 1} of the transforms for "${name}" of layer "${layer.name}" is none. ` +
          'What makes one says so, as mask() and fakeQuant({ bits: 8 }) do.',
      );
    }
  }
}

function findWeight(layer: Layer, weight: string): LayerVariable {
  const weights = weightsOf(layer);
  const found = weights[weight];
  if (!found) {
    throw new NoMatchError(
      `Layer "${layer.name}" (${classNameOf(layer)}) has no weight "${weight}". ` +
        `Its weights: ${Object.keys(weights).join(', ') || 'none'}.`,
    );
  }
  return found;
}

/** The stored variable in all but its value, which is the end of the chain. */
function seenThrough(chain: Chain): LayerVariable {
  const { stored } = chain;
  return Object.create(stored, {
    read: { value: () => chain.read() },
    trainable: {
      get: () => stored.trainable,
      set: (trainable: boolean) => {
        stored.trainable = trainable;
      },
    },
  }) as LayerVariable;
}
