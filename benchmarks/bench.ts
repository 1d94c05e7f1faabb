// Runs one benchmark and keeps its result: `npm run bench -- NAME`.
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { startThimble } from '@thimble/backend';
import { escapeHtml, page as pageOf } from 'thimble-examples/shared/html';
import { describeRun } from 'thimble-examples/shared/run-record';
import { htmlTable, textTable } from 'thimble-examples/shared/table';
import type { Task } from './task.ts';
import { coldStart } from './tasks/cold-start.bench.ts';
import { decoding } from './tasks/decode.bench.ts';
import { decomposed } from './tasks/decomposed.bench.ts';
import { dynamic } from './tasks/dynamic.bench.ts';
import { gates } from './tasks/gates.bench.ts';
import { inference } from './tasks/inference.bench.ts';
import { kernels } from './tasks/kernels.bench.ts';
import { maskedTraining } from './tasks/masked-training.bench.ts';
import { packedKernels } from './tasks/packed-kernels.bench.ts';
import { quantisedTraining } from './tasks/quantised-training.bench.ts';
import { size } from './tasks/size.bench.ts';
import { threads } from './tasks/threads.bench.ts';
import { training } from './tasks/training.bench.ts';

const TASKS: Record<string, Task> = {
  'cold-start': coldStart,
  decode: decoding,
  decomposed,
  dynamic,
  gates,
  kernels,
  training,
  'packed-kernels': packedKernels,
  'masked-training': maskedTraining,
  'quantised-training': quantisedTraining,
  inference,
  size,
  threads,
};

const OPTIONS = {
  repeats: { type: 'string', default: '15' },
  save: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

/** What the command line says; a sentence where it cannot be done. */
function read(): { name: string; repeats: number; save: boolean } | string | undefined {
  try {
    const { values, positionals } = parseArgs({ allowPositionals: true, options: OPTIONS });
    const [name, ...extra] = positionals;
    const repeats = Number(values.repeats);
    if (values.help || name === undefined) return undefined;
    if (!Object.hasOwn(TASKS, name)) return `There is no benchmark "${name}".`;
    if (extra.length > 0) return `One benchmark at a time, not "${positionals.join(' ')}".`;
    if (!Number.isInteger(repeats) || repeats < 1) {
      return `--repeats must be a whole number from 1 on, not ${values.repeats}.`;
    }
    return { name, repeats, save: values.save };
  } catch (error) {
    return (error as Error).message;
  }
}

const asked = read();
if (typeof asked !== 'object') {
  const list = Object.entries(TASKS).map(([key, { about }]) => `  ${key.padEnd(18)} ${about}`);
  console.log(`npm run bench -- NAME [--repeats 15] [--save]\n\n${list.join('\n')}\n
--save writes the figures to benchmarks/results/NAME.json, and a page where there are charts.`);
  if (asked !== undefined) console.error(`\n${asked}`);
  process.exitCode = asked === undefined ? 0 : 1;
} else {
  const { name, repeats, save } = asked;
  const command = `npm run bench -- ${name} --repeats ${repeats} --save`;
  await startThimble();
  const run = describeRun(command); // now: the checkout may change while this runs
  const { table, figures, page } = await TASKS[name]!.run(repeats);
  console.log(textTable(table));
  if (save) {
    const path = `benchmarks/results/${name}.json`;
    await writeFile(path, `${JSON.stringify({ run, repeats, figures }, null, 2)}\n`);
    console.log(`\nwritten to ${path}`);
    if (page) {
      const record = `<pre>${escapeHtml(JSON.stringify(run, null, 2))}</pre>`;
      const pieces = [...page.pieces, htmlTable(table), record];
      const html = `benchmarks/results/${name}.html`;
      await writeFile(html, pageOf(page.title, page.paragraphs, pieces));
      console.log(`and ${html}`);
    }
  }
}
