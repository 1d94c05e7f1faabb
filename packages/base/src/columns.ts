/** Rows of cells, all as long as the first. */
type Rows = readonly (readonly string[])[];

function widthsOf(rows: Rows): number[] {
  return (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
}

/**
 * Rows of cells as lines whose columns are aligned: the first `left` columns to the left, the others to the right,
 * two spaces between them.
 *
 * @example
 * alignColumns([['layer', 'bytes'], ['fc1', '1,200']], 1); // 'layer  bytes', 'fc1    1,200'
 */
export function alignColumns(rows: Rows, left: number): string[] {
  const widths = widthsOf(rows);
  return rows.map((row) =>
    row
      .map((cell, i) => (i < left ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join('  ')
      .trimEnd(),
  );
}

/**
 * A table for a terminal: the first row, a rule, the others, aligned by {@link alignColumns}.
 *
 * @param left columns that are aligned to the left; default 1
 * @example
 * console.log(textTable([['layer', 'bytes'], ['fc1', '1,200']]));
 */
export function textTable(rows: Rows, left: number = 1): string {
  const [head, ...others] = alignColumns(rows, left);
  const rule = widthsOf(rows).map((width) => '-'.repeat(width));
  return [head, rule.join('  '), ...others].join('\n');
}
