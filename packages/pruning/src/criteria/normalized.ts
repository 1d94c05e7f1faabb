// Makes scores of different layers comparable.
import type { Criterion } from '../criterion.ts';
import { refuseThreshold, rescored } from './rescored.ts';

/**
 * Divides the scores of each weight, or of each group of channels, by their L2 norm, so that layers with
 * large scores do not push out the others where all compete (scope 'global'): `s' = s / ||s||_2`. Within a
 * layer nothing changes.
 *
 * The norm is over what is still kept; infinite scores are left out of it, and a norm of 0 changes nothing.
 * Scores that are squares (the reduction 'norm') are divided so that their roots have norm 1.
 *
 * Papers: Molchanov, Tyree, Karras, Aila, Kautz, "Pruning Convolutional Neural Networks for Resource
 * Efficient Inference", 2017, section 2; with magnitudes it is what NNCF calls normed_abs.
 *
 * @throws {OptionError} for a criterion that sets a threshold on its own scores.
 * @example
 * const criterion = criteria.normalized(criteria.magnitude());
 * await prune(model, { criterion, granularity: 'element', scope: 'global', sparsity: 0.9 });
 */
export function normalized<C extends Criterion>(criterion: C): C {
  refuseThreshold('criteria.normalized', criterion);
  const squares = criterion.level === 'weight' && criterion.reduction === 'norm';
  return rescored(criterion, `normalized(${criterion.name})`, {
    weight: (scores, { kept }) => divide(scores, normOf(scores, kept, squares)),
    channel: (scores) => unitNorm(scores),
  });
}

/** Scores divided by their L2 norm. */
export function unitNorm(scores: ArrayLike<number>): Float64Array {
  return divide(scores, normOf(scores, undefined, false));
}

function normOf(scores: ArrayLike<number>, kept: Uint8Array | undefined, squares: boolean): number {
  let sum = 0;
  for (let i = 0; i < scores.length; i++) {
    const score = scores[i]!;
    if ((kept && !kept[i]) || Math.abs(score) === Number.POSITIVE_INFINITY) continue;
    sum += squares ? score : score * score;
  }
  return squares ? sum : Math.sqrt(sum);
}

function divide(scores: ArrayLike<number>, norm: number): Float64Array {
  const by = norm === 0 ? 1 : norm;
  const result = new Float64Array(scores.length);
  for (let i = 0; i < result.length; i++) result[i] = scores[i]! / by;
  return result;
}
