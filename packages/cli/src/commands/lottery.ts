// thimble lottery
import { basename, resolve } from 'node:path';
import { startProgress, textTable } from '@thimble/base';
import { fingerprintOf, type LotteryBranch, type LotteryControl } from 'thimble';
import type { Context, Outcome } from '../context.ts';
import { absolute, type DataOptions, loadParts } from '../data/load.ts';
import { type LotteryModuleOptions, lotteryOf } from '../lottery-module.ts';
import { readModel } from '../model-file.ts';
import type { QueuedSeed } from '../queue-module.ts';
import { loadRedis, QUEUE } from '../redis.ts';

export interface LotteryCommandOptions extends DataOptions {
  seeds?: number;
  rounds?: number;
  fraction?: number;
  rewindTo?: number;
  controls?: string[];
  epochs?: number;
  learningRate?: number;
  redis?: string;
  queue?: string;
  output?: string;
}

export async function lottery(
  path: string,
  options: LotteryCommandOptions,
  context: Context,
): Promise<Outcome> {
  const { seeds: count = 3, rounds = 7, fraction = 0.2, rewindTo = 0, epochs = 3 } = options;
  const { controls = ['reinit', 'random'], learningRate = 0.0012 } = options;
  const folder = resolve(
    options.output ?? `${basename(path).replace(/\.[a-z0-9]+$/i, '')}.lottery`,
  );
  const { data, label, limit, validation, test } = options;
  const study: LotteryModuleOptions = JSON.parse(
    JSON.stringify({
      path: resolve(path),
      data: absolute({ data, label, limit, validation, test } as DataOptions),
      folder,
      about: {
        rounds,
        fraction,
        rewindTo,
        controls: controls as LotteryControl[],
        training: { epochs, batchSize: 60, optimizer: 'adam', learningRate },
      },
    }),
  );
  const seeds = Array.from({ length: count }, (_, i) => i);
  const branches =
    options.redis === undefined
      ? await here(study, seeds, context)
      : await overRedis(study, seeds, options, context);
  const left = `Finished trainings are in ${folder}: more seeds, rounds or controls train only what is new.`;
  return {
    text: [textTable(tableOf(branches)), '', ...notes(count, branches), left].join('\n'),
    json: { seeds, folder, branches },
  };
}

async function here(
  study: LotteryModuleOptions,
  seeds: readonly number[],
  { progress, signal }: Context,
): Promise<LotteryBranch[]> {
  const run = await lotteryOf(study);
  const branches: LotteryBranch[] = [];
  for (const seed of seeds) branches.push(...(await run(seed, { progress, signal })));
  return branches;
}

/** Each seed is a piece of work for whatever workers there are. */
async function overRedis(
  lottery: LotteryModuleOptions,
  seeds: readonly number[],
  { redis: url, queue: name = QUEUE }: LotteryCommandOptions,
  { progress, signal }: Context,
): Promise<LotteryBranch[]> {
  const { redisQueue } = await loadRedis();
  const file = await readModel(lottery.path);
  const model = await file.model();
  const reading = { progress, signal };
  const { train, validation, test } = await loadParts(
    model,
    lottery.data,
    reading,
    file.notes.labels,
  );
  const fingerprint = fingerprintOf(model, [train, validation, test], { weights: false });
  const queue = redisQueue<QueuedSeed, LotteryBranch[]>({ url: url!, queue: name });
  const bar = startProgress(progress, 'seeds', seeds.length);
  let done = 0;
  try {
    const found = await Promise.all(
      seeds.map(async (seed) => {
        const branches = await queue.run({ lottery: { ...lottery, fingerprint }, seed }, signal);
        bar.update(++done);
        return branches;
      }),
    );
    return found.flat();
  } finally {
    bar.stop();
    await queue.close();
  }
}

/** Means over the seeds, tickets before controls. */
function tableOf(branches: readonly LotteryBranch[]): string[][] {
  const groups = new Map<string, LotteryBranch[]>();
  for (const branch of [...branches].sort((a, b) => a.round - b.round)) {
    const key = `${branch.kind} ${branch.round}`;
    groups.set(key, [...(groups.get(key) ?? []), branch]);
  }
  const error = (accuracy: number) => 100 * (1 - accuracy);
  const rows = [...groups.values()].map((same) => {
    const { kind, round, remaining } = same[0]!;
    return [
      round === 0 ? 'dense' : kind,
      (100 * remaining).toFixed(1),
      meanAndSpread(
        same.map(({ earlyStop }) => earlyStop),
        0,
      ),
      meanAndSpread(
        same.map((each) => error(each.testAccuracy ?? each.validationAccuracy)),
        2,
      ),
    ];
  });
  return [['network', 'weights left %', 'early stop, step', 'error there %'], ...rows];
}

function meanAndSpread(values: readonly number[], digits: number): string {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  if (values.length === 1) return mean.toFixed(digits);
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return `${mean.toFixed(digits)} ± ${Math.sqrt(squares / (values.length - 1)).toFixed(digits)}`;
}

function notes(seeds: number, [first]: readonly LotteryBranch[]): string[] {
  const where = first?.testAccuracy === undefined ? 'validation' : 'test';
  return [
    `${seeds === 1 ? 'One seed' : `Mean and standard deviation over ${seeds} seeds`}; errors on ${where} data.`,
    'The early stop is the step with the lowest validation loss.',
  ];
}
