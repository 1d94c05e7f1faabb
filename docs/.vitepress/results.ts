// What the tables of the pages are made of: records of benchmarks/results, and figures as text.
import { readFileSync } from 'node:fs';
import { median } from '../../benchmarks/statistics.ts';

export interface Run {
  command: string;
  commit: string;
  date: string;
  machine: { cpu: string; cores: number };
}

export interface Table {
  /** The file in benchmarks/results, without .json. */
  result: string;
  run: Run;
  /** What the figures are, in a phrase. */
  about: string;
  /** The first column names the row. */
  head: string[];
  rows: string[][];
}

export type Outcome = Record<string, number>;

export interface Study {
  run: Run;
  results: { method: string; outcomes: Outcome[] }[];
}

export interface Times {
  run: Run;
  figures: {
    networks: { network: string; images?: string; milliseconds: Record<string, number[]> }[];
  };
}

export function readResult<T>(name: string): T {
  const file = new URL(`../../benchmarks/results/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(file, 'utf8')) as T;
}

export const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** "1.52 ± 0.11": mean and standard deviation of a sample. */
export function spread(values: readonly number[], digits = 2): string {
  const middle = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - middle) ** 2, 0);
  return `${middle.toFixed(digits)} ± ${Math.sqrt(squares / (values.length - 1)).toFixed(digits)}`;
}

export const thousands = (value: number) => Math.round(value).toLocaleString('en-US');

/** Errors of 10,000 test images as percent. */
export const percent = (errors: readonly number[]) =>
  `${spread(errors.map((count) => count / 100))} %`;

/** Medians over the rounds of how one time compares with another of the same round. */
export const ratio = (above: readonly number[], below: readonly number[]) =>
  median(above.map((ms, round) => ms / below[round]!)).toFixed(2);

/** Groups by a key, in the order of first appearance. */
export function groups<T>(items: readonly T[], key: (item: T) => string): [string, T[]][] {
  const found = new Map<string, T[]>();
  for (const item of items) {
    const name = key(item);
    if (!found.has(name)) found.set(name, []);
    found.get(name)!.push(item);
  }
  return [...found];
}
