// What of one layer goes into a graph: its operation, its arguments, its weights.
import type { LayerVariable } from '@tensorflow/tfjs-layers';
import { countNonzero } from '@thimble/base';
import type { Attribute, GraphNode, GraphWeight } from '@thimble/graph';
import { internals, type Layer, localName, ownerOf, variablesOf, weightsOf } from './internals.ts';
import { layerWeight } from './kernel-names.ts';
import { callLinks, callWeights, chainsOf, classNameOf } from './parametrization.ts';
import { readValues } from './read-values.ts';

/** Classes whose function of `tf.layers` is not the class name with a small first letter. */
const IRREGULAR: Record<string, string> = {
  ELU: 'elu',
  GRU: 'gru',
  LSTM: 'lstm',
  PReLU: 'prelu',
  RNN: 'rnn',
  ConvLSTM2D: 'convLstm2d',
};

/** 'conv2d' for Conv2D: the name of the layer's function of `tf.layers`, or of Thimble's layers. */
export function opOf(layer: Layer): string {
  return opOfClass(classNameOf(layer));
}

/** The name that a layer class has among operations: 'conv2d' for 'Conv2D', 'xnorDense' for 'ThimbleXnorDense'. */
export function opOfClass(name: string): string {
  const className = name.replace(/^Thimble/, '');
  const regular = className.replace(/^[A-Z]/, lowerCase).replace(/\dD/g, lowerCase);
  return IRREGULAR[className] ?? regular;
}

function lowerCase(letters: string): string {
  return letters.toLowerCase();
}

/** Arguments that say nothing about how a layer computes. */
const LEFT_OUT =
  /(Initializer|Regularizer|Constraint)$|^(name|trainable|dtype|batchInputShape|parametrized|layer|cell|weights|customObjects)$/;

/** The arguments with which a layer computes, as `tf.layers` names them. */
export function attributesOf(layer: Layer): Record<string, Attribute> {
  return Object.fromEntries(
    Object.entries(layer.getConfig()).filter(
      ([key, value]) => !LEFT_OUT.test(key) && value !== undefined,
    ),
  ) as Record<string, Attribute>;
}

/** How a layer's inputs and output are coded, as its call transforms say. */
export function codesOf(layer: Layer): GraphNode['codes'] {
  let codes: GraphNode['codes'];
  for (const { transform, state } of callLinks(layer)) {
    const said = transform.codes?.(state);
    if (said) codes = { ...codes, ...said };
  }
  return codes;
}

/** The layers that own weights of this one, with what their weights' names get in front. */
export function cellsOf(layer: Layer): [Layer, string][] {
  const cells = internals(ownerOf(layer)).cells;
  return cells ? cells.map((cell, i) => [cell, `cell${i}/`]) : [[layer, '']];
}

interface StoredWeight {
  role: string;
  variable: LayerVariable;
  store(): GraphWeight;
}

/** The weights of a layer without those that its transforms brought, by the name that it gives them. */
export function weightsToStore(layer: Layer): StoredWeight[] {
  const owner = ownerOf(layer);
  const chains = [...chainsOf(layer), ...(owner === layer ? [] : chainsOf(owner))];
  const brought = new Set([
    ...chains.flatMap((chain) => chain.added),
    ...callWeights(layer),
    ...callWeights(owner),
  ]);
  const roles = new Map(
    Object.entries(weightsOf(layer)).map(([role, weight]) => [weight.originalName, role]),
  );
  const stored = variablesOf(layer).filter((variable) => !brought.has(variable));
  const names = new Map(stored.map((variable) => [localName(variable), variable]));
  return stored.map((variable) => {
    const called = roles.get(variable.originalName);
    // What a layer calls "gamma" at one of its widths may not be the weight that was made under that name.
    const taken = called === undefined || (names.get(called) ?? variable) !== variable;
    const role = taken ? localName(variable) : called;
    const chain = chains.find(({ stored }) => stored === variable);
    const store = (): GraphWeight => {
      if (!chain) return plain(layer, role, variable);
      const data = readValues(() => chain.bake());
      return { encoding: chain.encoding(), data };
    };
    return { role, variable, store };
  });
}

/**
 * A weight of a built layer by the name that it has in a graph: also one that the layer holds for a layer inside
 * it. Undefined where there is none.
 *
 * @example
 * storedVariable(layer, 'kernel').shape;
 */
export function storedVariable(layer: Layer, role: string): LayerVariable | undefined {
  return (
    variablesOf(layer).find((variable) => localName(variable) === role) ?? layerWeight(layer, role)
  );
}

/** A weight that is stored as it is, in floats where the layer does not know better. */
function plain(layer: Layer, role: string, variable: LayerVariable): GraphWeight {
  const data = Float32Array.from(variable.read().dataSync());
  const shape = variable.shape as number[];
  return {
    encoding: {
      shape,
      values: { type: 'float', bits: 32 },
      nonzero: countNonzero(data),
      ...internals(layer).storedAs?.(role, data, shape),
    },
    data,
  };
}
