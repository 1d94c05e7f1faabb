// Steps that do not go after one another, because the later one would lose what the earlier one did.
import { OptionError } from '@thimble/base';
import { isReady, type Step } from './step.ts';
import type { BinarizeStepOptions } from './steps/binarize.ts';
import type { ClusterStepOptions } from './steps/cluster.ts';
import type { QuantizeStepOptions } from './steps/quantize.ts';

interface Rule {
  first: readonly string[];
  second: readonly string[];
  /** Says what goes wrong and what helps; undefined where these options do go together. */
  wrong(first: Step, second: Step): string | undefined;
}

const RULES: readonly Rule[] = [
  {
    first: ['binarize', 'cluster', 'quantize'],
    second: ['removeChannels', 'decompose', 'slimmable'],
    wrong: ({ name: first }, { name: second }) =>
      `${second} makes other kernels, which have nothing of what ${first} has rounded. Put ${second} before ${first}`,
  },
  {
    first: ['prune', 'lotteryTicket'],
    second: ['decompose'],
    wrong: ({ name: first }) =>
      `the factors of a kernel have no zeros where its mask has some. Put decompose before ${first}`,
  },
  {
    first: ['slimmable'],
    second: ['removeChannels', 'decompose'],
    wrong: (_, { name: second }) =>
      `${second} makes a network of one width. Put ${second} before slimmable`,
  },
  {
    first: ['slimmable'],
    second: ['quantize'],
    wrong: (_, second) =>
      (second.options as QuantizeStepOptions).activations === undefined
        ? undefined
        : 'activations of a network of several widths stay floats. Leave activations out of quantize',
  },
  {
    first: ['binarize'],
    second: ['quantize'],
    wrong: ({ options }) =>
      (options as BinarizeStepOptions).method === 'connect' // -1 and 1, which every grid has
        ? undefined
        : 'a kernel of one bit would take more bits again. Put quantize before binarize',
  },
  {
    first: ['quantize'],
    second: ['quantize'],
    wrong: () => 'a network is quantised once. Say other bits for some layers by perLayer',
  },
  {
    first: ['cluster'],
    second: ['cluster'],
    wrong: (first, second) =>
      apart(first.options as ClusterStepOptions, second.options as ClusterStepOptions)
        ? undefined
        : 'a kernel is clustered once. Say other numbers for some layers by perLayer, or other layers by targets',
  },
  {
    first: ['exits'],
    second: ['exits'],
    wrong: () => 'exits are put on a network that has none yet. Name all of them in after',
  },
];

/**
 * Throws for steps in an order that would lose what has been done, or end in an error after minutes of training. Steps
 * of others than `steps` are not looked at.
 *
 * @throws {OptionError} naming both steps, and what to do.
 */
export function checkOrder(owner: string, steps: readonly Step[]): void {
  const ready = steps.map((step, i) => ({ step, at: i + 1 })).filter(({ step }) => isReady(step));
  for (const [i, { step: second, at }] of ready.entries()) {
    for (const { step: first, at: before } of ready.slice(0, i)) {
      const wrong = wrongWith(first, second);
      if (wrong === undefined) continue;
      throw new OptionError(
        `${owner}: step ${at}, ${second.name}, does not go after step ${before}, ${first.name}: ${wrong}.`,
      );
    }
  }
}

function wrongWith(first: Step, second: Step): string | undefined {
  if (first.name === 'exits' && (second.options as { teacher?: unknown }).teacher) {
    return `a teacher cannot teach a network with early exits. Put exits after ${second.name}`;
  }
  for (const rule of RULES) {
    if (!rule.first.includes(first.name) || !rule.second.includes(second.name)) continue;
    const wrong = rule.wrong(first, second);
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}

/** Whether two clusterings are of different layers. */
function apart({ targets: some }: ClusterStepOptions, { targets }: ClusterStepOptions): boolean {
  return (
    some !== undefined && targets !== undefined && !targets.some((name) => some.includes(name))
  );
}
