// A report as a page.
import { type NetworkReport, type Report, reportTable, type Saliency } from 'thimble';
import { bitmap, grey, heat } from './bitmap.ts';
import { type Bar, barChart, lineChart, type Point } from './charts.ts';

/** What the page says besides the report. */
export interface ReportHtmlOptions {
  /** Default 'Before and after'. */
  title?: string;
  /** Paragraphs under it, for example which files were compared, and on what machine. */
  notes?: readonly string[];
}

/**
 * A report as one self-contained page: charts (Vega-Lite, drawn here as SVG), saliency maps and the table of
 * `reportTable`, with nothing to load and no script. It can be sent by mail.
 *
 * @example
 * const html = await reportHtml(await report(model, small, test, { robustness: 10, repeats: 3 }));
 */
export async function reportHtml(
  report: Report,
  { title = 'Before and after', notes = [] }: ReportHtmlOptions = {},
): Promise<string> {
  const charts = [
    await costChart(report),
    ...(report.task === 'classes'
      ? [await classChart(report), await calibrationChart(report)]
      : []),
    ...(report.before.robustness ? [await robustnessChart(report)] : []),
    await layerChart(report),
    await energyChart(report),
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
figure { margin: 1.5rem 0; }
svg { max-width: 100%; height: auto; }
pre { overflow-x: auto; padding: 0.8rem; background: color-mix(in srgb, currentColor 6%, transparent); }
table { border-collapse: collapse; }
th, td { padding: 0.3rem 0.6rem; text-align: center; font-weight: normal; }
td img { width: 84px; height: 84px; image-rendering: pixelated; }
</style>
</head>
<body>
<h1>${escapeHtml(title)}</h1>
${notes.map((note) => `<p>${escapeHtml(note)}</p>`).join('\n')}
${charts.map((svg) => `<figure>${svg}</figure>`).join('\n')}
${saliencyTable(report)}
<h2>All figures</h2>
<pre>${escapeHtml(reportTable(report))}</pre>
</body>
</html>
`;
}

function escapeHtml(text: string): string {
  return text.replace(
    /[&<>"]/g,
    (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]!,
  );
}

const SIDES = ['before', 'after'] as const;

/** A bar for each network. */
function pair(
  label: string,
  { before, after }: Report,
  tell: (network: NetworkReport) => number,
): Bar[] {
  const networks = { before, after };
  return SIDES.map((network) => ({ label, network, value: tell(networks[network]) }));
}

/** All costs in one chart, as shares of the network before. */
function costChart(report: Report): Promise<string> {
  const { before } = report;
  const share = (label: string, tell: (network: NetworkReport) => number) =>
    pair(label, report, (network) => tell(network) / (tell(before) || 1));
  return barChart('What it costs', 'share of before', [
    ...share('bytes of the file', ({ bytes }) => bytes),
    ...share('weights that are not zero', ({ nonzero }) => nonzero),
    ...share('multiply-accumulates', ({ macs }) => macs),
    ...share('latency', ({ speed }) => speed.median),
    ...share('memory', ({ speed }) => speed.weightBytes + speed.valueBytes),
    ...share('energy, estimated', ({ energy }) => energy.total),
  ]);
}

function classChart(report: Report): Promise<string> {
  const bars = (report.classNames ?? []).flatMap((name, i) =>
    pair(name, report, ({ perClass }) => 1 - perClass![i]!.accuracy),
  );
  return barChart('Errors by class', 'share of wrong answers', bars);
}

function calibrationChart({ before, after }: Report): Promise<string> {
  const networks = { before, after };
  const points = SIDES.flatMap((network) =>
    networks[network]
      .calibration!.bins.filter(({ examples }) => examples > 0)
      .map(({ confidence, accuracy }) => ({ network, x: confidence, y: accuracy })),
  );
  const axes = { x: 'confidence', y: 'accuracy', diagonal: true };
  return lineChart('Calibration: how often it is right when it is so sure', axes, points);
}

function robustnessChart({ before, after, task }: Report): Promise<string> {
  const networks = { before, after };
  const points = SIDES.flatMap((network): Point[] => {
    const { clean, noise, fgsm, pgd } = networks[network].robustness!;
    const line = (kind: string, list: typeof noise) => [
      { network, kind, x: 0, y: clean },
      ...list.map(({ strength, score }) => ({ network, kind, x: strength, y: score })),
    ];
    return [...line('noise', noise), ...line('FGSM', fgsm), ...line('PGD', pgd)];
  });
  const y = task === 'classes' ? 'accuracy' : 'root mean square error';
  return lineChart('Robustness', { x: 'strength, as a part of the range', y }, points);
}

function layerChart({ before, after }: Report): Promise<string> {
  const networks = { before, after };
  const names = [...new Set([...before.layers, ...after.layers].map(({ name }) => name))];
  const bars = names.flatMap((label) =>
    SIDES.flatMap((network): Bar[] => {
      const layer = networks[network].layers.find(({ name }) => name === label);
      return layer ? [{ label, network, value: layer.sparsity }] : [];
    }),
  );
  return barChart('Sparsity by layer', 'share of weights that are zero', bars);
}

function energyChart(report: Report): Promise<string> {
  return barChart('Energy of one inference, estimated', 'microjoules', [
    ...pair('arithmetic', report, ({ energy }) => energy.arithmetic),
    ...pair('weights', report, ({ energy }) => energy.weights),
    ...pair('values', report, ({ energy }) => energy.values),
  ]);
}

function saliencyTable({ saliency, classNames }: Report): string {
  if (saliency.length === 0) return '';
  const name = (answer: number) => classNames?.[answer] ?? answer.toPrecision(3);
  const image = (
    values: readonly number[],
    shape: Saliency['shape'],
    palette: typeof grey,
    alt: string,
  ) => `<img alt="${escapeHtml(alt)}" src="${bitmap(values, shape, palette)}">`;
  const row = (title: string, cells: string[]) =>
    `<tr><th>${title}</th>${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`;
  const maps = (side: 'before' | 'after') =>
    saliency.map(({ shape, example, [side]: { answer, map } }) => {
      const alt = `saliency ${side}, example ${example}`;
      return `${image(map, shape, heat, alt)}<br>${escapeHtml(name(answer))}`;
    });
  const images = saliency.map(({ shape, image: values, example }) =>
    image(values, shape, grey, `example ${example}`),
  );
  return `<h2>What the answers hang on</h2>
<p>The size of the gradient of the answer by each pixel, of each map the largest white; below it the answer.</p>
<table>
${row('image', images)}
${row('before', maps('before'))}
${row('after', maps('after'))}
</table>`;
}
