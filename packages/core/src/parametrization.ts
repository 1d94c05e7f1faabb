// What is known of one decorated layer, and how it is decorated.
import * as tf from '@tensorflow/tfjs-core';
import type { LayerVariable } from '@tensorflow/tfjs-layers';
import { NoMatchError, OptionError } from '@thimble/base';
import type { CallTransform } from './call-transform.ts';
import { addedWeight, Chain } from './chain.ts';
import { currentContext } from './context.ts';
import { internals, isBuilt, type Layer, ownerOf, variablesOf, weightsOf } from './internals.ts';
import {
  callsFromConfig,
  chainsFromConfig,
  PARAMETRIZED,
  rememberConfig,
  type SavedChains,
  toConfig,
} from './parametrized-config.ts';
import type { WeightTransform } from './transform.ts';

/** Transforms by the name of the weight that they apply to, in the order in which they apply. */
export type Chains = Record<string, WeightTransform[]>;

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

/** What is known of a decorated layer; undefined for others. */
export function known(layer: Layer): Parametrization | undefined {
  return parametrizations.get(layer);
}

/** The same, or a new one that decorates the layer once there is something to do. */
export function parametrizationOf(layer: Layer, pattern?: Layer): Parametrization {
  return parametrizations.get(layer) ?? new Parametrization(layer, pattern);
}

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
  readonly chains: Map<string, Chain> = new Map();
  readonly askedCalls: CallTransform[] = [];
  readonly calls: CallLink[] = [];
  readonly callWeights: LayerVariable[] = [];
  /** For the layers inside a Bidirectional: the pattern from which they were made. */
  readonly pattern: Layer | undefined;
  #undecorate: () => void = () => {};

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
    const before = ['build', 'call', 'getClassName', 'getConfig'].map(
      (name) => [name, Object.getOwnPropertyDescriptor(layer, name)] as const,
    );
    this.#undecorate = () => {
      for (const [name, own] of before) {
        Reflect.deleteProperty(layer, name);
        if (own) Object.defineProperty(layer, name, own);
      }
      parametrizations.delete(layer);
    };

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

  /** Takes transforms away again; a layer that has none left is what it was. */
  remove(chains: Chains): void {
    for (const [weight, transforms] of Object.entries(chains)) {
      const left = (this.asked[weight] ?? []).filter((each) => !transforms.includes(each));
      if (left.length > 0) this.asked[weight] = left;
      else delete this.asked[weight];
      const chain = this.chains.get(weight);
      chain?.remove(transforms);
      if (chain?.links.length === 0) {
        this.chains.delete(weight);
        this.#show(weight, chain.stored);
      }
    }
    if (Object.keys(this.asked).length + this.askedCalls.length === 0) this.#undecorate();
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
      this.#show(weight, seenThrough(chain));
    }
  }

  /** What the layer finds under the name of a weight. */
  #show(weight: string, variable: LayerVariable): void {
    (ownerOf(this.layer) as unknown as Record<string, LayerVariable>)[weight] = variable;
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
