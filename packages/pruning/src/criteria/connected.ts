// Keeps a path through every unit.
import { checkOptions, OptionError } from '@thimble/base';
import type { WeightCriterion, WeightEvidence } from '../criterion.ts';
import { requireCriterion, rescored } from './rescored.ts';

/** Options of {@link connected}. */
export interface ConnectedOptions {
  /**
   * Names of the layers that read the inputs of the network. There inputs (pixels, words) may lose their
   * last weight; output units may not. Default none: nothing is known of the network here.
   */
  firstLayers?: readonly string[];
}

/**
 * Sees to it that no unit is cut off: of every output unit and of every input unit of a weight the best
 * entry gets the score infinity, all others what the criterion gives them. So every unit has one way in
 * and one way out, and by going on from layer to layer a path from the network's inputs to its outputs.
 *
 * - Output units are filters or units, each gate of a recurrent unit by itself; of a depthwise kernel each
 *   pair of channel and multiplier.
 * - It takes up to outputs + inputs entries per weight. `prune` throws where the sparsity leaves room for
 *   fewer. With units larger than one entry the whole unit of a best entry stays: use granularity
 *   'element', 'kernel', or an n:m pattern (there a group may hold more best entries than it keeps, and
 *   `prune` throws).
 * - A kept entry may be exactly 0, and an activation function may shut a path: what is kept is the
 *   connection, not a signal.
 * - Each flattened position that a dense layer reads counts as an input unit.
 *
 * With a criterion that says itself how much goes (`threshold` ...) the best entries stay above it.
 *
 * @throws {OptionError} for a criterion of whole channels: what is kept of these is never cut off.
 * @example
 * const criterion = criteria.connected(criteria.magnitude(), { firstLayers: [model.layers[1].name] });
 * await prune(model, { criterion, granularity: 'element', scope: 'global', sparsity: 0.8 });
 */
export function connected(
  criterion: WeightCriterion,
  options: ConnectedOptions = {},
): WeightCriterion {
  const owner = 'criteria.connected';
  requireCriterion(owner, criterion);
  checkOptions(owner, options, ['firstLayers']);
  const { firstLayers = [] } = options;
  if (criterion.level !== 'weight') {
    throw new OptionError(
      `${owner} is for criteria of single weights. ${(criterion as { name: string }).name} scores whole ` +
        'channels: what is kept of these keeps all its weights.',
    );
  }
  if (!Array.isArray(firstLayers)) {
    throw new OptionError(`${owner}: firstLayers must be a list of names of layers.`);
  }
  const first = new Set<string>(firstLayers);
  return rescored(criterion, `connected(${criterion.name})`, {
    weight: (scores, evidence) => protect(scores, evidence, first.has(evidence.layer)),
    channel: (scores) => scores,
  });
}

function protect(
  scores: ArrayLike<number>,
  { shape, axes, kept }: WeightEvidence,
  first: boolean,
): ArrayLike<number> {
  if (axes.in < 0) return scores;
  const result = Float64Array.from(scores);
  const keep = (stride: number, size: number) => {
    for (const i of bestOf(scores, kept, stride, size)) {
      if (i >= 0) result[i] = Number.POSITIVE_INFINITY;
    }
  };
  const stride = (axis: number) => shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  if (axes.in === axes.out) {
    // Depthwise: [...space, channel, multiplier]. The outputs of a channel give it its way out too.
    keep(1, shape[axes.out]! * stride(axes.out));
  } else {
    keep(stride(axes.out), shape[axes.out]!);
    if (!first) keep(stride(axes.in), shape[axes.in]!);
  }
  return result;
}

/** The kept entry with the highest score at each index along an axis; -1 where none is kept. */
function bestOf(
  scores: ArrayLike<number>,
  kept: Uint8Array,
  stride: number,
  size: number,
): Int32Array {
  const best = new Int32Array(size).fill(-1);
  const span = stride * size;
  for (let i = 0; i < kept.length; i++) {
    if (!kept[i]) continue;
    const unit = Math.floor((i % span) / stride);
    const other = best[unit]!;
    if (other < 0 || scores[i]! > scores[other]!) best[unit] = i;
  }
  return best;
}
