// What a search is after, and which of two trials is nearer to it.
import { OptionError } from '@thimble/base';

/** What a network may cost at most; exactly one of these. */
export type Goal =
  | { readonly bytes: number }
  | { readonly macs: number }
  | { readonly milliseconds: number };

/** What is limited. */
export type GoalKey = 'bytes' | 'macs' | 'milliseconds';

/** What a trial came to. */
export interface Outcome {
  /** On validation data; the larger the better. */
  accuracy: number;
  /** Of the `.thimble` file. */
  bytes?: number;
  macs?: number;
  /** Of an inference, where it was measured. */
  milliseconds?: number;
}

/** A trial, as it is compared. */
export interface Candidate {
  outcome: Outcome;
  /** Share of the training data. */
  share: number;
}

/** The key and the limit of a goal. @throws {OptionError} unless there is exactly one above 0. */
export function limitOf(owner: string, goal: Goal): { key: GoalKey; limit: number } {
  const [first, ...others] = Object.entries(goal ?? {});
  const known = first && ['bytes', 'macs', 'milliseconds'].includes(first[0]);
  if (known && others.length === 0 && first[1] > 0) {
    return { key: first[0] as GoalKey, limit: first[1] };
  }
  throw new OptionError(
    `${owner}: goal must be one of { bytes }, { macs } and { milliseconds }, above 0, not ${JSON.stringify(goal)}.`,
  );
}

/** Compares trials for a goal. */
export interface Judge {
  /** What a trial costs, by the key of the goal. */
  cost(outcome: Outcome): number;
  /** Within the limit, and with all training data not below the floor. */
  fits(candidate: Candidate): boolean;
  /** Negative where `a` is the better one. */
  compare(a: Candidate, b: Candidate): number;
}

/**
 * Without a floor, the most accurate within the limit is the best. With one, of those within the limit that reach it
 * the cheapest. Those over the limit come last, the cheapest of them first. Trials with a share of the training data
 * are not held to the floor: of these the most accurate within the limit.
 */
export function judgeOf({ key, limit }: { key: GoalKey; limit: number }, floor?: number): Judge {
  const cost = (outcome: Outcome) => outcome[key] ?? Number.POSITIVE_INFINITY;
  const within = ({ outcome }: Candidate) => cost(outcome) <= limit;
  const reaches = ({ outcome, share }: Candidate) =>
    floor !== undefined && share === 1 && outcome.accuracy >= floor;
  const fits = (candidate: Candidate) =>
    within(candidate) && (floor === undefined || reaches(candidate));
  const compare = (a: Candidate, b: Candidate): number => {
    const cheaper = Math.sign(cost(a.outcome) - cost(b.outcome)) || 0;
    const better = b.outcome.accuracy - a.outcome.accuracy || cheaper;
    if (within(a) !== within(b)) return within(a) ? -1 : 1;
    if (!within(a)) return cheaper || better;
    if (reaches(a) !== reaches(b)) return reaches(a) ? -1 : 1;
    return reaches(a) ? cheaper || better : better;
  };
  return { cost, fits, compare };
}

/**
 * Those of which no other one is at least as accurate and as cheap, and better in one of the two; from cheap to dear.
 * Of equals the first.
 */
export function paretoFront<T extends { outcome: Outcome }>(
  trials: readonly T[],
  cost: (outcome: Outcome) => number,
): T[] {
  const order = [...trials].sort(
    (a, b) => cost(a.outcome) - cost(b.outcome) || b.outcome.accuracy - a.outcome.accuracy,
  );
  const front: T[] = [];
  let best = Number.NEGATIVE_INFINITY;
  for (const trial of order) {
    if (trial.outcome.accuracy <= best) continue;
    front.push(trial);
    best = trial.outcome.accuracy;
  }
  return front;
}
