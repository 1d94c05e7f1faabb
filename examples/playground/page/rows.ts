// The table of answers.
import type { Answer } from './packed.ts';

export interface RowTexts {
  title: string;
  about: string;
  bytes: number;
  /** "0.93 %", or a dash. */
  error: string;
}

/** A row of the table. */
export class Row {
  readonly element: HTMLTableRowElement = document.createElement('tr');
  scores: Float32Array | undefined;
  title = '';
  readonly #cells: HTMLTableCellElement[];
  readonly #button: HTMLButtonElement = document.createElement('button');

  constructor(texts: RowTexts, chosen: (row: Row) => void) {
    const head = document.createElement('th');
    head.scope = 'row';
    this.#button.type = 'button';
    head.append(this.#button);
    this.#cells = Array.from({ length: 5 }, () => document.createElement('td'));
    for (const cell of this.#cells.slice(2)) cell.className = 'number';
    this.#cells[0]!.className = 'answer';
    this.element.append(head, ...this.#cells);
    this.#button.addEventListener('click', () => chosen(this));
    this.describe(texts);
    this.clear();
  }

  describe({ title, about, bytes, error }: RowTexts): void {
    this.title = title;
    this.#button.textContent = title;
    this.#button.title = about;
    this.#cells[2]!.textContent = inBytes(bytes);
    this.#cells[4]!.textContent = error;
  }

  set chosen(chosen: boolean) {
    this.#button.setAttribute('aria-pressed', String(chosen));
    this.element.classList.toggle('chosen', chosen);
  }

  show({ scores, milliseconds }: Answer): void {
    this.scores = scores;
    const best = scores.indexOf(Math.max(...scores));
    const confidence = scores[best]!;
    this.#cells[0]!.textContent = String(best);
    const bar = document.createElement('meter');
    bar.max = 1;
    bar.value = confidence;
    bar.setAttribute('aria-hidden', 'true');
    this.#cells[1]!.replaceChildren(bar, ` ${(100 * confidence).toFixed(0)} %`);
    this.#cells[3]!.textContent = inTime(milliseconds);
  }

  clear(): void {
    this.scores = undefined;
    this.#cells[0]!.textContent = '–';
    this.#cells[1]!.textContent = '';
    this.#cells[3]!.textContent = '';
  }
}

export function inBytes(bytes: number): string {
  return bytes < 10_000 ? `${(bytes / 1000).toFixed(1)} kB` : `${Math.round(bytes / 1000)} kB`;
}

function inTime(milliseconds: number): string {
  return milliseconds < 1
    ? `${(1000 * milliseconds).toFixed(0)} µs`
    : `${milliseconds.toFixed(1)} ms`;
}
