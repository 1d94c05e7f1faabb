// Which kernels of a model a technique is about.
import type { LayersModel, layers } from '@tensorflow/tfjs-layers';
import { NonFiniteError, OptionError, UnsupportedError } from '@thimble/base';
import {
  axesOf,
  checkKernelNames,
  kernelNames,
  type LayerTargets,
  layerWeight,
  matchLayers,
  type ParametrizedWeight,
  parametrizedWeights,
  readValues,
  walkLayers,
} from '@thimble/core';

/** Throws for what is no model and no layer. */
export function checkModel(owner: string, model: unknown): void {
  const { getConfig } = (model ?? {}) as { getConfig?: unknown };
  if (typeof getConfig === 'function') return;
  const given = typeof model === 'object' && model !== null ? 'another object' : String(model);
  throw new UnsupportedError(`${owner}: it takes a model or layer of TensorFlow.js, not ${given}.`);
}

/** Kernels of a layer, or of both directions of a Bidirectional, which saves what itself was given. */
export interface KernelSite {
  layer: layers.Layer;
  weights: string[];
}

interface Parts {
  forwardLayer?: layers.Layer;
}

function kernelsOf(layer: layers.Layer): string[] {
  return kernelNames((layer as Parts).forwardLayer ?? layer);
}

/**
 * The kernels of a layer, or of a model in the order of its layers: all, or those of the layers that the
 * targets match.
 *
 * @throws {NoMatchError} for a target that matches no layer with a kernel; {UnsupportedError} where there
 *   is no kernel, or nothing is built, and, without targets, for a layer whose kernels have unknown names.
 */
export function kernelSites(
  owner: string,
  model: LayersModel | layers.Layer,
  targets?: LayerTargets,
): KernelSite[] {
  checkModel(owner, model);
  const inside = new Set<layers.Layer>();
  const sites: KernelSite[] = [];
  for (const layer of walkLayers(model)) {
    if (inside.has(layer)) continue;
    if ((layer as Parts).forwardLayer) for (const part of walkLayers(layer)) inside.add(part);
    const weights = kernelsOf(layer);
    if (weights.length > 0) sites.push({ layer, weights });
  }
  if (sites.length === 0) {
    throw new UnsupportedError(
      `${owner}: "${model.name}" has no layer with a kernel, or is not built: give its first layer an inputShape.`,
    );
  }
  if (targets === undefined) {
    checkKernelNames(owner, walkLayers(model), 'name the layers to quantise in targets');
  }
  const chosen = new Set(
    matchLayers(
      owner,
      sites.map(({ layer }) => layer),
      targets,
    ),
  );
  return sites.filter(({ layer }) => chosen.has(layer));
}

/** The kernels of these sites that are seen through chains; of a Bidirectional those of both directions. */
export function chainsAt(
  model: LayersModel | layers.Layer,
  sites: readonly KernelSite[],
): ParametrizedWeight[] {
  const wanted = new Map<layers.Layer, string[]>();
  for (const { layer, weights } of sites) {
    for (const part of walkLayers(layer)) wanted.set(part, weights);
  }
  return parametrizedWeights(model).filter(({ layer, weight }) =>
    wanted.get(layer)?.includes(weight),
  );
}

/** Throws where a kernel has few bits already. */
export function checkNotRounded(owner: string, chains: readonly ParametrizedWeight[]): void {
  for (const chain of chains) {
    const { type, bits } = chain.encoding().values;
    if (type !== 'affine') continue;
    throw new OptionError(
      `${owner}: "${chain.weight}" of layer "${chain.layer.name}" is quantised already (${bits} bits). Quantise it ` +
        'once, or leave the layer out.',
    );
  }
}

/** Throws where an entry that is kept is no finite number. */
export function checkFinite(
  owner: string,
  { weight, layer }: { weight: string; layer: string },
  data: Float32Array,
  kept?: Uint8Array,
): void {
  const bad = data.findIndex((value, i) => !Number.isFinite(value) && (!kept || kept[i] === 1));
  if (bad < 0) return;
  throw new NonFiniteError(
    `${owner}: entry ${bad} of "${weight}" of layer "${layer}" is ${data[bad]}.`,
  );
}

/** The kernels of these sites as their layers see them; of a Bidirectional those of both directions. */
export function kernelValues(
  sites: readonly KernelSite[],
): { layer: string; weight: string; values: Float32Array; channels: number }[] {
  return sites.flatMap(({ layer, weights }) =>
    walkLayers(layer).flatMap((part) =>
      weights.flatMap((weight) => {
        const seen = layerWeight(part, weight);
        if (!seen) return [];
        const values = readValues(() => seen.read());
        const shape = seen.shape as number[];
        const channels = shape[axesOf(part, weight, shape).out] ?? 1;
        return [{ layer: part.name, weight, values, channels }];
      }),
    ),
  );
}

/** @throws {OptionError} for arguments of a layer that are no object. */
export function checkArguments(owner: string, args: unknown): void {
  if (typeof args === 'object' && args !== null) return;
  throw new OptionError(`${owner}: its arguments must be an object, not ${String(args)}.`);
}
