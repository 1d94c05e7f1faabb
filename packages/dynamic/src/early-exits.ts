// A model with early exits, made of one without.
import * as tfl from '@tensorflow/tfjs-layers';
import { checkOptions, NoMatchError, OptionError, UnsupportedError } from '@thimble/base';
import { summarize } from '@thimble/core';
import { type ExitHeadOptions, headLayers } from './early-exit-head.ts';
import { applicationsTo, givesProbabilities, layersTo } from './exit-plan.ts';
import { isSlimmable } from './slimmable.ts';

/** Options of {@link earlyExits}. */
export interface EarlyExitsOptions {
  /** Names of the layers of the model after which there is to be an exit, in the order of the model. */
  after: readonly string[];
  /**
   * What the exits are made of: options of a head, `classes` being those of the model where they are left out,
   * or a function that gives the layers of the exit `name`, of which the last must be named so. Default: one
   * dense layer.
   */
  head?: Partial<ExitHeadOptions> | ((name: string, after: string) => tfl.layers.Layer[]);
}

/**
 * A model with an exit after each of the layers that are named, and the model's own output as the last: a
 * LayersModel with one output per exit, `exit1`, `exit2` ... and the trunk's. It is made of plain layers, so it
 * trains, saves and loads like any other. {@link fitExits} trains it, {@link predictEarly} runs it.
 *
 * The trunk is that of `model`: the two share their layers and weights, so training one trains the other, and
 * only one of them may be disposed of. Heads give probabilities or logits as the trunk does.
 *
 * Of a slimmable model the heads are slimmable too, so that depth and width can be chosen together: `setWidth`
 * narrows trunk and heads, and `fitExits` with the callback {@link slimmableTraining} trains all exits at each width.
 *
 * Paper: Teerapittayanon, McDanel, Kung, "BranchyNet", 2016, section III-A.
 *
 * @throws {NoMatchError} for a layer that the model does not have; {OptionError} for an empty list, a layer given
 *   twice, a layer that is the output itself or comes before another in the list that it depends on;
 *   {UnsupportedError} for a model with several outputs or one that is not built, or a layer that it applies
 *   several times.
 * @example
 * const branchy = earlyExits(model, { after: [model.layers[1].name], head: { hidden: 16 } });
 * branchy.outputNames; // ['exit1', the name of the model's last layer]
 */
export function earlyExits(model: tfl.LayersModel, options: EarlyExitsOptions): tfl.LayersModel {
  checkOptions(OWNER, options, ['after', 'head']);
  const { after, head = {} } = options;
  if (!(model.outputs?.length > 0)) {
    throw new UnsupportedError(
      `${OWNER}: model "${model.name}" is not built yet: give its first layer an inputShape.`,
    );
  }
  if (model.outputs.length > 1) {
    throw new UnsupportedError(
      `${OWNER}: model "${model.name}" has ${model.outputs.length} outputs; exits are put on a model with one.`,
    );
  }
  const trunk = model.outputs[0]!;
  const places = placesOf(model.name, trunk, after);
  const widths = model.layers.find(isSlimmable)?.slim.widths;
  const outputs = places.map((place, i) => {
    const name = `exit${i + 1}`;
    if (model.layers.some((layer) => layer.name.split('_')[0] === name)) {
      throw new OptionError(
        `${OWNER}: model "${model.name}" has a layer named "${name}" already; rename it.`,
      );
    }
    if (typeof head === 'function') return chained(head(name, after[i]!), place);
    const activation: 'softmax' | 'linear' = givesProbabilities(trunk) ? 'softmax' : 'linear';
    const options = { classes: trunk.shape.at(-1)!, activation, ...head };
    return chained(headLayers(name, options, place.shape.length, widths), place);
  });
  return tfl.model({
    inputs: model.inputs,
    outputs: [...outputs, trunk],
    name: `${model.name}_exits`,
  });
}

const OWNER = 'earlyExits';

/** Applies layers one after the other. */
function chained(layers: readonly tfl.layers.Layer[], x: tfl.SymbolicTensor): tfl.SymbolicTensor {
  return layers.reduce((value, layer) => layer.apply(value) as tfl.SymbolicTensor, x);
}

/** The values after the named layers. */
function placesOf(
  modelName: string,
  trunk: tfl.SymbolicTensor,
  after: readonly string[],
): tfl.SymbolicTensor[] {
  if (!Array.isArray(after) || after.length === 0) {
    throw new OptionError(`${OWNER}: after must name at least one layer.`);
  }
  const applications = applicationsTo(trunk);
  const places = after.map((name, i) => {
    const found = applications.filter(({ layer }) => layer.name === name);
    if (found.length === 0) {
      const names = applications.map(({ layer }) => layer.name).join(', ');
      throw new NoMatchError(
        `${OWNER}: there is no layer "${name}" on the way to the output of model "${modelName}". Layers: ${names}.`,
      );
    }
    if (after.indexOf(name) !== i) throw new OptionError(`${OWNER}: after names "${name}" twice.`);
    const { layer, tensors } = found[0]!;
    if (layer === trunk.sourceLayer) {
      throw new OptionError(
        `${OWNER}: "${name}" is the output of the model, which is an exit already.`,
      );
    }
    if (found.length > 1 || tensors.length > 1) {
      throw new UnsupportedError(
        `${OWNER}: layer "${name}" is applied several times or gives several outputs; put the exit after another layer.`,
      );
    }
    return tensors[0]!;
  });
  places.forEach((place, i) => {
    const later = places.slice(i + 1).find(({ sourceLayer }) => layersTo(place).has(sourceLayer));
    if (later) {
      throw new OptionError(
        `${OWNER}: after names "${after[i]}" before "${later.sourceLayer.name}", which comes first in the model.`,
      );
    }
  });
  return places;
}

/** What it takes to leave at an exit. */
export interface ExitCost {
  /** Of the output. */
  name: string;
  /** Multiply-accumulates for one sample that leaves here, those of the heads on the way included. */
  macs: number;
}

/**
 * The cost of leaving at each exit: multiply-accumulates as {@link summarize} counts them.
 *
 * @example
 * exitCosts(earlyExits(model, { after: [model.layers[1].name] })); // [{ name: 'exit1', macs: ... }, ...]
 */
export function exitCosts(branchy: tfl.LayersModel): ExitCost[] {
  return branchy.outputNames.map((name, i) => {
    const { inputs, outputs } = branchy;
    const part = tfl.model({ inputs, outputs: outputs.slice(0, i + 1), name: branchy.name });
    return { name, macs: summarize(part).total.macs };
  });
}
