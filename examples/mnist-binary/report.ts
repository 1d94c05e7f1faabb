// The table and the record of a run.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { escapeHtml, page } from '../shared/html.ts';
import type { RunRecord } from '../shared/run-record.ts';
import { count, htmlTable, meanAndSpread, type Row, textTable } from '../shared/table.ts';
import type { Trained } from './experiment.ts';

/** Everything that a run found out: one list of networks per seed. */
export interface Report {
  run: RunRecord;
  preset: string;
  data: { source: string; synthetic: boolean; train: number; test: number };
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
  const { seeds } = report;
  const which =
    seeds.length > 1
      ? `Mean ± standard deviation over the seeds ${seeds.join(', ')}.`
      : `Seed ${seeds[0]}.`;
  return [
    textTable(table(report)),
    `${which} Bits as used at test time: stochastic BinaryConnect tests with its real weights.`,
  ].join('\n');
}

/** Writes `report.html` and `result.json` into `folder` and gives back the path of the page. */
export async function writeReport(report: Report, folder: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  const { data, run } = report;
  const html = page(
    'MNIST with binary weights',
    [
      `Data: ${data.source}; ${count(data.train)} training and ${count(data.test)} test images.`,
      textReport(report).split('\n').at(-1)!,
    ],
    [htmlTable(table(report)), `<pre>${escapeHtml(JSON.stringify(run, null, 2))}</pre>`],
  );
  const path = join(folder, 'report.html');
  await writeFile(path, html);
  await writeFile(join(folder, 'result.json'), `${JSON.stringify(report, null, 2)}\n`);
  return path;
}
