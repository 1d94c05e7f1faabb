// Tables and charts of benchmarks/results in the pages. Tables are written into the pages, so that they can be read
// where the pages are not a site; charts are drawn when the site is built.
import type { MarkdownRenderer } from 'vitepress';
import { charts } from './charts.ts';
import type { Table } from './results.ts';
import { tables } from './tables.ts';

function find<T>(all: Record<string, () => T>, name: string, what: string): T {
  const make = all[name];
  if (!make) {
    throw new Error(`There is no ${what} '${name}'; there are ${Object.keys(all).join(', ')}.`);
  }
  return make();
}

/** A table as Markdown, with the command that made it and a link to every single figure. */
export function markdownOf(table: Table, keep: readonly string[], results: string): string {
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
    `*${about[0]!.toUpperCase()}${about.slice(1)}. \`${run.command}\`, ${run.date}, commit ${run.commit.slice(0, 7)}, ${run.machine.cores} cores: [result](${results}/${result}.json).*`,
  ].join('\n');
}

/** A table as it was asked for, or as it was written last. */
const BLOCK =
  /```measured\n([\s\S]*?)\n```|<!-- measured\n([\s\S]*?)\n-->\n<div class="measured">\n[\s\S]*?\n<\/div>/g;

/**
 * A page with its tables written anew. A table is asked for by a fence, ```measured, with the name of the table and
 * then the rows to keep (default all).
 *
 * @param page the path of the page in docs
 */
export function withTables(text: string, page: string): string {
  const results = `${'../'.repeat(page.split('/').length)}benchmarks/results`;
  return text.replace(BLOCK, (_, asked?: string, written?: string) => {
    const [name = '', ...keep] = (asked ?? written)!.split('\n');
    const table = markdownOf(find(tables, name, 'table'), keep, results);
    const request = ['<!-- measured', name, ...keep, '-->'].join('\n');
    return `${request}\n<div class="measured">\n\n${table}\n\n</div>`;
  });
}

/** Teaches a Markdown renderer charts, `<!-- chart NAME -->`, and where the site keeps the results. */
export function measured(md: MarkdownRenderer): void {
  const { html_block: block, link_open: link } = md.renderer.rules;
  md.renderer.rules.html_block = (tokens, index, options, env, self) => {
    const [, name] = tokens[index]!.content.match(/^<!-- chart (\S+) -->/) ?? [];
    return name ? find(charts, name, 'chart') : block!(tokens, index, options, env, self);
  };
  md.renderer.rules.link_open = (tokens, index, options, env, self) => {
    const token = tokens[index]!;
    const [, file] = token.attrGet('href')?.match(/^(?:\.\.\/)+benchmarks\/results\/(.+)$/) ?? [];
    if (file) {
      token.attrSet('href', `/results/${file}`);
      token.attrSet('target', '_self'); // no page of the site
    }
    return link!(tokens, index, options, env, self);
  };
}
