// Which kernels of a model a technique is about.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel, LayerVariable, layers } from '@tensorflow/tfjs-layers';
import { NoMatchError, UnsupportedError } from '@thimble/base';
import {
  kernelNames,
  type ParametrizedWeight,
  parametrizedWeights,
  walkLayers,
} from '@thimble/core';

/** Which layers: names, patterns, a function, or a list of names and patterns. */
export type LayerTargets =
  | string
  | RegExp
  | readonly (string | RegExp)[]
  | ((layer: layers.Layer) => boolean);

/** Kernels of a layer, or of both directions of a Bidirectional, which saves what itself was given. */
export interface KernelSite {
  layer: layers.Layer;
  weights: string[];
}

interface Parts {
  forwardLayer?: layers.Layer;
  cell?: object;
}

function kernelsOf(layer: layers.Layer): string[] {
  return kernelNames((layer as Parts).forwardLayer ?? layer);
}

/**
 * The kernels of a layer, or of a model in the order of its layers: all, or those of the layers that the
 * targets match.
 *
 * @throws {NoMatchError} for a target that matches no layer with a kernel; {UnsupportedError} where there
 *   is no kernel, or nothing is built.
 */
export function kernelSites(
  owner: string,
  model: LayersModel | layers.Layer,
  targets?: LayerTargets,
): KernelSite[] {
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
  return targets === undefined ? sites : matching(owner, sites, targets);
}

function matching(owner: string, sites: KernelSite[], targets: LayerTargets): KernelSite[] {
  const known = `Layers with kernels: ${sites.map(({ layer }) => layer.name).join(', ')}.`;
  const rules = typeof targets === 'function' || Array.isArray(targets) ? targets : [targets];
  const matches = (rule: string | RegExp, { layer }: KernelSite) =>
    typeof rule === 'string' ? rule === layer.name : rule.test(layer.name);
  if (typeof rules === 'function') {
    const found = sites.filter(({ layer }) => rules(layer));
    if (found.length > 0) return found;
    throw new NoMatchError(`${owner}: targets match no layer. ${known}`);
  }
  for (const rule of rules as readonly (string | RegExp)[]) {
    if (sites.some((site) => matches(rule, site))) continue;
    const shown = typeof rule === 'string' ? `"${rule}"` : `${rule}`;
    throw new NoMatchError(`${owner}: the target ${shown} matches no layer. ${known}`);
  }
  const list = rules as readonly (string | RegExp)[];
  const found = sites.filter((site) => list.some((rule) => matches(rule, site)));
  if (found.length > 0) return found;
  throw new NoMatchError(`${owner}: targets is an empty list. ${known}`);
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

/** The kernels of these sites as their layers see them; of a Bidirectional those of both directions. */
export function kernelValues(
  sites: readonly KernelSite[],
): { layer: string; weight: string; values: Float32Array }[] {
  return sites.flatMap(({ layer, weights }) =>
    walkLayers(layer).flatMap((part) => {
      const owner = ((part as Parts).cell ?? part) as Record<string, LayerVariable | undefined>;
      return weights.flatMap((weight) => {
        const seen = owner[weight];
        if (!seen) return [];
        const values = tf.tidy(() => Float32Array.from(seen.read().dataSync()));
        return [{ layer: part.name, weight, values }];
      });
    }),
  );
}
