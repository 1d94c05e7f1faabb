// The playground: one drawing, many networks.
import type { PackedModel } from '@thimble/runtime';
import type { Card, Listing } from '../cards.ts';
import { Curve, drawScores } from './charts.ts';
import { fromBase64, SIDE, toDigit } from './digit.ts';
import { Helper } from './helper.ts';
import type { Backend, Made, News } from './messages.ts';
import { packed, timedAnswer, timedEarly } from './packed.ts';
import { Pad } from './pad.ts';
import { inBytes, Row } from './rows.ts';

function by<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
const helper = new Helper(worker);

/** Networks that answer in this thread, by row. */
const nets = new Map<Row, PackedModel>();
let image: Float32Array | undefined;
let chosen: Row | undefined;

const rows = by<HTMLTableSectionElement>('rows');
const pad = new Pad(by<HTMLCanvasElement>('pad'), by('pen'), () => scheduled());

function say(id: string, text: string): void {
  by(id).textContent = text;
}

function choose(row: Row): void {
  if (chosen) chosen.chosen = false;
  chosen = row;
  row.chosen = true;
  drawScores(by('scores'), row.title, row.scores);
}

function addRow(texts: ConstructorParameters<typeof Row>[0]): Row {
  const row = new Row(texts, choose);
  rows.append(row.element);
  return row;
}

// Drawing

let waiting = false;
function scheduled(): void {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    const side = by<HTMLCanvasElement>('pad').width;
    show(pad.empty ? undefined : toDigit(pad.ink(), side));
    say('seen-text', 'What the networks see: 28 x 28 pixels, centred.');
  });
}

function show(next: Float32Array | undefined): void {
  image = next;
  drawSeen();
  for (const [row, net] of nets) {
    if (next) row.show(timedAnswer(net, next));
    else row.clear();
  }
  showEarly();
  if (chosen) drawScores(by('scores'), chosen.title, chosen.scores);
}

function drawSeen(): void {
  const context = by<HTMLCanvasElement>('seen').getContext('2d')!;
  const pixels = context.createImageData(SIDE, SIDE);
  for (let i = 0; i < SIDE * SIDE; i++) {
    pixels.data.fill(Math.round(255 * (image?.[i] ?? 0)), 4 * i, 4 * i + 3);
    pixels.data[4 * i + 3] = 255;
  }
  context.putImageData(pixels, 0, 0);
}

// Networks that come with the page

/** The network with early exits. */
let early: { row: Row; net: PackedModel } | undefined;

function showEarly(): void {
  if (!early) return;
  const { row, net } = early;
  if (!image) {
    row.clear();
    say('exit-text', '');
    return;
  }
  const threshold = Number(by<HTMLInputElement>('threshold').value);
  const answer = timedEarly(net, image, threshold);
  row.show(answer);
  const exits = net.outputs.length;
  const where = answer.exit + 1 < exits ? `at exit ${answer.exit + 1} of ${exits}` : 'at the end';
  say('exit-text', `The network with early exits answered ${where}.`);
  if (chosen === row) drawScores(by('scores'), row.title, row.scores);
}

async function start(): Promise<void> {
  const response = await fetch('./networks/networks.json');
  const { cards, testSize, samples, data }: Listing = await response.json();
  const error = (errors: number) => `${((100 * errors) / testSize).toFixed(2)} %`;
  const slim = cards.filter(({ width }) => width !== undefined);
  const singles = cards.filter(({ width, errors }) => width === undefined && errors.length === 1);
  for (const card of singles) {
    const row = addRow({ ...card, error: error(card.errors[0]!) });
    nets.set(row, await packed(`./networks/${card.id}.thimble`));
    if (!chosen) choose(row);
  }
  if (slim.length > 0) await startSlim(slim, error);
  const card = cards.find(({ errors }) => errors.length > 1);
  if (card) {
    const net = await packed(`./networks/${card.id}.thimble`, true);
    early = { row: addRow({ ...card, error: error(card.errors.at(-1)!) }), net };
  }
  say(
    'note',
    `Errors are on the ${testSize.toLocaleString('en')} test images of ${data}; those of a network trained here, on test ` +
      'images of the digits that it was trained on. Time is one image on one thread, here and now, on packed kernels.',
  );
  let clicks = 0;
  by('sample').addEventListener('click', () => {
    const { pixels, label } = samples[clicks++ % samples.length]!;
    pad.clear();
    requestAnimationFrame(() => {
      show(fromBase64(pixels));
      say('seen-text', `A ${label} from the test set.`);
    });
  });
  show(image);
}

async function startSlim(cards: Card[], error: (errors: number) => string): Promise<void> {
  const files = await Promise.all(cards.map(({ id }) => packed(`./networks/${id}.thimble`)));
  const slider = by<HTMLInputElement>('width');
  slider.max = String(cards.length - 1);
  slider.value = slider.max;
  const texts = () => {
    const card = cards[Number(slider.value)]!;
    say('width-text', `${100 * card.width!} %`);
    return { ...card, error: error(card.errors[0]!) };
  };
  const row = addRow(texts());
  const select = () => {
    row.describe(texts());
    nets.set(row, files[Number(slider.value)]!);
  };
  select();
  slider.addEventListener('input', () => {
    select();
    if (image) row.show(timedAnswer(nets.get(row)!, image));
    if (chosen === row) choose(row);
  });
}

// Training

const curves = { loss: new Curve('loss'), accuracy: new Curve('accuracy', 1) };
by('curves').append(curves.loss.element, curves.accuracy.element);
let ownRow: Row | undefined;

function busy(on: boolean): void {
  by<HTMLButtonElement>('train').disabled = on;
  by<HTMLButtonElement>('prune').disabled = on || !ownRow;
  by<HTMLButtonElement>('stop').disabled = !on;
}

/** Puts a network of the user's into the table. */
async function addOwn(title: string, about: string, made: Made, before?: Row): Promise<Row> {
  const net = await packed(made.file);
  const error = made.accuracy === undefined ? '–' : `${(100 * (1 - made.accuracy)).toFixed(1)} %`;
  const texts = { title, about, bytes: made.file.length, error };
  const row = before ?? addRow(texts);
  row.describe(texts);
  nets.get(row)?.dispose();
  nets.set(row, net);
  if (image) row.show(timedAnswer(net, image));
  choose(row);
  return row;
}

async function training(
  title: string,
  run: (news: (news: News) => void) => Promise<Made>,
): Promise<void> {
  busy(true);
  curves.loss.clear();
  curves.accuracy.clear();
  say('train-text', 'Getting ready ...');
  try {
    const made = await run(({ step, steps, text, loss, accuracy }) => {
      say('train-text', text);
      curves.loss.add(step, loss, steps);
      curves.accuracy.add(step, accuracy, steps);
    });
    ownRow = await addOwn(title, `Trained in this page on ${made.data}`, made, ownRow);
    const error = (100 * (1 - made.accuracy!)).toFixed(1);
    say(
      'train-text',
      `Done on ${made.backend}: ${error} % error on test images of ${made.data}, ${inBytes(made.file.length)}.`,
    );
    const link = by<HTMLAnchorElement>('download');
    URL.revokeObjectURL(link.href);
    link.href = URL.createObjectURL(new Blob([made.file as Uint8Array<ArrayBuffer>]));
    link.download = 'trained-here.thimble';
    link.hidden = false;
  } catch (problem) {
    say('train-text', (problem as Error).message);
  } finally {
    busy(false);
  }
}

const epochs = () => Math.max(1, Math.round(Number(by<HTMLInputElement>('epochs').value)) || 1);
by('train').addEventListener('click', () => {
  const digits = by<HTMLSelectElement>('digits').value as 'synthetic' | 'mnist';
  const backend = by<HTMLSelectElement>('backend').value as Backend;
  void training('Yours', (news) =>
    helper.ask({ ask: 'train', digits, backend, epochs: epochs() }, news),
  );
});
by('prune').addEventListener('click', () => {
  const sparsity = Number(by<HTMLInputElement>('sparsity').value);
  void training('Yours, pruned', (news) =>
    helper.ask({ ask: 'prune', sparsity, epochs: epochs() }, news),
  );
});
by('stop').addEventListener('click', () => void helper.ask({ ask: 'stop' }));

// A model of one's own

by<HTMLInputElement>('files').addEventListener('change', async (event) => {
  const files = [...((event.target as HTMLInputElement).files ?? [])];
  if (files.length === 0) return;
  say('own-text', 'Reading ...');
  try {
    const single = files.length === 1 && files[0]!.name.endsWith('.thimble') ? files[0] : undefined;
    const made: Made = single
      ? { file: new Uint8Array(await single.arrayBuffer()) }
      : await helper.ask({ ask: 'convert', files });
    await addOwn(files[0]!.name, 'A model of your own', made);
    say('own-text', `Loaded: ${inBytes(made.file.length)} as a .thimble file.`);
  } catch (problem) {
    say('own-text', (problem as Error).message);
  }
});

// Controls

function shown(id: string, text: (value: number) => string, then: () => void = () => {}): void {
  const slider = by<HTMLInputElement>(id);
  const update = () => say(`${id}-text`, text(Number(slider.value)));
  update();
  slider.addEventListener('input', () => {
    update();
    then();
  });
}
shown('threshold', (value) => value.toFixed(2), showEarly);
shown('sparsity', (value) => `${Math.round(100 * value)} %`);
by('clear').addEventListener('click', () => pad.clear());
by('undo').addEventListener('click', () => pad.undo());

start().then(
  () => document.body.setAttribute('data-ready', ''),
  (problem) => say('note', `The networks could not be loaded: ${(problem as Error).message}`),
);
