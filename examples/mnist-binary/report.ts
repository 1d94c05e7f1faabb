// The table and the record of a run.
import { type DataRecord, dataLine, seedsLine, writePage } from '../shared/program.ts';
import type { RunRecord } from '../shared/run-record.ts';
import { count, htmlTable, meanAndSpread, type Row, textTable } from '../shared/table.ts';
import type { Trained } from './experiment.ts';

/** Everything that a run found out: one list of networks per seed. */
export interface Report {
  run: RunRecord;
  preset: string;
  data: DataRecord;
  seeds: number[];
  results: Trained[][];
}

function table({ results, data }: Report): Row[] {
  const head = [
    'network',
    'parameters',
    'bits',
    'bytes',
    `test errors of ${count(data.test)}`,
    'error %',
    'seconds',
  ];
  const rows = results[0]!.map(({ name, parameters, bits, bytes, testSize }, i) => {
    const runs = results.map((networks) => networks[i]!);
    const errors = runs.map((run) => run.errors);
    return [
      name,
      count(parameters),
      count(bits),
      count(bytes),
      meanAndSpread(errors, runs.length > 1 ? 1 : 0),
      meanAndSpread(
        errors.map((wrong) => (100 * wrong) / testSize),
        2,
      ),
      meanAndSpread(
        runs.map(({ seconds }) => seconds),
        1,
      ),
    ];
  });
  return [head, ...rows];
}

/** What is printed at the end of a run. */
export function textReport(report: Report): string {
  return [
    textTable(table(report)),
    `${seedsLine(report.seeds)} Bits as used at test time: stochastic BinaryConnect tests with its real weights.`,
  ].join('\n');
}

/** Writes `report.html` and `result.json` into `folder` and gives back the path of the page. */
export function writeReport(report: Report, folder: string): Promise<string> {
  const lines = [dataLine(report.data), textReport(report).split('\n').at(-1)!];
  return writePage(folder, 'MNIST with binary weights', lines, [htmlTable(table(report))], report);
}
