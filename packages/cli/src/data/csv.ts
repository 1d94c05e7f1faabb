// Tables as examples: a column of labels, numbers in all others.
import { DataError } from '@thimble/base';
import { parse } from 'csv-parse/sync';
import { type Examples, sharedNames } from './examples.ts';

const LABEL_NAMES = ['label', 'class', 'target', 'y'];

/** What is known of a table before it is read. */
export interface TableOptions {
  /** The column of labels. */
  label?: string | undefined;
  /** Names of the classes, where other data has said them. */
  classNames?: readonly string[] | undefined;
  /** What a file of a network calls its classes; used where the table has any of these names. */
  labels?: readonly string[] | undefined;
  /** Names of the columns that are no labels, in the order that the model takes them in. */
  columns?: readonly string[] | undefined;
}

/**
 * Reads a table whose first line names the columns, or is an example already. The labels are in the column that is
 * asked for, else one named label, class, target or y, else the last. Labels that are words become class numbers: in
 * the order of `classNames`, else in alphabetical order.
 *
 * @throws {DataError} naming line and column of what is no number, for a column that is not there, and for a label that
 *   is none of the classes.
 */
export function parseCsv(text: string, name: string, about: TableOptions = {}): Examples {
  const rows = read(text, name);
  const [first, second] = rows;
  if (!first) throw new DataError(`${name} has no lines.`);
  const named = areNames(first, second, about.label);
  const columns = named ? first : first.map((_, i) => `${i + 1}`);
  const body = named ? rows.slice(1) : rows;
  if (body.length === 0) throw new DataError(`${name} has names of columns, but no examples.`);
  const at = labelColumn(columns, name, about.label);
  if (columns.length === 1) checkSeparator(columns[0]!, name);
  const places = placesOf(columns, at, name, named ? about.columns : undefined);
  const width = places.length;
  const values = new Float32Array(body.length * width);
  const lineOf = (i: number) => i + 1 + (named ? 1 : 0);
  for (const [i, row] of body.entries()) {
    for (const [k, column] of places.entries()) {
      const cell = row[column]!;
      if (!isNumber(cell)) {
        throw new DataError(
          `${name}, line ${lineOf(i)}: "${cell}" in column "${columns[column]}" is no number. Remove the line, or make it one.`,
        );
      }
      values[i * width + k] = Number(cell);
    }
  }
  const given = body.map((row) => row[at]!);
  const known = about.classNames ?? sharedNames(about.labels, given);
  const classNames = classesOf(given, known);
  const numberOf = new Map(classNames?.map((word, i) => [word, i]));
  const unknown = classNames ? given.findIndex((word) => !numberOf.has(word)) : -1;
  if (unknown >= 0) {
    throw new DataError(
      `${name}, line ${lineOf(unknown)}: "${given[unknown]}" is none of the classes ${classNames!.slice(0, 20).join(', ')}.`,
    );
  }
  return {
    name,
    size: body.length,
    shape: [width],
    row: (index) => values.subarray(index * width, (index + 1) * width),
    scale: 1,
    labels: { values: given.map((cell) => numberOf.get(cell) ?? Number(cell)), width: 1 },
    ...(classNames ? { classNames, numberedHere: known === undefined } : {}),
    ...(named ? { columns: places.map((column) => columns[column]!) } : {}),
  };
}

/** Whether the first line names the columns: an example has words only where the next one has words, too. */
function areNames(
  first: readonly string[],
  second: readonly string[] | undefined,
  label: string | undefined,
): boolean {
  const names = label === undefined ? LABEL_NAMES : [label];
  const words = first.map((cell) => !isNumber(cell));
  return (
    words.every(Boolean) ||
    words.some((word, i) => word && (!second || isNumber(second[i]!))) ||
    first.some((cell) => names.includes(label === undefined ? cell.toLowerCase() : cell))
  );
}

/** Names of the classes; undefined where labels are numbers and nothing else is known. */
function classesOf(
  given: readonly string[],
  known: readonly string[] | undefined,
): string[] | undefined {
  const words = given.some((cell) => !isNumber(cell));
  if (known && (words || given.every((cell) => known.includes(cell)))) return [...known];
  return words ? [...new Set(given)].sort() : undefined;
}

/** Where the values of an example are: by name where the names are known, else all columns but that of the labels. */
function placesOf(
  columns: readonly string[],
  label: number,
  name: string,
  wanted: readonly string[] | undefined,
): number[] {
  if (!wanted) return columns.map((_, i) => i).filter((i) => i !== label);
  return wanted.map((column) => {
    const at = columns.indexOf(column);
    if (at >= 0 && at !== label) return at;
    throw new DataError(`${name} has no column "${column}", which the training data has.`);
  });
}

function read(text: string, name: string): string[][] {
  try {
    return parse(text, { trim: true, skip_empty_lines: true, bom: true }) as string[][];
  } catch (cause) {
    throw new DataError(`${name} cannot be read as CSV: ${(cause as Error).message}`, { cause });
  }
}

/** Throws for what programs in some languages call CSV. */
function checkSeparator(column: string, name: string): void {
  const [separator] = /[;\t|]/.exec(column) ?? [];
  if (separator === undefined) return;
  throw new DataError(
    `${name} has one column, "${column}". Its columns seem to be separated by ${separator === '\t' ? 'tabs' : `"${separator}"`}; save it with commas.`,
  );
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
