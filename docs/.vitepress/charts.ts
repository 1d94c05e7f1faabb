// Charts as plain SVG, drawn when the site is built, in the colours of the page. A page shows one by a fence:
// ```chart and its name.
import { mean, readResult } from './results.ts';
import { lotteryBranches } from './tables.ts';

const escaped = (text: string) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;');

const svg = (width: number, height: number, label: string, body: string) =>
  `<div class="chart" v-pre><svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escaped(label)}" xmlns="http://www.w3.org/2000/svg">${body}</svg></div>\n`;

const text = (x: number, y: number, words: string, more = '') =>
  `<text x="${x}" y="${y}" ${more}>${escaped(words)}</text>`;

/** Horizontal bars of one number each. */
function bars(label: string, unit: string, values: [string, number][]): string {
  const [width, left, row] = [640, 270, 26];
  const most = Math.max(...values.map(([, value]) => value));
  const body = values.map(([name, value], i) => {
    const length = ((width - left - 70) * value) / most;
    const y = 8 + i * row;
    return (
      text(left - 8, y + 15, name, 'text-anchor="end"') +
      `<rect class="series-0" x="${left}" y="${y + 2}" width="${length.toFixed(1)}" height="18" rx="2"/>` +
      text(left + length + 6, y + 15, value.toFixed(1))
    );
  });
  const height = 8 + values.length * row + 22;
  body.push(text(left, height - 4, unit, 'class="muted"'));
  return svg(width, height, label, body.join(''));
}

interface Line {
  name: string;
  points: [number, number][];
}

/** Lines over a logarithmic axis that falls to the right. */
function lines(label: string, xTitle: string, yTitle: string, all: Line[]): string {
  const [width, height, left, right, top, bottom] = [640, 360, 44, 16, 24, 44];
  const xs = all.flatMap(({ points }) => points.map(([x]) => x));
  const ys = all.flatMap(({ points }) => points.map(([, y]) => y));
  const [first, last] = [Math.log(Math.max(...xs)), Math.log(Math.min(...xs))];
  const most = Math.ceil(Math.max(...ys));
  const px = (x: number) =>
    left + ((width - left - right) * (Math.log(x) - first)) / (last - first);
  const py = (y: number) => height - bottom - ((height - top - bottom) * y) / most;
  const body = [text(left, 12, yTitle, 'class="muted"')];
  for (let y = 0; y <= most; y++) {
    body.push(
      `<line class="grid" x1="${left}" x2="${width - right}" y1="${py(y)}" y2="${py(y)}"/>`,
      text(left - 6, py(y) + 4, String(y), 'text-anchor="end"'),
    );
  }
  for (const x of [100, 50, 20, 10, 5]) {
    body.push(text(px(x), height - bottom + 18, String(x), 'text-anchor="middle"'));
  }
  body.push(text(width - right, height - 6, xTitle, 'class="muted" text-anchor="end"'));
  for (const [i, { name, points }] of all.entries()) {
    const path = points.map(([x, y]) => `${px(x).toFixed(1)},${py(y).toFixed(1)}`).join(' ');
    body.push(`<polyline class="line-${i}" fill="none" points="${path}"/>`);
    for (const [x, y] of points) {
      body.push(
        `<circle class="series-${i}" cx="${px(x).toFixed(1)}" cy="${py(y).toFixed(1)}" r="3"/>`,
      );
    }
    const y = top + 12 + i * 18;
    body.push(
      `<rect class="series-${i}" x="${left + 14}" y="${y - 9}" width="10" height="10" rx="2"/>`,
    );
    body.push(text(left + 30, y, name));
  }
  return svg(width, height, label, body.join(''));
}

function lottery(): string {
  const branches = lotteryBranches();
  const line = (kind: string, name: string): Line => ({
    name,
    points: branches
      .get(kind)!
      .map(([left, same]) => [
        100 * left,
        100 * (1 - mean(same.map(({ testAccuracy }) => testAccuracy))),
      ]),
  });
  return lines(
    'Test error of lottery tickets over the share of weights that is left',
    'weights left, percent',
    'test error at the early stop, percent',
    [
      line('ticket', 'winning tickets'),
      line('reinit', 'the same masks, weights drawn anew'),
      line('random', 'random masks'),
    ],
  );
}

function packed(): string {
  const { figures } = readResult<{
    figures: { name: string; kernel: string; speedUp: number }[];
  }>('packed-kernels');
  const name = '13-layer separable net';
  return bars(
    `Speed of packed kernels beside tfjs-wasm: ${name}`,
    'times as fast as tfjs-wasm',
    figures
      .filter((figure) => figure.name === name)
      .map(({ kernel, speedUp }) => [kernel, speedUp]),
  );
}

export const charts: Record<string, () => string> = { lottery, packed };
