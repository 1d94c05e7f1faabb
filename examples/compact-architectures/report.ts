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
import type { Outcome } from './experiment.ts';

/** One method under all seeds, beside the plain network of equal multiply-accumulates. */
export interface Compared {
  name: string;
  outcomes: Outcome[];
  peers: Outcome[];
}

/** Everything that a run found out. */
export interface Report {
  run: RunRecord;
  preset: string;
  data: DataRecord;
  seeds: number[];
  results: Compared[];
}

const HEAD = [
  'network',
  'parameters',
  'MACs',
  'bytes',
  'test error %',
  'plain net of equal MACs: error %',
  'its parameters',
  'ms per batch of 128',
  'time / plain',
];

const errorOf = ({ errors, testSize }: Outcome) => (100 * errors) / testSize;

/** One row for each method. */
export function table(results: readonly Compared[]): Row[] {
  const rows = results.map(({ name, outcomes, peers }) => [
    name,
    count(outcomes[0]!.params),
    count(outcomes[0]!.macs),
    count(outcomes[0]!.bytes),
    meanAndSpread(outcomes.map(errorOf), 2),
    meanAndSpread(peers.map(errorOf), 2),
    count(peers[0]!.params),
    meanAndSpread(
      outcomes.map(({ milliseconds }) => milliseconds),
      2,
    ),
    meanAndSpread(
      outcomes.map(({ relativeTime }) => relativeTime),
      2,
    ),
  ]);
  return [HEAD, ...rows];
}

/** Errors over multiply-accumulates: the plain networks as a line, every method a point. */
export function chart(results: readonly Compared[]): Promise<string> {
  const point = (series: string, outcomes: Outcome[]): Point => {
    const { mean, deviation } = statistics(outcomes.map(errorOf));
    return { series, x: outcomes[0]!.macs / 1000, y: mean, spread: deviation };
  };
  const points = results.flatMap(({ name, outcomes, peers }) => [
    point('plain', peers),
    ...(name === 'plain' ? [] : [point(name, outcomes)]),
  ]);
  return lineChart({
    title: 'Error by multiply-accumulates',
    x: 'thousand multiply-accumulates',
    y: 'test error %',
    points,
  });
}

/** What is printed at the end of a run. */
export function textReport({ results, seeds }: Pick<Report, 'results' | 'seeds'>): string {
  return `${textTable(table(results))}\n${seedsLine(seeds)} Bytes are before entropy coding.`;
}

/** Writes `report.html` and `result.json` into `folder` and gives back the path of the page. */
export async function writeReport(report: Report, folder: string): Promise<string> {
  const lines = [
    `Preset ${report.preset}. ${dataLine(report.data)}`,
    textReport(report).split('\n').at(-1)!,
  ];
  const pieces = [await chart(report.results), htmlTable(table(report.results))];
  return writePage(folder, 'Compact architectures and decompositions', lines, pieces, report);
}
