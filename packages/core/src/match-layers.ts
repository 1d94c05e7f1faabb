// Which layers of a model rules mean.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { NoMatchError, UnsupportedError } from '@thimble/base';
import { internals, type Layer, localName, ownerOf, variablesOf, weightsOf } from './internals.ts';
import { KERNELS, kernelNames } from './kernel-names.ts';
import { callWeights, chainsOf, classNameOf } from './parametrization.ts';
import { innerLayers, walkLayers } from './walk.ts';

/** Which layers: names, patterns, a function, or a list of names and patterns. */
export type LayerTargets =
  | string
  | RegExp
  | readonly (string | RegExp)[]
  | ((layer: Layer) => boolean);

/**
 * The candidates, called `what` in messages, that the rules match; all without rules.
 *
 * @throws NoMatchError for a rule that matches none of them, or an empty list.
 * @example
 * matchLayers('mine', model.layers, /^dense/);
 */
export function matchLayers(
  owner: string,
  candidates: readonly Layer[],
  targets: LayerTargets | undefined,
  what: string = 'Layers with kernels',
): Layer[] {
  const known = () => `${what}: ${candidates.map(({ name }) => name).join(', ') || 'none'}.`;
  if (targets === undefined) return [...candidates];
  if (typeof targets === 'function') {
    const found = candidates.filter((layer) => targets(layer));
    if (found.length > 0) return found;
    throw new NoMatchError(`${owner}: targets match no layer. ${known()}`);
  }
  const rules = typeof targets === 'string' || targets instanceof RegExp ? [targets] : targets;
  const matches = (rule: string | RegExp, { name }: Layer) =>
    typeof rule === 'string' ? rule === name : name.search(rule) >= 0;
  for (const rule of rules) {
    if (!candidates.some((layer) => matches(rule, layer))) {
      const shown = typeof rule === 'string' ? `"${rule}"` : `${rule}`;
      throw new NoMatchError(`${owner}: the target ${shown} matches no layer. ${known()}`);
    }
  }
  const found = candidates.filter((layer) => rules.some((rule) => matches(rule, layer)));
  if (found.length > 0) return found;
  throw new NoMatchError(`${owner}: targets is an empty list. ${known()}`);
}

/** The layers of a model that have kernels; wrappers stand for nothing, their inner layers do. */
export function layersWithKernels(model: LayersModel): Layer[] {
  return walkLayers(model).filter((layer) => kernelNames(layer).length > 0);
}

/**
 * The same, of which there must be one.
 *
 * @throws UnsupportedError for a model without any.
 */
export function kernelLayers(owner: string, model: LayersModel): Layer[] {
  const found = layersWithKernels(model);
  if (found.length > 0) return found;
  throw new UnsupportedError(
    `${owner}: the model "${model.name}" has no layer with a kernel, or is not built: ` +
      'give its first layer an inputShape.',
  );
}

/** Weights that are no kernels, however many axes they have. */
const NO_KERNEL = /bias|alpha|gamma|beta|mean|variance/i;

/**
 * For a technique that takes all kernels of layers: throws where it would pass over one, which a layer class of
 * one's own may call by another name.
 *
 * @throws {UnsupportedError} for a trained weight with two axes or more that is neither a known kernel nor brought by a
 *   transform; `remedy` is how to leave the layer out.
 * @example
 * checkKernelNames('mine', model.layers, 'name the layers in targets');
 */
export function checkKernelNames(owner: string, layers: readonly Layer[], remedy: string): void {
  for (const layer of layers) {
    const [unknown] = unknownKernels(layer);
    if (unknown === undefined) continue;
    throw new UnsupportedError(
      `${owner}: layer "${layer.name}" (${classNameOf(layer)}) has a weight "${unknown}", which would be passed over: ` +
        `kernels are known by the names ${KERNELS.join(', ')}. Rename it, or ${remedy}.`,
    );
  }
}

function unknownKernels(layer: Layer): string[] {
  if (innerLayers(layer).length > 0) return [];
  const owners = [layer, ownerOf(layer)];
  const brought = new Set(
    owners.flatMap((each) => [
      ...chainsOf(each).flatMap(({ added }) => added),
      ...callWeights(each),
      ...internals(each)._nonTrainableWeights, // masks of places and statistics
    ]),
  );
  const roles = new Map(
    Object.entries(weightsOf(layer)).map(([role, { originalName }]) => [originalName, role]),
  );
  return variablesOf(layer)
    .filter((variable) => variable.shape.length > 1 && !brought.has(variable))
    .map((variable) => roles.get(variable.originalName) ?? localName(variable))
    .filter((name) => !KERNELS.includes(name) && !NO_KERNEL.test(name));
}

/** The Bidirectional that a layer is one direction of. */
export function bidirectionalOf(model: LayersModel, layer: Layer): Layer | undefined {
  return walkLayers(model).find((candidate) => {
    const { forwardLayer, backwardLayer } = candidate as unknown as Record<string, unknown>;
    return forwardLayer === layer || backwardLayer === layer;
  });
}
