// Fences that show a table or a chart of benchmarks/results.
import type { MarkdownRenderer } from 'vitepress';
import { charts } from './charts.ts';
import { type Table, tables } from './tables.ts';

function find<T>(all: Record<string, () => T>, name: string, what: string): T {
  const make = all[name];
  if (!make) {
    throw new Error(`There is no ${what} '${name}'; there are ${Object.keys(all).join(', ')}.`);
  }
  return make();
}

/** A table as Markdown, with the command that made it and a link to every single figure. */
export function markdownOf(table: Table, keep: readonly string[]): string {
  const { head, run, result, about } = table;
  const rows =
    keep.length === 0
      ? table.rows
      : keep.map((name) => {
          const row = table.rows.find(([title]) => title === name);
          if (!row) throw new Error(`${result}.json has no row '${name}'.`);
          return row;
        });
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [
    line(head),
    line(head.map((_, i) => (i === 0 ? '---' : '---:'))),
    ...rows.map(line),
    '',
    `*${about[0]!.toUpperCase()}${about.slice(1)}. \`${run.command}\`, ${run.date}, commit ${run.commit.slice(0, 7)}, ${run.machine.cores} cores: [result](/results/${result}.json).*{.source}`,
    '',
  ].join('\n');
}

/** Teaches a Markdown renderer the fences `measured` and `chart`. */
export function measured(md: MarkdownRenderer): void {
  const fence = md.renderer.rules.fence!;
  md.renderer.rules.fence = (tokens, index, options, env, self) => {
    const { info, content } = tokens[index]!;
    const [name = '', ...keep] = content.trim().split('\n');
    if (info === 'measured') {
      return `<div class="measured">${md.render(markdownOf(find(tables, name, 'table'), keep), { ...env })}</div>\n`;
    }
    if (info === 'chart') return find(charts, name, 'chart');
    return fence(tokens, index, options, env, self);
  };
}
