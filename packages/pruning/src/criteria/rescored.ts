// Criteria made from criteria.
import { OptionError } from '@thimble/base';
import type {
  ChannelCriterion,
  ChannelEvidence,
  Criterion,
  WeightCriterion,
  WeightEvidence,
} from '../criterion.ts';

type Scores = ArrayLike<number>;

/** The same criterion under another name and with other scores. */
export function rescored<C extends Criterion>(
  criterion: C,
  name: string,
  rescore: {
    weight(scores: Scores, evidence: WeightEvidence): Scores;
    channel(scores: Scores, evidence: ChannelEvidence): Scores;
  },
): C {
  const other: Criterion =
    criterion.level === 'weight'
      ? { ...weightParts(criterion), name, score: scoreBy(criterion, rescore.weight) }
      : { ...channelParts(criterion), name, score: scoreBy(criterion, rescore.channel) };
  return other as C;
}

function scoreBy<E>(
  criterion: { score(evidence: E): Scores },
  rescore: (scores: Scores, evidence: E) => Scores,
): (evidence: E) => Scores {
  return (evidence) => rescore(criterion.score(evidence), evidence);
}

// One by one, so that criteria that are instances of classes lose nothing.

function weightParts(criterion: WeightCriterion): Omit<WeightCriterion, 'name' | 'score'> {
  const { level, needs, reduction, examples } = criterion;
  return {
    level,
    needs,
    ...(reduction && { reduction }),
    ...(examples && { examples }),
    ...(criterion.threshold && { threshold: (evidence) => criterion.threshold!(evidence) }),
    ...(criterion.accumulate && {
      accumulate: (running, weight, gradient) => criterion.accumulate!(running, weight, gradient),
    }),
  };
}

function channelParts(criterion: ChannelCriterion): Omit<ChannelCriterion, 'name' | 'score'> {
  const { level, needs, examples } = criterion;
  return {
    level,
    needs,
    ...(examples && { examples }),
    ...(criterion.threshold && { threshold: (scores) => criterion.threshold!(scores) }),
  };
}

/** Throws for what is no criterion, and for one that sets a threshold on its own scores. */
export function refuseThreshold(owner: string, criterion: Criterion): void {
  requireCriterion(owner, criterion);
  if (!criterion.threshold) return;
  throw new OptionError(
    `${owner}: the criterion ${criterion.name} says itself how much goes, by a threshold on its own ` +
      'scores; other scores would not go with it. Use one that ranks only.',
  );
}

/** Throws for what is no criterion. */
export function requireCriterion(owner: string, criterion: Criterion): void {
  if (typeof criterion?.score === 'function') return;
  throw new OptionError(
    `${owner}: the first argument must be one of criteria, for example criteria.magnitude().`,
  );
}
