// The table, the charts and the record of a lottery-ticket experiment.
import type { LotteryBranch } from 'thimble';
import { lineChart, type Point } from '../shared/chart.ts';
import { type DataRecord, seedsLine, writePage } from '../shared/program.ts';
import type { RunRecord } from '../shared/run-record.ts';
import { htmlTable, meanAndSpread, type Row, statistics, textTable } from '../shared/table.ts';

export interface Report {
  run: RunRecord;
  model: string;
  preset: string;
  data: DataRecord;
  seeds: number[];
  branches: LotteryBranch[];
}

const NAMES: Record<LotteryBranch['kind'], string> = {
  ticket: 'winning ticket',
  reinit: 'drawn anew',
  reinitSign: 'drawn anew, signs kept',
  random: 'random mask',
  shuffled: 'weights shuffled',
  shuffledSign: 'weights shuffled, signs kept',
  signOnly: 'constant, signs kept',
  loseSign: 'constant, signs random',
  oneShot: 'pruned in one shot',
};

/** The branches of each kind and round, over the seeds. */
function grouped(branches: readonly LotteryBranch[]): LotteryBranch[][] {
  const groups = new Map<string, LotteryBranch[]>();
  for (const branch of branches) {
    const key = `${branch.kind} ${branch.round}`;
    groups.set(key, [...(groups.get(key) ?? []), branch]);
  }
  return [...groups.values()].sort(
    ([a], [b]) => a!.round - b!.round || order(a!.kind) - order(b!.kind),
  );
}

function order(kind: LotteryBranch['kind']): number {
  return Object.keys(NAMES).indexOf(kind);
}

const error = (accuracy: number | undefined) => 100 * (1 - (accuracy ?? Number.NaN));

/** One row for each kind and round. */
export function table({ branches }: Pick<Report, 'branches'>): Row[] {
  const head = [
    'network',
    'weights left %',
    'early stop, step',
    'test error there %',
    'test error at the end %',
  ];
  const rows = grouped(branches).map((runs) => {
    const { kind, round, remaining } = runs[0]!;
    const column = (value: (branch: LotteryBranch) => number, digits: number) =>
      meanAndSpread(runs.map(value), digits);
    return [
      round === 0 ? 'dense' : NAMES[kind],
      (100 * remaining).toFixed(1),
      column(({ earlyStop }) => earlyStop, 0),
      column(({ testAccuracy }) => error(testAccuracy), 2),
      column(({ finalTestAccuracy }) => error(finalTestAccuracy), 2),
    ];
  });
  return [head, ...rows];
}

async function chart(
  { branches }: Report,
  title: string,
  y: string,
  value: (branch: LotteryBranch) => number,
): Promise<string> {
  const kinds = new Map<string, number>();
  for (const [first] of grouped(branches)) {
    kinds.set(first!.kind, (kinds.get(first!.kind) ?? 0) + 1);
  }
  const points: Point[] = grouped(branches)
    .filter((runs) => kinds.get(runs[0]!.kind)! > 1)
    .map((runs) => {
      const { mean, deviation } = statistics(runs.map(value));
      const series = NAMES[runs[0]!.kind];
      return { series, x: 100 * runs[0]!.remaining, y: mean, spread: deviation };
    });
  return lineChart({ title, x: 'weights left, %', y, points, downwards: true });
}

/** What is printed at the end. */
export function textReport(report: Report): string {
  return `${textTable(table(report))}\n${seedsLine(report.seeds)} The early stop is the step with the lowest validation loss.`;
}

/** Writes `report.html` and `result.json` into `folder` and gives back the path of the page. */
export async function writeReport(report: Report, folder: string): Promise<string> {
  const { data, model, preset } = report;
  // The curves stay in the branch files; the record keeps what the table is made of.
  const branches = report.branches.map(({ curve: _, ...branch }) => branch);
  return writePage(
    folder,
    'Lottery tickets',
    [
      `${model}, preset ${preset}. Data: ${data.source}; ${data.train} training and ${data.test} test images.`,
      textReport(report).split('\n').at(-1)!,
    ],
    [
      await chart(report, 'Test accuracy at the early stop', 'accuracy, %', (branch) => {
        return 100 - error(branch.testAccuracy);
      }),
      await chart(
        report,
        'Step of the lowest validation loss',
        'steps',
        ({ earlyStop }) => earlyStop,
      ),
      htmlTable(table(report)),
    ],
    { ...report, branches },
  );
}
