// Finds masked weights by rules, and gives masks to layers that have none.
import type * as tf from '@tensorflow/tfjs-core';
import type { LayersModel, layers } from '@tensorflow/tfjs-layers';
import { NoMatchError } from '@thimble/base';
import {
  bidirectionalOf,
  checkKernelNames,
  kernelLayers,
  kernelNames,
  type LayerTargets,
  layerWeight,
  matchLayers,
  type ParametrizedWeight,
  parametrize,
  parametrizedWeights,
  unparametrize,
  walkLayers,
} from '@thimble/core';
import { MASK_CLASS_NAME, type MaskState, type MaskTransform, mask } from './mask.ts';

/** A weight with a mask. */
export interface MaskedWeight {
  readonly weight: ParametrizedWeight;
  readonly mask: tf.Variable;
  /** 'layer/kernel', or 'layer/kernel#2' where an earlier layer of a nested model has the same name. */
  readonly name: string;
}

/** The kernels of a built layer with their shapes. */
export function kernelShapes(layer: layers.Layer): [name: string, shape: number[]][] {
  return kernelNames(layer).map((name) => [name, layerWeight(layer, name)!.shape as number[]]);
}

/** The masked weights of a model, or of those of its layers that the rules match. */
export function maskedWeights(model: LayersModel, targets?: LayerTargets): MaskedWeight[] {
  const names = new Map<string, number>();
  const found = parametrizedWeights(model).flatMap((weight) => {
    const link = weight.links.find(({ transform }) => transform.getClassName() === MASK_CLASS_NAME);
    if (!link) return [];
    const plain = `${weight.layer.name}/${weight.weight}`;
    const times = (names.get(plain) ?? 0) + 1;
    names.set(plain, times);
    const name = times === 1 ? plain : `${plain}#${times}`;
    return [{ weight, mask: (link.state as MaskState).mask, name }];
  });
  if (targets === undefined) return found;
  const owners = [...new Set(found.map(({ weight }) => weight.layer))];
  const chosen = new Set(matchLayers('maskedWeights', owners, targets));
  return found.filter(({ weight }) => chosen.has(weight.layer));
}

/**
 * The layers with kernels that the rules match, each rule at least one; with `hidden` those that do not
 * give the model's outputs, unless they are named.
 *
 * @throws {NoMatchError} for a rule that matches no layer with a kernel; {UnsupportedError} for a model
 *   without any, and, without rules, for a layer whose kernels have unknown names.
 */
export function chooseLayers(
  owner: string,
  model: LayersModel,
  targets?: LayerTargets,
  hidden: boolean = false,
): layers.Layer[] {
  const candidates = kernelLayers(owner, model);
  if (targets === undefined) {
    checkKernelNames(owner, walkLayers(model), 'name the layers to prune in targets');
  }
  if (targets !== undefined || !hidden) return matchLayers(owner, candidates, targets);
  const outputs = outputLayers(model);
  const found = candidates.filter((layer) => !outputs.has(layer));
  if (found.length > 0) return found;
  const names = candidates.map(({ name }) => name).join(', ');
  throw new NoMatchError(
    `${owner}: all layers with kernels (${names}) give outputs of the model, of which nothing is pruned ` +
      'whole unless targets names them.',
  );
}

/** What is stored under the masks, by the names of the weights. */
export function storedValues(weights: readonly MaskedWeight[]): Map<string, Float32Array> {
  return new Map(
    weights.map(({ name, weight }) => [name, Float32Array.from(weight.variable.dataSync())]),
  );
}

/** Values by the names of weights, without the names: a model that is built anew may have others. */
export function inOrder(
  values: ReadonlyMap<string, Float32Array> | undefined,
): Float32Array[] | null {
  return values ? [...values.values()] : null;
}

/** Values in the order of the weights, under their names. */
export function byName(
  weights: readonly MaskedWeight[],
  values: readonly Float32Array[] | null,
): Map<string, Float32Array> | undefined {
  return values ? new Map(weights.map(({ name }, i) => [name, values[i]!])) : undefined;
}

/** Masked weights, and how to be rid of masks that were added to them. */
export interface GivenMasks {
  readonly weights: readonly MaskedWeight[];
  /** Takes away the masks that were added and hide nothing. */
  takeBack(): void;
}

/**
 * Sees to it that every kernel of these layers has a mask, and gives back these masked weights. A mask that
 * is there already stays. Masks are weights of the layers: add them before a checkpoint is read or a
 * model's weights are loaded.
 */
export function giveMasks(model: LayersModel, chosen: readonly layers.Layer[]): GivenMasks {
  const wanted = new Set<unknown>(chosen);
  const present = () => maskedWeights(model).filter(({ weight }) => wanted.has(weight.layer));
  const masked = new Map<layers.Layer, Set<string>>();
  const added: { layer: layers.Layer; chains: Record<string, MaskTransform[]> }[] = [];
  const lookAgain = () => {
    for (const { weight } of present()) {
      masked.set(weight.layer, (masked.get(weight.layer) ?? new Set()).add(weight.weight));
    }
  };
  const takeBack = () => {
    const hiding = new Set(
      maskedWeights(model)
        .filter(({ mask }) => mask.dataSync().includes(0))
        .flatMap(({ weight }) => weight.links.map(({ transform }) => transform as unknown)),
    );
    for (const { layer, chains } of added) {
      const unused = Object.entries(chains).filter(([, [only]]) => !hiding.has(only));
      if (unused.length > 0) unparametrize(layer, Object.fromEntries(unused));
    }
  };
  lookAgain();
  try {
    for (const layer of chosen) {
      const bare = kernelNames(layer).filter((name) => !masked.get(layer)?.has(name));
      if (bare.length === 0) continue;
      const chains = Object.fromEntries(bare.map((name) => [name, [mask()]]));
      // A Bidirectional saves what itself was given, not what its two layers were.
      const wrapper = bidirectionalOf(model, layer);
      parametrize(wrapper ?? layer, chains);
      added.push({ layer: wrapper ?? layer, chains });
      if (wrapper) lookAgain();
    }
  } catch (error) {
    takeBack();
    throw error;
  }
  return { weights: present(), takeBack };
}

/** Runs a hook of a callback; where it throws, the masks that the callback has added and that hide nothing go. */
export async function orTakeBack<T>(
  given: GivenMasks | undefined,
  hook: () => T | Promise<T>,
): Promise<T> {
  try {
    return await hook();
  } catch (error) {
    given?.takeBack();
    throw error;
  }
}

/** Masks on the kernels of all layers: {@link chooseLayers}, then {@link giveMasks}. */
export function ensureMasks(
  owner: string,
  model: LayersModel,
  targets?: LayerTargets,
): readonly MaskedWeight[] {
  return giveMasks(model, chooseLayers(owner, model, targets)).weights;
}

/** One application of a layer, as tfjs keeps it. */
interface Application {
  inboundLayers: layers.Layer[];
  nodeIndices: number[];
}

/**
 * The layers with kernels that give the outputs of a model: going back from each output, through layers
 * without kernels and into nested models and wrappers, the first ones.
 */
export function outputLayers(model: LayersModel): Set<layers.Layer> {
  const found = new Set<layers.Layer>();
  const visit = (layer: layers.Layer, index: number) => {
    const { outputs } = layer as LayersModel;
    if (outputs && 'layers' in layer) return ends(layer as LayersModel);
    const inside = walkLayers(layer).filter((inner) => kernelNames(inner).length > 0);
    for (const inner of inside) found.add(inner);
    if (inside.length > 0) return;
    const application = layer.inboundNodes[index] as unknown as Application;
    application.inboundLayers.forEach((from, i) => {
      visit(from, application.nodeIndices[i]!);
    });
  };
  const ends = ({ outputs }: LayersModel) => {
    for (const tensor of outputs) {
      visit(tensor.sourceLayer, (tensor as unknown as { nodeIndex: number }).nodeIndex);
    }
  };
  ends(model);
  return found;
}
