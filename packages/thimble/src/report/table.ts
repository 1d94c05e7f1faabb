// A report as text, for a terminal.
import { textTable } from '@thimble/base';
import type { NetworkReport, Report } from './report-data.ts';

type Row = [string, string, string];

const count = (value: number): string => Math.round(value).toLocaleString('en-US');
const percent = (value: number): string => `${(100 * value).toFixed(2)} %`;
const figure = (value: number): string => value.toPrecision(3);

/**
 * A report as a text table: the two networks side by side, then the layers, then the classes.
 *
 * @example
 * console.log(reportTable(await report(model, small, test, { robustness: 0, repeats: 3 })));
 */
export function reportTable(report: Report): string {
  const { before, after, worstClass, strengths, examples, source, energySource } = report;
  const row = (name: string, tell: (network: NetworkReport) => string): Row => [
    name,
    tell(before),
    tell(after),
  ];
  const worst = worstClass
    ? `Class that lost most: ${worstClass.name}, from ${percent(worstClass.before)} to ${percent(worstClass.after)}.`
    : 'No class lost accuracy.';
  const lines = [
    `${count(examples)} examples${source ? ` of ${source}` : ''}.`,
    '',
    textTable([['', 'before', 'after'], ...mainRows(report, row), ...robustnessRows(report, row)]),
    '',
    ...(report.task === 'classes' ? [worst] : []),
    `Latency: one example at a time, ${before.speed.engine}, ${before.speed.repeats} of each in turn, on this machine. ` +
      'Bandwidth: weights once and values twice, over the median; an estimate.',
    `Energy: an estimate by ${energySource}; weights from DRAM once.`,
    ...(before.robustness
      ? [
          `Robustness: ${report.task === 'classes' ? 'accuracy' : 'root mean square error'} on ${count(strengths.examples)} ` +
            'examples; attacks are made against each network itself.',
        ]
      : []),
    '',
    textTable(layerRows(report)),
    ...(report.task === 'classes' ? ['', textTable(classRows(report))] : []),
  ];
  return lines.join('\n');
}

function mainRows(
  { task }: Report,
  row: (name: string, tell: (network: NetworkReport) => string) => Row,
): Row[] {
  const quality =
    task === 'classes'
      ? [
          row('accuracy', ({ accuracy }) => percent(accuracy!)),
          row('calibration error (ECE)', ({ calibration }) => figure(calibration!.ece)),
        ]
      : [
          row('mean absolute error', ({ mae }) => figure(mae!)),
          row('root mean square error', ({ rmse }) => figure(rmse!)),
        ];
  return [
    ...quality,
    row('bytes of the file', ({ bytes }) => count(bytes)),
    row('float32 / file', ({ ratio }) => `${ratio.toFixed(1)}x`),
    row('parameters', ({ params }) => count(params)),
    row('of them zero', ({ sparsity }) => percent(sparsity)),
    row('multiply-accumulates', ({ macs }) => count(macs)),
    row('latency, median ms', ({ speed }) => figure(speed.median)),
    row('latency, fastest ms', ({ speed }) => figure(speed.fastest)),
    row('weights in memory, bytes', ({ speed }) => count(speed.weightBytes)),
    row('values in memory, bytes', ({ speed }) => count(speed.valueBytes)),
    row('bandwidth, GB/s', ({ speed }) => figure(speed.bandwidth)),
    row('energy, microjoules', ({ energy }) => figure(energy.total)),
    row('  arithmetic', ({ energy }) => figure(energy.arithmetic)),
    row('  weights', ({ energy }) => figure(energy.weights)),
    row('  values', ({ energy }) => figure(energy.values)),
  ];
}

function robustnessRows(
  { before, task, strengths }: Report,
  row: (name: string, tell: (network: NetworkReport) => string) => Row,
): Row[] {
  if (!before.robustness) return [];
  const score = task === 'classes' ? percent : figure;
  const at = (kind: 'noise' | 'fgsm' | 'pgd', title: string) =>
    before.robustness![kind].map(({ strength }, i) =>
      row(`${title} ${strength}`, ({ robustness }) => score(robustness![kind][i]!.score)),
    );
  return [
    row('as they are', ({ robustness }) => score(robustness!.clean)),
    ...at('noise', 'noise'),
    ...(before.robustness.shift === undefined
      ? []
      : [row('shifted data', ({ robustness }) => score(robustness!.shift!))]),
    ...at('fgsm', 'FGSM'),
    ...at('pgd', `PGD, ${strengths.steps} steps,`),
  ];
}

/** Layers side by side, by name; a layer that one network has not is left empty there. */
function layerRows({ before, after }: Report): string[][] {
  const names = [...new Set([...before.layers, ...after.layers].map(({ name }) => name))];
  const cells = (network: NetworkReport, name: string) => {
    const layer = network.layers.find((each) => each.name === name);
    return layer
      ? [count(layer.params), percent(layer.sparsity), count(layer.bytes)]
      : ['', '', ''];
  };
  return [
    ['layer', 'params', 'zero', 'bytes', 'params after', 'zero after', 'bytes after'],
    ...names.map((name) => [name, ...cells(before, name), ...cells(after, name)]),
  ];
}

function classRows({ classNames = [], before, after }: Report): string[][] {
  return [
    ['class', 'examples', 'before', 'after'],
    ...classNames.map((name, i) => [
      name,
      count(before.perClass![i]!.examples),
      percent(before.perClass![i]!.accuracy),
      percent(after.perClass![i]!.accuracy),
    ]),
  ];
}
