// The search itself, whatever a trial is: brackets of successive halving, begun with settings that TPE proposes.
import {
  checkInteger,
  checkOptions,
  checkRange,
  NonFiniteError,
  type ProgressOption,
  Random,
  startProgress,
} from '@thimble/base';
import { type Goal, type Judge, judgeOf, limitOf, type Outcome, paretoFront } from './goal.ts';
import { rungsOf, trialsInAll } from './halving.ts';
import { openSearchFile, type SearchFile } from './search-file.ts';
import { checkSpace, type Settings, type Space } from './space.ts';
import { drawSettings, propose } from './tpe.ts';

/** What a trial is to do. */
export interface TrialJob {
  readonly settings: Settings;
  /** Share of the training data to use, in (0, 1]. */
  readonly share: number;
  /** Of everything random in it. */
  readonly seed: number | string;
  readonly signal?: AbortSignal;
}

/** Trains and measures a network with some settings. It must depend on its job alone. */
export type Trial = (job: TrialJob) => Promise<Outcome>;

/** A trial that was made. */
export interface TrialRecord {
  /** Bracket, rung and place in it: "2.0.5". */
  id: string;
  settings: Settings;
  share: number;
  outcome: Outcome;
  seconds: number;
  /** Why it came to nothing, where it did: training that went to NaN. */
  failed?: string;
}

/** Options of {@link searchTrials}; those of `search` but for what a trial is. */
export interface SearchTrialsOptions {
  space: Space;
  trial: Trial;
  /** What the network may cost at most. */
  goal: Goal;
  /** Accuracy on the validation data that is enough: of those that reach it the cheapest is the best. */
  floor?: number;
  /** Settings that are begun with; default 36. */
  trials?: number;
  /** Settings at the beginning of a bracket; default 9. */
  bracket?: number;
  /** One of so many goes on to the next rung, with so many times the data; default 3. */
  eta?: number;
  /** Rungs of a bracket, the last with all training data; default 2. */
  rungs?: number;
  /** Trials at a time, for trials that run elsewhere; the outcome is the same. Default 1. */
  parallel?: number;
  /** Default 0. */
  seed?: number | string;
  /** Where trials are kept as they come, written all at once; the same call goes on from there. */
  file?: string;
  /** What else trials depend on, as plain data: a file of another search is refused by it. */
  about?: unknown;
  /** Default true. */
  progress?: ProgressOption;
  /** Stops between trials, and within those that look at it; its reason is thrown. */
  signal?: AbortSignal;
  /** Told of each trial as it ends, those that were kept too. */
  onTrial?: (trial: TrialRecord) => void;
}

/** What a search found. */
export interface SearchTrialsResult {
  /** The best with all training data; none where no trial keeps the goal (and reaches the floor). */
  best?: TrialRecord;
  /** Of the trials with all training data those that no other one beats in accuracy and cost, from cheap to dear. */
  front: TrialRecord[];
  /** All, in order. */
  trials: TrialRecord[];
}

const OWNER = 'searchTrials';
/** The options that {@link searchTrials} knows. */
export const SEARCH_TRIALS_OPTIONS: readonly (keyof SearchTrialsOptions)[] = [
  'space',
  'trial',
  'goal',
  'floor',
  'trials',
  'bracket',
  'eta',
  'rungs',
  'parallel',
  'seed',
  'file',
  'about',
  'progress',
  'signal',
  'onTrial',
];
/** Of proposals that know something, so many are drawn without. */
const RANDOM_SHARE = 0.2;

type Resolved = Required<
  Pick<SearchTrialsOptions, 'trials' | 'bracket' | 'eta' | 'rungs' | 'parallel' | 'seed'>
>;

function resolved(options: SearchTrialsOptions): Resolved {
  checkOptions(OWNER, options, SEARCH_TRIALS_OPTIONS);
  checkSpace(OWNER, options.space);
  const { trials = 36, bracket = 9, eta = 3, rungs = 2, parallel = 1, seed = 0 } = options;
  for (const [name, value] of Object.entries({ trials, bracket, rungs, parallel })) {
    checkInteger(OWNER, name, value, 1);
  }
  checkRange(OWNER, 'eta', eta, 2);
  return { trials, bracket, eta, rungs, parallel, seed };
}

/**
 * Searches for the settings that serve a goal best.
 *
 * Brackets of successive halving follow one another: settings are tried with a small share of the training data, the
 * best third (`1 / eta`) with more, the last with all. The first bracket begins with settings drawn at random, the
 * others with proposals of the tree-structured Parzen estimator on what has been tried with the largest share of
 * which there are more trials than dimensions (a fifth stays random), as in BOHB.
 *
 * Choices within a bracket do not depend on the order in which trials end, so any number of them at a time comes to
 * the same. A trial that throws a `NonFiniteError` counts as the worst; other errors end the search, with what was
 * done kept in the file.
 *
 * Jamieson, Talwalkar, 2016 (halving); Bergstra et al., 2011 (TPE); Falkner, Klein, Hutter, "BOHB", 2018.
 *
 * @throws {OptionError} for unknown options and values out of range; {CheckpointError} for a file of another search;
 *   what a trial throws; the signal's reason.
 * @example
 * const found = await searchTrials({
 *   space: { units: { between: [4, 64], whole: true, log: true } },
 *   goal: { bytes: 200 },
 *   trial: async ({ settings }) => ({ accuracy: 1 - 1 / settings.units, bytes: 10 * settings.units }),
 *   progress: false,
 * });
 * found.best.settings.units; // near 20
 */
export async function searchTrials(options: SearchTrialsOptions): Promise<SearchTrialsResult> {
  const { trials, bracket, eta, rungs, seed } = resolved(options);
  const { space, goal, floor, file, about, progress = true, signal } = options;
  const judge = judgeOf(limitOf(OWNER, goal), floor);
  signal?.throwIfAborted();
  const same = {
    space,
    goal,
    floor: floor ?? null,
    bracket,
    eta,
    rungs,
    seed,
    about: about ?? null,
  };
  const kept = await openSearchFile(file, same);
  const bar = startProgress(progress, 'searching', trialsInAll(trials, bracket, eta, rungs));
  const records: TrialRecord[] = [];
  const run: Run = { options, kept, judge, records, told: bar.update };
  try {
    for (let b = 0, begun = 0; begun < trials; b++, begun += bracket) {
      const list = rungsOf(Math.min(bracket, trials - begun), eta, rungs);
      let settings = beginnings(run, b, list[0]!.trials, seed);
      for (const [k, { trials: count, share }] of list.entries()) {
        const tried = await rungOf(run, `${b}.${k}`, settings.slice(0, count), share);
        settings = [...tried].sort(judge.compare).map((each) => each.settings);
      }
    }
  } finally {
    bar.stop();
  }
  const whole = records.filter(({ share, failed }) => share === 1 && failed === undefined);
  const best = whole.filter(judge.fits).sort(judge.compare)[0];
  return { ...(best ? { best } : {}), front: paretoFront(whole, judge.cost), trials: records };
}

/** A search under way. */
interface Run {
  readonly options: SearchTrialsOptions;
  readonly kept: SearchFile;
  readonly judge: Judge;
  readonly records: TrialRecord[];
  told(done: number, values?: Record<string, number>): void;
}

/** The settings that a bracket begins with. */
function beginnings(
  { options: { space }, records, judge }: Run,
  bracket: number,
  count: number,
  seed: number | string,
): Settings[] {
  const enough = Object.keys(space).length + 1;
  const shares = [...new Set(records.map(({ share }) => share))].sort((a, b) => b - a);
  const of = (share: number) => records.filter((record) => record.share === share);
  const share = shares.find((each) => of(each).length > enough) ?? shares.at(-1);
  const known = share === undefined ? [] : of(share).sort(judge.compare);
  const observed = known.map(({ settings }) => settings);
  return Array.from({ length: count }, (_, i) => {
    const random = new Random(seed, 'proposal', bracket, i);
    const blind = observed.length <= enough || random.uniform() < RANDOM_SHARE;
    return blind ? drawSettings(space, random) : propose(space, observed, random);
  });
}

/** All trials of a rung, so many at a time, in order. */
async function rungOf(
  run: Run,
  rung: string,
  list: readonly Settings[],
  share: number,
): Promise<TrialRecord[]> {
  const { options, kept, records, told, judge } = run;
  const { trial, parallel = 1, signal, onTrial, seed = 0 } = options;
  const found: TrialRecord[] = [];
  const waiting = list.entries();
  let stopped: { error: unknown } | undefined;
  const work = async (): Promise<void> => {
    for (const [i, settings] of waiting) {
      if (stopped) return;
      try {
        signal?.throwIfAborted();
        const id = `${rung}.${i}`;
        const job = { settings, share, seed: `${seed} ${id}`, ...(signal ? { signal } : {}) };
        const record = kept.find(id) ?? (await tried(id, job, trial));
        found[i] = record;
        await kept.keep(record);
        onTrial?.(record);
        const done = records.length + found.filter(Boolean).length;
        const best = [...records, ...found.filter(Boolean)]
          .filter(judge.fits)
          .sort(judge.compare)[0];
        told(done, best ? { best: best.outcome.accuracy } : {});
      } catch (error) {
        stopped ??= { error };
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(parallel, list.length) }, work));
  if (stopped) throw stopped.error;
  records.push(...found);
  return found;
}

async function tried(id: string, job: TrialJob, trial: Trial): Promise<TrialRecord> {
  const { settings, share } = job;
  const started = performance.now();
  const seconds = () => (performance.now() - started) / 1000;
  try {
    const outcome = await trial(job);
    return { id, settings, share, outcome, seconds: seconds() };
  } catch (error) {
    if (!(error instanceof NonFiniteError)) throw error;
    const outcome = { accuracy: -Number.MAX_VALUE };
    return { id, settings, share, outcome, seconds: seconds(), failed: error.message };
  }
}
