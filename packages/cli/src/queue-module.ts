// Does the work of `thimble search --redis` and `thimble lottery --redis` where `thimble worker` runs: what it is comes
// with the work.
import type { LotteryBranch, Outcome, TrialJob } from 'thimble';
import { type LotteryModuleOptions, lotteryOf } from './lottery-module.ts';
import trialOf, { type SearchModuleOptions } from './search-module.ts';

/** A trial of a search, and all that there is to know of it. */
export interface QueuedTrial {
  options: SearchModuleOptions;
  job: TrialJob;
}

/** A seed of a lottery-ticket study, and all that there is to know of it. */
export interface QueuedSeed {
  lottery: LotteryModuleOptions;
  seed: number;
}

type Task = (input: QueuedTrial | QueuedSeed) => Promise<Outcome | LotteryBranch[]>;

export default function taskOf(): Task {
  const trials = lastOf(trialOf);
  const seeds = lastOf(lotteryOf);
  return async (input) =>
    'lottery' in input
      ? (await seeds(input.lottery))(input.seed)
      : (await trials(input.options))(input.job);
}

/** One study after the other: of the last one, model and data are kept. */
function lastOf<Options, Made>(
  make: (options: Options) => Promise<Made>,
): (options: Options) => Promise<Made> {
  let [known, made]: [string, Promise<Made> | undefined] = ['', undefined];
  return (options) => {
    const key = JSON.stringify(options);
    if (made === undefined || key !== known) [known, made] = [key, make(options)];
    return made;
  };
}
