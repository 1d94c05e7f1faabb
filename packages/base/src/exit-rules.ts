// When a sample leaves: by entropy, confidence or patience.
import { checkRange, OptionError } from './errors.ts';

/** How an exit decides. */
export type ExitPolicy = 'entropy' | 'confidence' | 'patience';

/** Options of an exit decision. */
export interface ExitRuleOptions {
  /**
   * - 'entropy' (default; BranchyNet): a sample leaves where `H = -sum p log p < threshold`, in nats, from 0 to
   *   log(classes)
   * - 'confidence': where `max p >= threshold`
   * - 'patience' (Zhou et al., "BERT Loses Patience", 2020): where as many exits in a row as the threshold says
   *   have given the same class as the one before them
   */
  policy?: ExitPolicy;
  /** One for all exits, or one for each but the last. At the last exit everything leaves. */
  threshold: number | readonly number[];
}

const POLICIES: readonly string[] = ['entropy', 'confidence', 'patience'];

/** Throws an OptionError for a policy that is not known. */
export function checkPolicy(owner: string, policy: string): void {
  if (POLICIES.includes(policy)) return;
  throw new OptionError(`${owner}: policy must be one of ${POLICIES.join(', ')}, not "${policy}".`);
}

/** The thresholds of all exits but the last. */
export function thresholdsOf(
  owner: string,
  { policy = 'entropy', threshold }: ExitRuleOptions,
  exits: number,
): readonly number[] {
  checkPolicy(owner, policy);
  const early = exits - 1;
  const all = typeof threshold === 'number' ? new Array(early).fill(threshold) : threshold;
  if (!Array.isArray(all) || all.length !== early) {
    throw new OptionError(
      `${owner}: threshold must be a number or ${early} numbers, one for each exit but the last.`,
    );
  }
  for (const value of all) {
    checkRange(owner, 'threshold', value, policy === 'patience' ? 1 : 0);
    if (policy === 'patience' && !Number.isInteger(value)) {
      throw new OptionError(
        `${owner}: with patience, threshold must be a whole number, not ${value}.`,
      );
    }
  }
  return all;
}

/** Makes rows of logits probabilities, in place. */
export function softmaxRows(scores: Float32Array, classes: number): void {
  for (let start = 0; start < scores.length; start += classes) {
    let largest = Number.NEGATIVE_INFINITY;
    for (let i = start; i < start + classes; i++) largest = Math.max(largest, scores[i]!);
    let sum = 0;
    for (let i = start; i < start + classes; i++) {
      scores[i] = Math.exp(scores[i]! - largest);
      sum += scores[i]!;
    }
    for (let i = start; i < start + classes; i++) scores[i]! /= sum;
  }
}

/** The place of the largest of a row; of equals the first. */
export function largestOf(scores: Float32Array, start: number, classes: number): number {
  let best = 0;
  for (let i = 1; i < classes; i++) if (scores[start + i]! > scores[start + best]!) best = i;
  return best;
}

/** What the policies look at, sample by sample. */
export class ExitRule {
  readonly #policy: ExitPolicy;
  readonly #last: Int32Array;
  readonly #agreeing: Int32Array;

  constructor(policy: ExitPolicy, samples: number) {
    this.#policy = policy;
    this.#last = new Int32Array(policy === 'patience' ? samples : 0).fill(-1);
    this.#agreeing = new Int32Array(this.#last.length);
  }

  /**
   * The entropy, the largest probability, or how many exits have agreed with the one before them. Ask
   * once for each exit that the sample comes to, in order.
   */
  measure(sample: number, probabilities: Float32Array, start: number, classes: number): number {
    if (this.#policy === 'entropy') {
      let entropy = 0;
      for (let i = start; i < start + classes; i++) {
        const p = probabilities[i]!;
        if (p > 0) entropy -= p * Math.log(p);
      }
      return entropy;
    }
    const best = largestOf(probabilities, start, classes);
    if (this.#policy === 'confidence') return probabilities[start + best]!;
    this.#agreeing[sample] = this.#last[sample] === best ? this.#agreeing[sample]! + 1 : 0;
    this.#last[sample] = best;
    return this.#agreeing[sample]!;
  }

  leaves(measure: number, threshold: number): boolean {
    return this.#policy === 'entropy' ? measure < threshold : measure >= threshold;
  }
}
