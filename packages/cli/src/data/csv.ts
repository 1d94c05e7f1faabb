// Tables as examples: a column of labels, numbers in all others.
import { DataError } from '@thimble/base';
import { parse } from 'csv-parse/sync';
import type { Examples } from './examples.ts';

const LABEL_NAMES = ['label', 'class', 'target', 'y'];

/**
 * Reads a table whose first line names the columns, or has numbers already. The labels are in the column that is
 * asked for, else one named label, class, target or y, else the last. Labels that are words become class numbers, in
 * alphabetical order.
 *
 * @throws {DataError} naming line and column of what is no number, and for a column that is not there.
 */
export function parseCsv(text: string, name: string, label: string | undefined): Examples {
  const rows = read(text, name);
  const [first] = rows;
  if (!first) throw new DataError(`${name} has no lines.`);
  const named = first.some((cell) => !isNumber(cell));
  const columns = named ? first : first.map((_, i) => `${i + 1}`);
  const body = named ? rows.slice(1) : rows;
  if (body.length === 0) throw new DataError(`${name} has names of columns, but no examples.`);
  const at = labelColumn(columns, name, label);
  const width = columns.length - 1;
  const values = new Float32Array(body.length * width);
  const given: string[] = [];
  for (const [i, row] of body.entries()) {
    const line = i + 1 + (named ? 1 : 0);
    let k = i * width;
    for (const [column, cell] of row.entries()) {
      if (column === at) given.push(cell);
      else if (isNumber(cell)) values[k++] = Number(cell);
      else {
        throw new DataError(
          `${name}, line ${line}: "${cell}" in column "${columns[column]}" is no number. Remove the line, or make it one.`,
        );
      }
    }
  }
  const words = given.some((cell) => !isNumber(cell));
  const classNames = words ? [...new Set(given)].sort() : undefined;
  const numberOf = new Map(classNames?.map((word, i) => [word, i]));
  return {
    name,
    size: body.length,
    shape: [width],
    row: (index) => values.subarray(index * width, (index + 1) * width),
    scale: 1,
    labels: { values: given.map((cell) => numberOf.get(cell) ?? Number(cell)), width: 1 },
    ...(classNames ? { classNames } : {}),
  };
}

function read(text: string, name: string): string[][] {
  try {
    return parse(text, { trim: true, skip_empty_lines: true, bom: true }) as string[][];
  } catch (cause) {
    throw new DataError(`${name} cannot be read as CSV: ${(cause as Error).message}`, { cause });
  }
}

function isNumber(cell: string): boolean {
  return cell !== '' && Number.isFinite(Number(cell));
}

function labelColumn(columns: readonly string[], name: string, label: string | undefined): number {
  if (label !== undefined) {
    const at = columns.indexOf(label);
    if (at >= 0) return at;
    const known = columns.slice(0, 20).join(', ');
    throw new DataError(`${name} has no column "${label}". Its columns: ${known}.`);
  }
  const at = columns.findIndex((column) => LABEL_NAMES.includes(column.toLowerCase()));
  return at >= 0 ? at : columns.length - 1;
}
