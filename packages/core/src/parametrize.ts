// Decorates a layer so that it sees its weights through chains of transforms.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { NoMatchError, OptionError, UnsupportedError } from '@thimble/base';
import type { CallTransform } from './call-transform.ts';
import type { ParametrizedWeight } from './chain.ts';
import { internals, type Layer } from './internals.ts';
import { expectedKernels, layerWeight } from './kernel-names.ts';
import { type Chains, chainsOf, classNameOf, known, parametrizationOf } from './parametrization.ts';
import { innerLayers, stackedCells, walkLayers } from './walk.ts';

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
 * Takes back what {@link parametrize} did with the same layer and the same transforms: these leave their chains, their
 * weights are disposed of, and a layer that has no transform left is what it was before. What others have added
 * meanwhile stays; it must not be of the same class, as its weights would be numbered after those that go.
 *
 * @throws {UnsupportedError} for transforms with a source or a penalty, or that freeze the stored weight.
 * @example
 * const chains = { kernel: [mask()] };
 * unparametrize(parametrize(layer, chains), chains);
 */
export function unparametrize(layer: Layer, chains: Chains): void {
  const lasting = Object.values(chains)
    .flat()
    .find(({ source, penalty, freezes }) => source || penalty || freezes);
  if (lasting) {
    throw new UnsupportedError(
      `unparametrize: ${lasting.getClassName()} of layer "${layer.name}" cannot be taken back.`,
    );
  }
  const { layer: wrapped, parts = stackedCells(layer) } = internals(layer);
  const inside = parts ?? (wrapped ? [...innerLayers(layer), wrapped] : []);
  if (inside.length === 0) known(layer)?.remove(chains);
  for (const part of new Set(inside)) unparametrize(part, chains);
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
    const parametrization = parametrizationOf(layer, pattern);
    parametrization.add(chains);
    parametrization.addCalls(calls);
  }
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
