// Makes the trials of `thimble search --redis` where `thimble worker` runs: what they are comes with the work.
import type { Outcome, Trial, TrialJob } from 'thimble';
import trialOf, { type SearchModuleOptions } from './search-module.ts';

/** A trial, and all that there is to know of it. */
export interface QueuedTrial {
  options: SearchModuleOptions;
  job: TrialJob;
}

export default function taskOf(): (input: QueuedTrial) => Promise<Outcome> {
  // One search after the other: of the last one, model and data are kept.
  let [known, made]: [string, Promise<Trial> | undefined] = ['', undefined];
  return async ({ options, job }) => {
    const key = JSON.stringify(options);
    if (key !== known) [known, made] = [key, trialOf(options)];
    return (await made!)(job);
  };
}
