// The weights in a Keras file, layer by layer: `.keras` (model.weights.h5) and legacy `.h5`.

import { FileFormatError } from '@thimble/base';
import type { Dataset, File, Group } from 'jsfive';

/** Values of one weight. */
export interface KerasWeight {
  shape: number[];
  data: Float32Array;
}

/** The weights of the layers of one model. */
export interface WeightSource {
  /** Those of a layer, in its own order; of a wrapper those of the layers inside. */
  of(name: string, className: string): KerasWeight[];
  /** The layers of a model inside; undefined where they are not kept apart. */
  inside(name: string, className: string): WeightSource | undefined;
}

function valuesOf(data: Dataset): KerasWeight {
  if (!/^[<>]?f[248]$/.test(data.dtype)) {
    throw new FileFormatError(`loadKeras: a weight has type ${data.dtype}, not a float.`);
  }
  return { shape: [...data.shape], data: Float32Array.from(data.value) };
}

function groupAt(parent: Group, path: string): Group | undefined {
  const parts = path.split('/');
  let at: Group | undefined = parent;
  for (const part of parts) {
    if (!at?.keys.includes(part)) return undefined;
    at = at.get(part) as Group;
  }
  return at;
}

/** 'separable_conv2d' for SeparableConv2D, as Keras has it. */
function snake(className: string): string {
  return className
    .replace(/\W+/g, '')
    .replace(/(.)([A-Z][a-z]+)/g, '$1_$2')
    .replace(/([a-z])([A-Z])/g, '$1_$2')
    .toLowerCase();
}

/** Of `model.weights.h5`: groups by class, numbered, which say the name of their layer where Keras is new enough. */
export function storeWeights(root: Group): WeightSource {
  const layers = groupAt(root, 'layers');
  const byName = new Map<string, Group>();
  for (const key of layers?.keys ?? []) {
    const group = layers!.get(key) as Group;
    const name = groupAt(group, 'vars')?.attrs.name;
    if (typeof name === 'string') byName.set(name, group);
  }
  const counts = new Map<string, number>();
  const found = new Map<string, Group | undefined>();
  const groupOf = (name: string, className: string) => {
    if (found.has(name)) return found.get(name);
    const kind = snake(className);
    const count = counts.get(kind) ?? 0;
    counts.set(kind, count + 1);
    const numbered = count === 0 ? kind : `${kind}_${count}`;
    const group = byName.get(name) ?? (layers && groupAt(layers, numbered));
    found.set(name, group);
    return group;
  };
  return {
    of: (name, className) => {
      const group = groupOf(name, className);
      return group ? PLACES.flatMap((place) => varsAt(group, place)) : [];
    },
    inside: (name, className) => {
      const group = groupOf(name, className);
      return group ? storeWeights(group) : undefined;
    },
  };
}

/** Where the variables of a layer are: its own, those of its cell, of the layer inside, of both directions. */
const PLACES = [
  'vars',
  'cell/vars',
  'layer/vars',
  'layer/cell/vars',
  'forward_layer/vars',
  'forward_layer/cell/vars',
  'backward_layer/vars',
  'backward_layer/cell/vars',
];

function varsAt(group: Group, place: string): KerasWeight[] {
  const vars = groupAt(group, place);
  if (!vars) return [];
  return [...vars.keys]
    .sort((a, b) => Number(a) - Number(b))
    .map((key) => valuesOf(vars.get(key) as Dataset));
}

/** Of a legacy `.h5`: for every layer the names of its weights, nested models included. */
export function legacyWeights(file: File): WeightSource {
  const root = groupAt(file, 'model_weights') ?? file;
  return {
    of: (name) => {
      const group = groupAt(root, name);
      const names = group?.attrs.weight_names;
      if (!Array.isArray(names)) return [];
      return names.map((path: string) => valuesOf(group!.get(path) as Dataset));
    },
    inside: () => undefined,
  };
}
