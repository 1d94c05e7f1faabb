// What layers cost while parts of them are masked.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { encodedBits } from '@thimble/base';
import { type Summary, summarize, trace } from '@thimble/core';
import type { MaskedWeight } from './masked-weights.ts';

/** What something costs once pruned entries are left out. */
export interface PrunedCost {
  /** Entries of the weights that are not masked. */
  params: number;
  /** Multiply-accumulates of these entries for one example; NaN where they are not known. */
  macs: number;
  /** As `summarize` counts: dense or with a bitmap, whichever is smaller, before entropy coding. */
  bytes: number;
}

/** Tells the costs of masked weights, and of all that a model has besides. */
export interface CostMeter {
  /** Of these weights with the masks that they have now. */
  of(weights: readonly MaskedWeight[]): PrunedCost;
  /** Of everything in the model but the weights that the meter is for. */
  readonly rest: PrunedCost;
}

/** A meter for some masked weights of a model. */
export function costMeter(model: LayersModel, weights: readonly MaskedWeight[]): CostMeter {
  const { layers, total } = summarize(model);
  const perEntry = macsPerEntry(model, layers, weights);
  const of = (chosen: readonly MaskedWeight[]): PrunedCost => {
    const cost: PrunedCost = { params: 0, macs: 0, bytes: 0 };
    for (const each of chosen) {
      const encoding = each.weight.encoding();
      let entries = 0;
      for (const keep of encoding.mask!) entries += keep;
      cost.params += entries;
      cost.macs += entries * perEntry.get(each)!;
      cost.bytes += encodedBits(encoding) / 8;
    }
    return cost;
  };
  const rest: PrunedCost = {
    params: total.params,
    macs: total.macs,
    bytes: total.bits / 8 - of(weights).bytes,
  };
  for (const each of weights) {
    const { size } = each.weight.variable;
    rest.params -= size;
    rest.macs -= size * perEntry.get(each)!;
  }
  return { of, rest };
}

/** The multiply-accumulates of a layer divided by the entries of its kernels, which all have equally many. */
function macsPerEntry(
  model: LayersModel,
  layers: Summary['layers'],
  weights: readonly MaskedWeight[],
): Map<MaskedWeight, number> {
  const keys = [...trace(model).variables].map(([key, variable]) => ({
    key,
    stored: variable.read(),
  }));
  return new Map(
    weights.map((each) => {
      const { key } = keys.find(({ stored }) => stored === each.weight.variable)!;
      const layer = layers.find(({ name }) => key.startsWith(`${name}/`))!;
      const kernels = keys.filter(
        (other) => other.key.startsWith(`${layer.name}/`) && /kernel$/i.test(other.key),
      );
      const entries = kernels.reduce((sum, { stored }) => sum + stored.size, 0);
      return [each, layer.macs / Math.max(1, entries)];
    }),
  );
}
