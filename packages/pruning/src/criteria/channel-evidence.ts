// Reading the evidence of a group of channels.
import { DataError } from '@thimble/base';
import type {
  ActivationEvidence,
  ChannelEvidence,
  ContributionEvidence,
  KernelEvidence,
} from '../criterion.ts';

/** The activations of a group; throws where there are none. */
export function activationsOf(criterion: string, evidence: ChannelEvidence): ActivationEvidence {
  const { activations, group } = evidence;
  if (activations && activations.examples > 0) return activations;
  throw missing(criterion, `activations of the channels of ${group.name}`);
}

/** What the channels of a group contribute; throws where nothing is known of it. */
export function contributionsOf(
  criterion: string,
  evidence: ChannelEvidence,
): ContributionEvidence {
  const { contributions, group } = evidence;
  if (contributions && contributions.samples > 0) return contributions;
  throw missing(criterion, `contributions of the channels of ${group.name} to what reads them`);
}

function missing(criterion: string, what: string): DataError {
  return new DataError(
    `criteria.${criterion}: there are no ${what}. Give examples, or leave its layers out of targets.`,
  );
}

/** For each channel the mean over the examples of rows [examples, channels]. */
export function meanOverExamples(
  rows: Float32Array,
  examples: number,
  channels: number,
): Float64Array {
  const means = new Float64Array(channels);
  for (let row = 0; row < examples; row++) {
    for (let c = 0; c < channels; c++) means[c]! += rows[row * channels + c]!;
  }
  for (let c = 0; c < channels; c++) means[c]! /= examples;
  return means;
}

/** What one channel did for each example. */
export function responsesOf(
  { mean, examples }: ActivationEvidence,
  channel: number,
  channels: number,
): Float64Array {
  const responses = new Float64Array(examples);
  for (let row = 0; row < examples; row++) responses[row] = mean[row * channels + channel]!;
  return responses;
}

/** Labels as numbers from 0 on, and how many there are of each. */
export function classesOf(
  criterion: string,
  { labels }: ActivationEvidence,
): { of: Int32Array; counts: Int32Array } {
  const numbers = new Map<number, number>();
  const of = Int32Array.from(labels, (label) => {
    if (!numbers.has(label)) numbers.set(label, numbers.size);
    return numbers.get(label)!;
  });
  if (numbers.size < 2) {
    throw new DataError(
      `criteria.${criterion}: the examples are all of one class. Look at more (examples), or shuffle them.`,
    );
  }
  const counts = new Int32Array(numbers.size);
  for (const label of of) counts[label]!++;
  return { of, counts };
}

/** Length of one step along an axis of a kernel, in entries. */
export function strideOf(shape: readonly number[], axis: number): number {
  return shape.slice(axis + 1).reduce((a, b) => a * b, 1);
}

/** The entries of a kernel by channel: one list of values after the other, in the kernel's order. */
export function filtersOf(kernel: KernelEvidence, channels: number): number[][] {
  const { shape, axis, values, channels: of } = kernel;
  const stride = strideOf(shape, axis);
  const size = shape[axis]!;
  const filters: number[][] = Array.from({ length: channels }, () => []);
  for (let i = 0; i < values.length; i++) {
    const channel = of[Math.floor(i / stride) % size]!;
    if (channel >= 0) filters[channel]!.push(values[i]!);
  }
  return filters;
}
