// Takes what units cost into account.
import { checkOptions, checkRange, OptionError } from '@thimble/base';
import type { Criterion } from '../criterion.ts';
import { refuseThreshold, rescored } from './rescored.ts';

/** Options of {@link costAware}. */
export interface CostAwareOptions {
  /**
   * The cost of one unit of each layer, by the layer's name: multiply-accumulates of a filter, say. Of
   * channels that several layers make the costs are added up.
   */
  costs: Readonly<Record<string, number>>;
  /** How much a cost of 1 takes off a score; default 0.001, the paper's with costs in millions. */
  strength?: number;
}

/**
 * `s' = s - strength * cost`: of two units that matter the same, the more expensive one goes first. It makes
 * a difference where layers compete (scope 'global'); scores should be on one scale then, so mostly
 * `costAware(normalized(...), ...)`.
 *
 * Paper: Molchanov, Tyree, Karras, Aila, Kautz, "Pruning Convolutional Neural Networks for Resource
 * Efficient Inference", 2017, section 2, "FLOPs regularized pruning".
 *
 * @throws {OptionError} for a criterion that adds up the entries of a unit (the cost would be added up
 *   too; those that take the mean or the maximum go), for one that sets a threshold on its own scores, and
 *   for a layer without a cost when it is scored.
 * @example
 * const [, hidden, output] = model.layers;
 * const costs = { [hidden.name]: 784, [output.name]: 8 };
 * const criterion = criteria.costAware(criteria.normalized(criteria.magnitude()), { costs });
 * const targets = [hidden.name, output.name];
 * await prune(model, { criterion, granularity: 'neuron', scope: 'global', targets, sparsity: 0.25 });
 */
export function costAware<C extends Criterion>(criterion: C, options: CostAwareOptions): C {
  const owner = 'criteria.costAware';
  refuseThreshold(owner, criterion);
  checkOptions(owner, options, ['costs', 'strength']);
  const { costs, strength = 0.001 } = options;
  checkRange(owner, 'strength', strength, 0);
  for (const [layer, cost] of Object.entries(costs ?? {})) {
    checkRange(owner, `the cost of "${layer}"`, cost, 0);
  }
  if (criterion.level === 'weight' && ['sum', 'norm'].includes(criterion.reduction ?? 'mean')) {
    throw new OptionError(
      `${owner}: the criterion ${criterion.name} adds up the entries of a unit, and would add up its ` +
        "cost. Use one with a mean or a maximum, for example criteria.magnitude({ norm: 'mean' }).",
    );
  }
  const costOf = (layer: string): number => {
    const cost = costs?.[layer];
    if (cost !== undefined) return cost;
    throw new OptionError(`${owner}: costs has none for the layer "${layer}".`);
  };
  const less = (scores: ArrayLike<number>, cost: number) =>
    Float64Array.from(scores, (score) => score - strength * cost);
  return rescored(criterion, `costAware(${criterion.name})`, {
    weight: (scores, { layer }) => less(scores, costOf(layer)),
    channel: (scores, { group }) =>
      less(
        scores,
        group.producers.reduce((sum, layer) => sum + costOf(layer), 0),
      ),
  });
}
