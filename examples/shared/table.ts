// A table of strings, for the terminal and for a page.
import { escapeHtml } from './html.ts';

export { textTable } from 'thimble';

export type Row = string[];

export function htmlTable([head, ...rows]: Row[]): string {
  const cells = (tag: string, row: Row) =>
    row.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join('');
  return `<table><thead><tr>${cells('th', head!)}</tr></thead><tbody>${rows
    .map((row) => `<tr>${cells('td', row)}</tr>`)
    .join('')}</tbody></table>`;
}

/** "1.23" for one figure, "1.23 ± 0.04" (sample standard deviation) for several. */
export function meanAndSpread(values: number[], digits: number): string {
  const { mean, deviation } = statistics(values);
  const text = mean.toFixed(digits);
  return values.length > 1 ? `${text} ± ${deviation.toFixed(digits)}` : text;
}

/** Mean and sample standard deviation (0 for a single value). */
export function statistics(values: number[]): { mean: number; deviation: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, deviation: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : 0 };
}

/** Whole numbers with thousands separators. */
export function count(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}
