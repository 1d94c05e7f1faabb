// Bars for ten digits, and curves that grow while a network trains.

const SVG = 'http://www.w3.org/2000/svg';

function element(name: string, attributes: Record<string, string | number>): SVGElement {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  return made;
}

/** Bars of the probability of every digit. */
export function drawScores(figure: HTMLElement, title: string, scores?: Float32Array): void {
  const caption = document.createElement('figcaption');
  caption.textContent = scores ? `Probabilities: ${title}` : '';
  const bars = Array.from(scores ?? [], (score, digit) => {
    const bar = document.createElement('span');
    bar.style.setProperty('--part', score.toFixed(4));
    bar.textContent = String(digit);
    bar.title = `${digit}: ${(100 * score).toFixed(1)} %`;
    return bar;
  });
  const all = document.createElement('div');
  all.className = 'bars';
  all.append(...bars);
  figure.replaceChildren(caption, all);
}

const WIDTH = 320;
const HEIGHT = 120;
const LEFT = 34;
const BOTTOM = 16;

/** A curve over the steps of a training. */
export class Curve {
  readonly element: HTMLElement = document.createElement('figure');
  readonly #points: [step: number, value: number][] = [];
  readonly #label: string;
  readonly #top: number | undefined;

  /** @param top the end of the axis; without it the largest value */
  constructor(label: string, top?: number) {
    this.#label = label;
    this.#top = top;
    this.element.className = 'curve';
    this.#draw(1);
  }

  add(step: number, value: number, steps: number): void {
    if (Number.isFinite(value)) this.#points.push([step, value]);
    this.#draw(steps);
  }

  clear(): void {
    this.#points.length = 0;
    this.#draw(1);
  }

  #draw(steps: number): void {
    const last = this.#points.at(-1)?.[1];
    const top = this.#top ?? Math.max(0.1, ...this.#points.map(([, value]) => value));
    const x = (step: number) => LEFT + ((WIDTH - LEFT - 4) * step) / steps;
    const y = (value: number) => 6 + (HEIGHT - BOTTOM - 6) * (1 - value / top);
    const label = `${this.#label}${last === undefined ? '' : `: ${last.toFixed(3)}`}`;
    const svg = element('svg', {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      role: 'img',
      'aria-label': label,
    });
    for (const part of [0, 0.5, 1]) {
      const line = { x1: LEFT, x2: WIDTH - 4, y1: y(part * top), y2: y(part * top), class: 'grid' };
      const text = element('text', { x: LEFT - 4, y: y(part * top) + 4, 'text-anchor': 'end' });
      text.textContent = String(Number((part * top).toPrecision(2)));
      svg.append(element('line', line), text);
    }
    const points = this.#points.map(([step, value]) => `${x(step)},${y(Math.min(value, top))}`);
    svg.append(element('polyline', { points: points.join(' '), class: 'line' }));
    const caption = document.createElement('figcaption');
    caption.textContent = label;
    this.element.replaceChildren(caption, svg);
  }
}
