// The table, the chart and the record of a run.
import { lineChart, type Point } from '../shared/chart.ts';
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
import type { Trained } from './experiment.ts';

/** Everything that a run found out: one list of networks per seed. */
export interface Report {
  run: RunRecord;
  preset: string;
  data: DataRecord;
  seeds: number[];
  results: Trained[][];
}

/** For each network, what became of it under every seed. */
function byNetwork(results: Trained[][]): Trained[][] {
  return results[0]!.map((_, i) => results.map((networks) => networks[i]!));
}

function table(report: Report): Row[] {
  const head = [
    'network',
    'parameters',
    'bytes',
    'training images',
    `test errors of ${count(report.data.test)}`,
    'error %',
    'seconds',
  ];
  const rows = byNetwork(report.results).map((runs) => {
    const { name, parameters, bytes, images, testSize } = runs[0]!;
    const errors = runs.map((run) => run.errors);
    return [
      name,
      count(parameters),
      count(bytes),
      count(images),
      meanAndSpread(errors, runs.length > 1 ? 1 : 0),
      meanAndSpread(
        errors.map((e) => (100 * e) / testSize),
        2,
      ),
      meanAndSpread(
        runs.map((run) => run.seconds),
        1,
      ),
    ];
  });
  return [head, ...rows];
}

function notes({ results }: Report): string[] {
  return byNetwork(results).flatMap((runs) =>
    Object.keys(runs[0]!.notes).map(
      (key) =>
        `${runs[0]!.name}, ${key}: ${runs.map((run) => Number(run.notes[key]!.toFixed(2))).join(', ')}`,
    ),
  );
}

/** What is printed at the end of a run. */
export function textReport(report: Report): string {
  return [textTable(table(report)), seedsLine(report.seeds), ...notes(report)].join('\n');
}

async function learningCurves(report: Report): Promise<string> {
  const points: Point[] = byNetwork(report.results)
    .filter((runs) => runs[0]!.name !== 'the same, bias corrected')
    .flatMap((runs) =>
      runs[0]!.validationError.map((_, epoch) => {
        const { mean, deviation } = statistics(runs.map((run) => run.validationError[epoch]!));
        return { series: runs[0]!.name, x: epoch + 1, y: mean, spread: deviation };
      }),
    );
  return lineChart({
    title: 'Error on the validation images after each epoch',
    x: 'epoch',
    y: 'error %',
    points,
  });
}

/** Writes `report.html` and `result.json` into `folder` and gives back the path of the page. */
export async function writeReport(report: Report, folder: string): Promise<string> {
  const lines = textReport(report)
    .split('\n')
    .slice(report.results[0]!.length + 2);
  return writePage(
    folder,
    'MNIST, distilled',
    [dataLine(report.data), ...lines],
    [htmlTable(table(report)), await learningCurves(report)],
    report,
  );
}
