// Whole networks beside every peer: one thread, plain SIMD, each runtime in a process of its own, in turn. Medians
// with quartiles, cold starts, accuracy on the test set, and how far the outputs are from ours.
import { mkdir, writeFile } from 'node:fs/promises';
import { data } from 'thimble';
import { barChart } from 'thimble-examples/shared/chart';
import { type Form, filesOf, isTrained, type NetFiles, randomFiles } from '../inference-files.ts';
import { enlarged, NETS, pixelsOf } from '../inference-nets.ts';
import { installPeers } from '../peers/install.ts';
import { type ColdStart, coldStart, RuntimeProcess } from '../peers/process.ts';
import { median, quartiles } from '../statistics.ts';
import type { Measured, Task } from '../task.ts';

const FOLDER = 'output/bench-inference';
const SOURCE = 'distorted MNIST';
const WARM_UP = 20;
/** Milliseconds that a sample takes at least. */
const SAMPLE = 2;
/** Images of the larger batch. */
const BATCH = 16;
/** Images whose scores are compared with ours. */
const COMPARED = 20;
/** Seconds that the test set may take in a peer; what takes longer sees fewer images. */
const PATIENCE = 15;
/** Points of accuracy that a network may lose and still count as the best. */
const TOLERANCE = 0.5;
const COLD_STARTS = 5;

/** What was measured of a network in one form in one runtime. */
interface Figures {
  network: string;
  runtime: string;
  version: string;
  form: string;
  /** Why there are no figures. */
  error?: string;
  /** Of one image: median, least and quartiles. */
  milliseconds: number;
  least: number;
  quartiles: [number, number];
  /** Of an image in a batch of 16; absent where the runtime takes one image. */
  batchMilliseconds?: number;
  /** tfjs-wasm's median over this one. */
  speedUp: number;
  /** Medians, to the first result. */
  cold?: ColdStart;
  /** In percent, on so many images of the test set. */
  accuracy?: number;
  images?: number;
  /** The largest difference of a score from Thimble's with the same weights. */
  difference?: number;
  /** The fastest of all, or of those that run on a page, within half a point of the dense network. */
  best?: 'of all' | 'on a page';
}

interface Running {
  form: Form;
  key: string;
  figures: Figures;
  process: RuntimeProcess;
  batches: boolean;
  /** Calls in a sample. */
  count: number;
  times: number[];
  batchTimes: number[];
}

const nothing = { milliseconds: Number.NaN, least: Number.NaN, speedUp: Number.NaN };
const none: [number, number] = [Number.NaN, Number.NaN];

/** Starts the runtimes of a network; those that cannot run say why. */
async function start(
  net: NetFiles,
  processes: Map<string, RuntimeProcess>,
): Promise<{ running: Running[]; all: Figures[] }> {
  const versions = new Map<string, string>();
  const running: Running[] = [];
  const all: Figures[] = [];
  for (const [i, form] of net.forms.entries()) {
    const { runtime } = form;
    const figures: Figures = {
      network: net.title,
      runtime,
      version: '',
      form: form.form,
      ...nothing,
      quartiles: none,
    };
    all.push(figures);
    const key = String(i);
    try {
      let process = processes.get(runtime);
      if (!process) {
        process = new RuntimeProcess(runtime);
        processes.set(runtime, process);
        versions.set(runtime, (await process.ask({ ask: 'start' })) as string);
      }
      figures.version = versions.get(runtime)!;
      const { path } = form;
      const batches = (await process.ask({ ask: 'load', key, path, side: net.side })) as boolean;
      await process.ask({ ask: 'time', key, count: WARM_UP, batch: 1 });
      const guess = (await process.ask({ ask: 'time', key, count: 5, batch: 1 })) as number;
      const count = Math.max(1, Math.ceil(SAMPLE / guess));
      const lists = { times: [], batchTimes: [] };
      running.push({ form, key, figures, process, batches, count, ...lists });
    } catch (error) {
      figures.error = (error instanceof Error ? error.message : String(error)).split('\n')[0]!;
    }
  }
  return { running, all };
}

/** One sample of each in turn, `repeats` times. */
async function time(running: Running[], repeats: number): Promise<void> {
  for (let round = 0; round < repeats; round++) {
    for (const { process, key, count, times } of running) {
      times.push((await process.ask({ ask: 'time', key, count, batch: 1 })) as number);
    }
  }
  const batched = running.filter(({ batches, form }) => batches && form.runtime !== 'tfjs cpu');
  for (let round = 0; round < Math.ceil(repeats / 3); round++) {
    for (const { process, key, count, batchTimes } of batched) {
      const calls = Math.ceil(count / BATCH);
      const asked = { ask: 'time', key, count: calls, batch: BATCH } as const;
      batchTimes.push((await process.ask(asked)) as number);
    }
  }
  for (const { figures, times, batchTimes } of running) {
    figures.milliseconds = median(times);
    figures.least = Math.min(...times);
    figures.quartiles = quartiles(times);
    if (batchTimes.length > 0) figures.batchMilliseconds = median(batchTimes);
  }
  const stock = running.find(({ form }) => form.runtime === 'tfjs wasm')?.figures.milliseconds;
  for (const { figures } of running) figures.speedUp = (stock ?? Number.NaN) / figures.milliseconds;
}

/** The outputs beside ours, and the accuracy on the test set. */
async function judge(net: NetFiles, running: Running[], images: string): Promise<void> {
  const scores = async ({ process, key }: Running, from: number, to: number) =>
    (await process.ask({ ask: 'scores', key, images, from, to })) as Float32Array;
  const ours = new Map<string, Float32Array>();
  for (const each of running) {
    if (each.form.runtime !== 'Thimble' || each.form.form !== each.form.like) continue;
    ours.set(each.form.like, await scores(each, 0, COMPARED));
  }
  for (const each of running) {
    const { form, figures } = each;
    const own = form.like && ours.get(form.like);
    if (own && form.runtime !== 'Thimble') {
      const theirs = await scores(each, 0, COMPARED);
      figures.difference = own.reduce((most, s, i) => Math.max(most, Math.abs(s - theirs[i]!)), 0);
    }
    if (!net.test) continue;
    const { labels, size } = net.test;
    const affordable = Math.floor((PATIENCE * 1000) / figures.milliseconds / COMPARED) * COMPARED;
    figures.images = form.runtime === 'Thimble' ? size : Math.min(size, Math.max(500, affordable));
    let right = 0;
    for (let from = 0; from < figures.images; from += 500) {
      const to = Math.min(figures.images, from + 500);
      const flat = await scores(each, from, to);
      const classes = flat.length / (to - from);
      for (let i = from; i < to; i++) {
        const row = flat.subarray((i - from) * classes, (i - from + 1) * classes);
        right += Number(row.indexOf(Math.max(...row)) === labels[i]);
      }
    }
    figures.accuracy = (100 * right) / figures.images;
  }
}

/** Cold starts, one of each in turn. */
async function coldStarts(net: NetFiles, running: Running[], rounds: number): Promise<void> {
  const found = running.map((): ColdStart[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, { form }] of running.entries()) {
      found[i]!.push(await coldStart(form.runtime, form.path, net.side));
    }
  }
  for (const [i, { figures }] of running.entries()) {
    figures.cold = {
      fromStart: median(found[i]!.map(({ fromStart }) => fromStart)),
      fromImport: median(found[i]!.map(({ fromImport }) => fromImport)),
    };
  }
}

function markBest(all: Figures[]): void {
  const dense = all.find(({ runtime, form }) => runtime === 'Thimble' && form === 'dense f32');
  const good = all.filter(
    ({ error, accuracy }) => !error && !(accuracy! < (dense?.accuracy ?? 0) - TOLERANCE),
  );
  const fastest = (list: Figures[]) =>
    list.reduce((a, b) => (b.milliseconds < a.milliseconds ? b : a));
  if (good.length === 0) return;
  const page = good.filter(({ runtime }) => runtime !== 'onnxruntime-node');
  if (page.length > 0) fastest(page).best = 'on a page';
  fastest(good).best = 'of all';
}

async function measure(net: NetFiles, repeats: number): Promise<Figures[]> {
  console.log(`${net.title}: starting ...`);
  const processes = new Map<string, RuntimeProcess>();
  let running: Running[];
  let all: Figures[];
  try {
    ({ running, all } = await start(net, processes));
    console.log(`${net.title}: measuring ...`);
    await time(running, repeats);
    console.log(`${net.title}: ${net.test ? 'test set' : 'comparing outputs'} ...`);
    const images = `${FOLDER}/test-${net.side}.bytes`;
    await judge(net, running, images);
  } finally {
    for (const process of processes.values()) process.end();
  }
  if (net.test) {
    console.log(`${net.title}: cold starts ...`);
    await coldStarts(net, running, Math.min(COLD_STARTS, repeats));
  }
  markBest(all);
  return all;
}

async function prepare(): Promise<{ nets: NetFiles[]; missing: string[] }> {
  await mkdir(FOLDER, { recursive: true });
  const digits = await data.mnist({ distort: true, limit: 10_000 });
  if (digits.test.synthetic) throw new Error(`Real MNIST is needed: ${digits.test.source}`);
  // Also what the outputs of the network with random weights are compared on.
  await writeFile(`${FOLDER}/test-28.bytes`, pixelsOf(digits.test));
  const nets: NetFiles[] = [];
  const missing: string[] = [];
  for (const net of NETS) {
    if (!(await isTrained(net))) {
      missing.push(net.title);
      continue;
    }
    console.log(`${net.title}: writing its files ...`);
    const sized = (part: data.ImageDataset) => (net.side === 28 ? part : enlarged(part, net.side));
    const parts = { train: sized(digits.train.take(500)), test: sized(digits.test) };
    if (net.side !== 28) {
      await writeFile(`${FOLDER}/test-${net.side}.bytes`, pixelsOf(parts.test));
    }
    nets.push(await filesOf(net, FOLDER, parts));
  }
  nets.push(await randomFiles(FOLDER));
  return { nets, missing };
}

/** Where the fastest is not ours, in words. */
function losses(all: Figures[]): string[] {
  return [...new Set(all.map(({ network }) => network))].flatMap((network) => {
    const rows = all.filter((row) => row.network === network);
    return rows
      .filter(({ best, runtime }) => best && runtime !== 'Thimble')
      .map(({ best, runtime, form, milliseconds }) => {
        const ours = Math.min(
          ...rows
            .filter((row) => row.runtime === 'Thimble' && row.form !== 'XNOR' && !row.error)
            .map((row) => row.milliseconds),
        );
        return (
          `Thimble loses ${network} ${best} to ${runtime} ${form}: ${milliseconds.toFixed(3)} ms, ` +
          `ours ${ours.toFixed(3)} ms.`
        );
      });
  });
}

const shown = (value: number | undefined, digits: number) =>
  value === undefined || Number.isNaN(value) ? '-' : value.toFixed(digits);

function row(figures: Figures): string[] {
  const { network, runtime, form, error, cold, accuracy, images, difference } = figures;
  const name = `${runtime} ${form}`;
  if (error) return [network, name, ...Array<string>(8).fill('-'), `cannot run: ${error}`];
  return [
    network,
    name,
    shown(figures.milliseconds, 3),
    figures.quartiles.map((q) => q.toFixed(3)).join(' - '),
    shown(figures.batchMilliseconds, 3),
    `${shown(figures.speedUp, 2)}x`,
    shown(cold?.fromStart, 0),
    shown(cold?.fromImport, 0),
    accuracy === undefined
      ? '-'
      : `${accuracy.toFixed(2)}${images! < 10_000 ? ` of ${images}` : ''}`,
    difference === undefined ? '-' : difference.toExponential(0),
    figures.best ?? '',
  ];
}

const HEAD = [
  'network',
  'runtime, form',
  'ms',
  'quartiles',
  `ms in a batch of ${BATCH}`,
  'tfjs wasm / it',
  'cold ms',
  'from import',
  'accuracy %',
  'difference',
  'best',
];

async function run(repeats: number): Promise<Measured> {
  const failed = installPeers();
  if (failed) console.log(`The peers could not be installed: ${failed}`);
  const { nets, missing } = await prepare();
  const all: Figures[] = [];
  for (const net of nets) all.push(...(await measure(net, repeats)));
  const lost = losses(all);
  const untrained = missing.map(
    (title) => `${title} is not trained: npm run reproduce -- inference-models.`,
  );
  for (const line of [...lost, ...untrained]) console.log(line);
  const charts = nets.map(({ title }) =>
    barChart({
      title,
      value: 'milliseconds for one image, median',
      bars: all
        .filter(
          ({ network, error, runtime }) => network === title && !error && runtime !== 'tfjs cpu',
        )
        .map(({ runtime, form, milliseconds }) => ({
          label: `${runtime} ${form}`,
          value: milliseconds,
          group: runtime,
        })),
    }),
  );
  return {
    table: [HEAD, ...all.map(row)],
    figures: { source: SOURCE, rows: all, losses: lost, untrained },
    page: {
      title: 'Inference beside peers',
      paragraphs: [
        'Milliseconds for one image, typed arrays in and out: medians of samples taken in turn, one thread, plain ' +
          'SIMD. Each runtime has a process of its own. Shorter is better; tfjs cpu is in the table only.',
        `Accuracy on ${SOURCE}. The separable net of 13 layers has random weights: it tells of kernels alone.`,
        'Best is the fastest whose accuracy is within half a point of the dense network.',
        ...lost,
        ...untrained,
      ],
      pieces: await Promise.all(charts),
    },
  };
}

export const inference: Task = {
  about: 'whole networks beside tfjs, onnxruntime and LiteRT.js: speed, cold start, accuracy',
  run,
};
