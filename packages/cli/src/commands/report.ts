// thimble report
import { cpus } from 'node:os';
import { basename } from 'node:path';
import { writeBytes } from '@thimble/base';
import { type BatchSource, type ReportSubject, reportTable, report as sideBySide } from 'thimble';
import type { Context, Outcome } from '../context.ts';
import { checkNumbers } from '../data/examples.ts';
import { type DataOptions, loadExamples } from '../data/load.ts';
import { readModel } from '../model-file.ts';
import { checkOutput } from '../output.ts';

export interface ReportCommandOptions extends DataOptions {
  html?: string;
  robustness?: number;
  maps?: number;
  repeats?: number;
  loss?: string;
  seed?: number;
}

export async function report(
  before: string,
  after: string,
  { html, robustness, maps, repeats, loss, seed, ...options }: ReportCommandOptions,
  context: Context,
): Promise<Outcome> {
  const { progress, signal, say } = context;
  if (html !== undefined) await checkOutput(html);
  const files = [await readModel(before), await readModel(after)];
  const model = await files[0]!.model();
  const labels = files[0]!.notes.labels ?? files[1]!.notes.labels;
  const { source, examples, shifted } = await loadExamples(model, options, context, labels);
  checkNumbers(examples, model.outputs.at(-1)!.shape.at(-1) ?? 1);
  const subjects: ReportSubject[] = [];
  for (const file of files) {
    subjects.push(file.content ?? (await file.model()));
  }
  const classNames = labels ?? examples.classNames;
  const shift: BatchSource | false = robustness === 0 ? false : ((await shifted?.()) ?? false);
  const found = await sideBySide(subjects[0]!, subjects[1]!, source, {
    shift,
    progress,
    signal,
    ...(classNames ? { classNames } : {}),
    ...(robustness === undefined ? {} : { robustness }),
    ...(maps === undefined ? {} : { maps }),
    ...(repeats === undefined ? {} : { repeats }),
    ...(loss === undefined ? {} : { loss }),
    ...(seed === undefined ? {} : { seed }),
  });
  const result = { ...found, source: examples.name };
  const machine = { cpu: cpus()[0]?.model.trim() ?? 'unknown', node: process.versions.node };
  const about = `Before: ${before}. After: ${after}. Node ${machine.node}, ${machine.cpu}.`;
  if (html !== undefined) {
    const { reportHtml } = await import('@thimble/report');
    const title = `${basename(before)} and ${basename(after)}`;
    const page = await reportHtml(result, { title, notes: [about] });
    await writeBytes(html, new TextEncoder().encode(page));
    say(`Written: ${html}.`);
  }
  return {
    text: [about, '', reportTable(result)].join('\n'),
    json: { paths: { before, after }, machine, ...(html === undefined ? {} : { html }), ...result },
  };
}
