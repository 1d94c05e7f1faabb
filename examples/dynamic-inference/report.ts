// The table, the charts and the record of a run.
import { lineChart } from '../shared/chart.ts';
import { type DataRecord, dataLine, seedsLine, writePage } from '../shared/program.ts';
import type { RunRecord } from '../shared/run-record.ts';
import {
  count,
  htmlTable,
  meanAndSpread,
  type Row,
  statistics,
  textTable,
} from '../shared/table.ts';
import type { Point } from './experiment.ts';

/** Everything that a run found out: one list of points per seed. */
export interface Report {
  run: RunRecord;
  preset: string;
  data: DataRecord;
  seeds: number[];
  results: Point[][];
}

/** One row for each setting. */
export function table({ results, data }: Pick<Report, 'results' | 'data'>): Row[] {
  const head = ['setting', 'MACs', `test errors of ${count(data.test)}`, 'error %', 'ms per image'];
  const rows = results[0]!.map(({ name }, i) => {
    const column = (value: (point: Point) => number, digits: number) =>
      meanAndSpread(
        results.map((points) => value(points[i]!)),
        digits,
      );
    return [
      name,
      column(({ macs }) => macs, 0),
      column(({ errors }) => errors, results.length > 1 ? 1 : 0),
      column(({ errors, testSize }) => (100 * errors) / testSize, 2),
      column(({ milliseconds }) => milliseconds, 3),
    ];
  });
  return [head, ...rows];
}

/** What is printed at the end of a run. */
export function textReport(report: Report): string {
  return `${textTable(table(report))}\n${seedsLine(report.seeds)} Time: median, a hundred images at a time.`;
}

function chart({ results }: Report, title: string, x: string, value: (point: Point) => number) {
  const points = results[0]!.map(({ series }, i) => {
    const each = results.map((all) => all[i]!);
    const right = each.map(({ errors, testSize }) => 100 * (1 - errors / testSize));
    const { mean, deviation } = statistics(right);
    return { series, x: statistics(each.map(value)).mean, y: mean, spread: deviation };
  });
  return lineChart({ title, x, y: 'test accuracy, %', points });
}

/** Writes `report.html` and `result.json` into `folder` and gives back the path of the page. */
export async function writeReport(report: Report, folder: string): Promise<string> {
  const lines = [
    `Preset ${report.preset}. ${dataLine(report.data)}`,
    textReport(report).split('\n').at(-1)!,
  ];
  const charts = [
    await chart(
      report,
      'Accuracy against computation',
      'million multiply-accumulates',
      (point) => point.macs / 1e6,
    ),
    await chart(
      report,
      'Accuracy against time',
      'milliseconds per image',
      (point) => point.milliseconds,
    ),
  ];
  const title = 'MNIST, computed as wide and as far as is needed';
  return writePage(folder, title, lines, [...charts, htmlTable(table(report))], report);
}
