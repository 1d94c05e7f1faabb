// The table and the record of a run.
import { type DataRecord, dataLine, seedsLine, writePage } from '../shared/program.ts';
import type { RunRecord } from '../shared/run-record.ts';
import { count, htmlTable, meanAndSpread, type Row, textTable } from '../shared/table.ts';
import type { Outcome } from './experiment.ts';

/** Everything that a run found out: one list of outcomes per seed. */
export interface Report {
  run: RunRecord;
  preset: string;
  data: DataRecord;
  seeds: number[];
  results: Outcome[][];
}

/** One row for each form of the network. */
export function table({ results, data }: Pick<Report, 'results' | 'data'>): Row[] {
  const head = [
    'LeNet-5',
    'bits of a weight',
    'bytes',
    'times smaller',
    `test errors of ${count(data.test)}`,
    'error %',
    'seconds',
  ];
  const dense = results[0]![0]!.bytes;
  const rows = results[0]!.map(({ name, bits, bytes, testSize }, i) => {
    const runs = results.map((outcomes) => outcomes[i]!);
    const column = (value: (outcome: Outcome) => number, digits: number) =>
      meanAndSpread(runs.map(value), digits);
    return [
      name,
      String(bits),
      count(bytes),
      (dense / bytes).toFixed(2),
      column(({ errors }) => errors, runs.length > 1 ? 1 : 0),
      column(({ errors }) => (100 * errors) / testSize, 2),
      column(({ seconds }) => seconds, 1),
    ];
  });
  return [head, ...rows];
}

/** What is printed at the end of a run. */
export function textReport(report: Report): string {
  return `${textTable(table(report))}\n${seedsLine(report.seeds)} Bytes are before entropy coding, with scales and biases.`;
}

/** Writes `report.html` and `result.json` into `folder` and gives back the path of the page. */
export function writeReport(report: Report, folder: string): Promise<string> {
  const lines = [
    `Preset ${report.preset}. ${dataLine(report.data)}`,
    textReport(report).split('\n').at(-1)!,
  ];
  return writePage(folder, 'MNIST, quantised', lines, [htmlTable(table(report))], report);
}
