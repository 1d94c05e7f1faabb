// Tables of `npm run bench`.
import { median } from '../../benchmarks/statistics.ts';
import {
  groups,
  type Run,
  ratio,
  readResult,
  type Table,
  type Times,
  thousands,
} from './results.ts';

/** Times of a step in turn in the same rounds, as ratios to the first of them. */
function stepTimes(result: string, about: string): Table {
  const { run, figures } = readResult<Times>(result);
  const titles = [...new Set(figures.networks.flatMap((each) => Object.keys(each.milliseconds)))];
  const rows = figures.networks.map(({ network, images, milliseconds }) => [
    images ? `${network}, ${images}` : network,
    ...titles
      .slice(1)
      .map((title) =>
        milliseconds[title] ? ratio(milliseconds[title], milliseconds[titles[0]!]!) : '',
      ),
  ]);
  return { result, run, about, head: ['net', ...titles.slice(1)], rows };
}

interface Packed {
  run: Run;
  figures: { name: string; kernel: string; milliseconds: number; speedUp: number }[];
}

function packed(): Table {
  const { run, figures } = readResult<Packed>('packed-kernels');
  return {
    result: 'packed-kernels',
    run,
    about:
      'random weights, one thread, plain SIMD; medians of times taken in turn in one process, results written into memory that is there',
    head: ['network, kernel', 'milliseconds', 'times as fast as tfjs-wasm'],
    rows: figures.map(({ name, kernel, milliseconds, speedUp }) => [
      `${name}: ${kernel}`,
      milliseconds.toFixed(3),
      speedUp.toFixed(1),
    ]),
  };
}

interface Dynamic {
  run: Run;
  figures: {
    batch: number;
    width: number;
    macs: number;
    slimmable: number[];
    plain: number[];
  }[];
}

function slimmable(): Table {
  const { run, figures } = readResult<Dynamic>('dynamic');
  return {
    result: 'dynamic',
    run,
    about: 'time of a prediction as a share of that at full width, and beside a plain net',
    head: ['batch, width', 'MACs', 'of full width', 'beside the extracted plain net'],
    rows: figures.map(({ batch, width, macs, slimmable, plain }) => {
      const full = figures.find((other) => other.batch === batch && other.width === 1)!;
      return [
        `${batch}, ${width}`,
        `${(macs / 1e6).toFixed(1)} M`,
        ratio(slimmable, full.slimmable),
        ratio(slimmable, plain),
      ];
    }),
  };
}

function gateTimes(): Table {
  interface Row {
    open: number;
    macs: number;
    packed: number[];
    model: number[];
  }
  const { run, figures } = readResult<{ run: Run; figures: Row[] }>('gates');
  const [whole] = figures as [Row];
  return {
    result: 'gates',
    run,
    about:
      'a residual network of gated blocks with random weights, one example, in the packed runtime and as a model on the backend thimble, medians',
    head: ['gates open', 'MACs', 'packed', 'of all open', 'model', 'of all open'],
    rows: figures.map(({ open, macs, packed, model }) => [
      `${open} of ${whole.open}`,
      (macs / whole.macs).toFixed(2),
      `${median(packed).toFixed(3)} ms`,
      ratio(packed, whole.packed),
      `${median(model).toFixed(2)} ms`,
      ratio(model, whole.model),
    ]),
  };
}

function threads(): Table {
  interface Row {
    net: string;
    form: string;
    batch: number;
    threads: number;
    milliseconds: number[];
  }
  const { run, figures } = readResult<{ run: Run; figures: Row[] }>('threads');
  const shown = { dense: 'dense', sparse90: '90 % of the blocks gone' } as Record<string, string>;
  const rows = groups(figures, ({ net, form, batch }) => `${net}, ${shown[form]}, ${batch}`).map(
    ([name, [one, all]]) => [
      name,
      `${median(one!.milliseconds).toFixed(3)} ms`,
      `${median(all!.milliseconds).toFixed(3)} ms`,
      ratio(one!.milliseconds, all!.milliseconds),
    ],
  );
  const { threads: most } = figures[1]!;
  return {
    result: 'threads',
    run,
    about: 'time of an image in a batch of so many, medians',
    head: ['network, batch', 'one thread', `${most} threads`, 'times as fast'],
    rows,
  };
}

function decomposed(): Table {
  interface Row {
    layer: string;
    form: string;
    macs: number;
    milliseconds: number[];
  }
  const { run, figures } = readResult<{ run: Run; figures: Row[] }>('decomposed');
  const rows = groups(figures, ({ layer }) => layer).flatMap(([layer, [whole, ...forms]]) =>
    forms.map(({ form, macs, milliseconds }) => [
      `${layer}: ${form}`,
      (macs / whole!.macs).toFixed(2),
      ratio(milliseconds, whole!.milliseconds),
    ]),
  );
  return {
    result: 'decomposed',
    run,
    about: 'time of a decomposed layer as a share of that of the whole one, medians',
    head: ['layer', 'MACs', 'time'],
    rows,
  };
}

interface Decoding {
  run: Run;
  figures: {
    net: string;
    form: string;
    entropy: string;
    bytes: number;
    coldMBs?: number;
    warmMBs: number;
  }[];
}

function decoding(): Table {
  const { run, figures } = readResult<Decoding>('decode');
  const speed = (value?: number) => value?.toFixed(0) ?? '';
  return {
    result: 'decode',
    run,
    about:
      'megabytes of floats a second, in the first call of a process and after many; random weights',
    head: ['network, weights, code', 'bytes', 'cold MB/s', 'warm MB/s'],
    rows: figures.map(({ net, form, entropy, bytes, coldMBs, warmMBs }) => [
      `${net}, ${form}, ${entropy}`,
      thousands(bytes),
      speed(coldMBs),
      speed(warmMBs),
    ]),
  };
}

function coldStart(): Table {
  interface Row {
    name: string;
    processor: number;
    clockBeyond: number;
  }
  const { run, figures } = readResult<{ run: Run; figures: Row[] }>('cold-start');
  const alone = figures[0]!.processor;
  return {
    result: 'cold-start',
    run,
    about: 'LeNet-5 in Node, from the start of the process to the first result, medians',
    head: ['program', 'processor time, Node alone being 1', 'ms beyond Node alone'],
    rows: figures.map(({ name, processor, clockBeyond }) => [
      name,
      (processor / alone).toFixed(2),
      clockBeyond.toFixed(0),
    ]),
  };
}

function training(): Table {
  const { run, figures } = readResult<Times>('training');
  const over = (peer: string, times: Record<string, number[]>) =>
    ['thimble', 'thimble, relaxed SIMD']
      .map((ours) => ratio(times[peer]!, times[ours]!))
      .join(' / ');
  return {
    result: 'training',
    run,
    about:
      'times as fast as a peer in the same rounds, plain / relaxed SIMD; batch 60, Adam, one thread; stock wasm is lent gradients of convolutions',
    head: ['net, images', 'stock wasm', 'PyTorch', 'PyTorch, fused Adam'],
    rows: figures.networks.map(({ network, images, milliseconds }) => [
      `${network}, ${images}`,
      over('wasm', milliseconds),
      over('PyTorch', milliseconds),
      over('PyTorch, fused Adam', milliseconds),
    ]),
  };
}

interface Inference {
  run: Run;
  figures: {
    rows: {
      network: string;
      runtime: string;
      form: string;
      error?: string;
      milliseconds: number;
      batchMilliseconds?: number;
      speedUp: number;
      cold?: { fromImport: number };
      /** Over so many images of the test set. */
      accuracy?: number;
      images?: number;
      best?: string;
    }[];
  };
}

function inference(): Table {
  const { run, figures } = readResult<Inference>('inference');
  const shown = (value: number | undefined, digits: number) => value?.toFixed(digits) ?? '';
  return {
    result: 'inference',
    run,
    about:
      'one thread, plain SIMD, each runtime in a process of its own, in turn; medians. Cold: from the first import to the first result. Accuracy: over the 10,000 test images, or the first of them where a peer takes long. Best: the fastest within half a point of the dense network. The separable net has random weights and tells of kernels alone',
    head: [
      'network, runtime, form',
      'ms',
      'ms in a batch of 16',
      'times as fast as tfjs-wasm',
      'cold ms',
      'accuracy %',
      'best',
    ],
    rows: figures.rows
      .filter(({ error }) => !error)
      .map((row) => [
        `${row.network}, ${row.runtime} ${row.form}`,
        row.milliseconds.toFixed(3),
        shown(row.batchMilliseconds, 3),
        row.speedUp.toFixed(2),
        shown(row.cold?.fromImport, 0),
        shown(row.accuracy, 2) + (row.images! < 10_000 ? ` of ${row.images}` : ''),
        row.best ?? '',
      ]),
  };
}

interface Bytes {
  raw: number;
  gzip: number;
  brotli: number;
}

function sizes(): Table {
  const { run, figures } = readResult<{
    run: Run;
    figures: {
      runtimes: Record<string, Bytes>;
      rows: { network: string; runtime: string; form: string; model: Bytes; page?: Bytes }[];
    };
  }>('size');
  const runtimes = Object.entries(figures.runtimes).map(([name, { gzip, brotli }]) => [
    `runtime alone: ${name}`,
    '',
    thousands(gzip),
    thousands(brotli),
  ]);
  const networks = figures.rows.map(({ network, runtime, form, model, page }) => [
    `${network}, ${runtime} ${form}`,
    thousands(model.raw),
    page ? thousands(page.gzip) : '',
    page ? thousands(page.brotli) : '',
  ]);
  return {
    result: 'size',
    run,
    about: 'what a page downloads: the network, then runtime and network together',
    head: ['', 'bytes of the network', 'with the runtime, gzip', 'brotli'],
    rows: [...runtimes, ...networks],
  };
}

export const benchTables: Record<string, () => Table> = {
  'gate-times': gateTimes,
  decomposed,
  'cold-start': coldStart,
  decoding,
  'quantised-training': () =>
    stepTimes(
      'quantised-training',
      'time of a training step as a multiple of the float step, medians',
    ),
  'masked-training': () =>
    stepTimes('masked-training', 'time of a training step as a multiple of the step without masks'),
  threads,
  training,
  packed,
  slimmable,
  inference,
  sizes,
};
