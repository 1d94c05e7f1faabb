// The tables of the pages, made from benchmarks/results, so that no figure is copied by hand: `npm run docs:tables` writes
// them, measured.ts says where.
import { benchTables } from './bench-tables.ts';
import { dynamicTables } from './dynamic-tables.ts';
import {
  groups,
  mean,
  type Outcome,
  percent,
  type Run,
  readResult,
  type Study,
  spread,
  type Table,
  thousands,
} from './results.ts';

interface Branch {
  kind: string;
  remaining: number;
  earlyStop: number;
  testAccuracy: number;
}

interface Trained {
  name: string;
  parameters: number;
  bytes: number;
  errors: number;
  notes: { threes?: number; errorsOnThrees?: number };
}

function study(
  result: string,
  about: string,
  columns: Record<string, (outcomes: Outcome[]) => string>,
): Table {
  const { run, results } = readResult<Study>(result);
  const rows = results.map(({ method, outcomes }) => [
    method.replace(/^lenet(300|5), /, ''),
    ...Object.values(columns).map((column) => column(outcomes)),
  ]);
  return { result, run, about, head: ['method', ...Object.keys(columns)], rows };
}

const meanBytes = (outcomes: Outcome[]) => thousands(mean(outcomes.map(({ bytes }) => bytes!)));

const errors = (key: string) => (outcomes: Outcome[]) =>
  percent(outcomes.map((outcome) => outcome[key]!));

const share = (key: string) => (outcomes: Outcome[]) =>
  `${(100 * mean(outcomes.map((outcome) => outcome[key]!))).toFixed(1)} %`;

function distillation(result: string, about: string): Table {
  const { run, results } = readResult<{ run: Run; results: Trained[][] }>(result);
  const threes = results[0]!.some(({ notes }) => notes.errorsOnThrees !== undefined);
  const rows = groups(results.flat(), ({ name }) => name).map(([name, seeds]) => {
    const row = [name, thousands(seeds[0]!.parameters)];
    row.push(
      spread(
        seeds.map((seed) => seed.errors),
        1,
      ),
    );
    if (threes) {
      const ours = seeds.map(({ notes }) => notes.errorsOnThrees);
      row.push(ours.every((count) => count !== undefined) ? spread(ours, 1) : '');
    }
    return row;
  });
  const head = ['network', 'parameters', 'test errors of 10,000'];
  return { result, run, about, head: threes ? [...head, 'of them threes (1,010)'] : head, rows };
}

const TICKETS: Record<string, string> = {
  ticket: 'winning ticket',
  reinit: 'the same, weights drawn anew',
  signOnly: 'the same, constant weights, signs kept',
  loseSign: 'the same, constant weights, random signs',
  shuffled: 'the same, weights shuffled in each layer',
  shuffledSign: 'the same, weights shuffled, signs kept',
  reinitSign: 'the same, weights drawn anew, signs kept',
  oneShot: 'pruned to it in one shot',
  random: 'random mask, initial weights',
};

/** How often a kind of ticket was trained, by the share of weights that it keeps: the largest share first. */
export function lotteryBranches(): Map<string, [number, Branch[]][]> {
  const { branches } = readResult<{ branches: Branch[] }>('lottery-ticket');
  return new Map(
    groups(branches, ({ kind }) => kind).map(([kind, all]) => [
      kind,
      groups(all, ({ remaining }) => remaining.toFixed(4))
        .map(([remaining, same]): [number, Branch[]] => [Number(remaining), same])
        .sort(([a], [b]) => b - a),
    ]),
  );
}

function lottery(): Table {
  const { run } = readResult<{ run: Run }>('lottery-ticket');
  const branches = lotteryBranches();
  const rows: string[][] = [];
  const add = (name: string, left: number, same: Branch[]) =>
    rows.push([
      name,
      `${(100 * left).toFixed(1)} %`,
      spread(
        same.map(({ earlyStop }) => earlyStop),
        0,
      ),
      `${spread(same.map(({ testAccuracy }) => 100 * (1 - testAccuracy)))} %`,
    ]);
  const [dense] = branches.get('ticket')!;
  add('dense', dense![0], dense![1]);
  for (const left of [0.2107, 0.0358]) {
    for (const [kind, title] of Object.entries(TICKETS)) {
      const same = branches.get(kind)?.find(([remaining]) => remaining === left);
      if (same) add(title, ...same);
    }
  }
  return {
    result: 'lottery-ticket',
    run,
    about:
      'LeNet-300-100, MNIST, three seeds: the step at which the validation loss was lowest, and the test error there',
    head: ['network', 'weights left', 'step of the early stop', 'test error there'],
    rows,
  };
}

function quantisation(): Table {
  const { run, results } = readResult<{ run: Run; results: Trained[][] }>('mnist-quantization');
  return {
    result: 'mnist-quantization',
    run,
    about: 'LeNet-5, MNIST, three seeds; bytes before entropy coding',
    head: ['weights', 'bytes', 'test error'],
    rows: groups(results.flat(), ({ name }) => name).map(([name, seeds]) => [
      name,
      thousands(seeds[0]!.bytes),
      percent(seeds.map((seed) => seed.errors)),
    ]),
  };
}

function binary(result: string, epochs: number): Table {
  const { run, results } = readResult<{ run: Run; results: Trained[][] }>(result);
  return {
    result,
    run,
    about: `MNIST, ${epochs} epochs, three seeds; bytes before entropy coding`,
    head: ['network', 'parameters', 'bytes', 'test error'],
    rows: groups(results.flat(), ({ name }) => name).map(([name, seeds]) => [
      name,
      thousands(seeds[0]!.parameters),
      thousands(seeds[0]!.bytes),
      percent(seeds.map((seed) => seed.errors)),
    ]),
  };
}

function fixedPoint(): Table {
  return study(
    'fixed-point',
    'a perceptron of 784-256-256-10, 12 epochs, 16-bit words where in fixed point, MNIST, three seeds',
    {
      'test error': errors('errors'),
    },
  );
}

function searched(): Table {
  interface Made {
    bytes: number;
    validation: number;
    test: number;
  }
  const { run, images, trials, results } = readResult<{
    run: Run;
    images: number;
    trials: number;
    results: { budget: number; method: string; outcomes: Made[] }[];
  }>('search');
  return {
    result: 'search',
    run,
    about: `LeNet-300-100, MNIST, ${thousands(images)} images, four epochs of training in all; ${trials} trials begun for each budget; what was chosen on validation images, made anew with three seeds`,
    head: ['budget, method', 'bytes', 'validation accuracy', 'test accuracy'],
    rows: results.map(({ budget, method, outcomes }) => [
      `${thousands(budget)} bytes, ${method}`,
      thousands(mean(outcomes.map(({ bytes }) => bytes))),
      `${spread(outcomes.map(({ validation }) => validation))} %`,
      `${spread(outcomes.map(({ test }) => test))} %`,
    ]),
  };
}

function compact(): Table {
  interface Compact {
    params: number;
    macs: number;
    errors: number;
    relativeTime: number;
  }
  const { run, data, results } = readResult<{
    run: Run;
    data: { train: number };
    results: { name: string; outcomes: Compact[]; peers: Compact[] }[];
  }>('compact-architectures');
  return {
    result: 'compact-architectures',
    run,
    about: `small convolutional nets, distorted MNIST, ${thousands(data.train)} images, 5 epochs in all, three seeds; beside each a plain, narrower net of equal multiply-accumulates, trained as long. Time: of a batch of 128 on the backend thimble, as a multiple of that of the plain net of full width`,
    head: ['network', 'parameters', 'MACs', 'test error', 'plain net of equal MACs', 'time'],
    rows: results.map(({ name, outcomes, peers }) => [
      name,
      thousands(outcomes[0]!.params),
      thousands(outcomes[0]!.macs),
      percent(outcomes.map(({ errors }) => errors)),
      name === 'plain' ? '' : percent(peers.map(({ errors }) => errors)),
      spread(outcomes.map(({ relativeTime }) => relativeTime)),
    ]),
  };
}

function difficulty(): Table {
  interface Row {
    data: string;
    net: string;
    errors: number[];
    test: number;
  }
  const { run, results } = readResult<{ run: Run; results: Row[] }>('difficulty');
  return {
    result: 'difficulty',
    run,
    about: 'five epochs, three seeds',
    head: ['data, net', 'test error'],
    rows: results.map(({ data, net, errors: counts, test }) => [
      `${data}: ${net}`,
      `${spread(counts.map((count) => (100 * count) / test))} %`,
    ]),
  };
}

const LENET300 = 'LeNet-300-100, MNIST, three seeds';

/** Sizes of a network as a file, beside its errors. */
const fileSizes = (name: string, network: string): Table =>
  study(
    name,
    `${network} as a .thimble file, MNIST, three seeds; all of the file, against all weights and biases as float32`,
    {
      bytes: meanBytes,
      'times smaller': (outcomes) =>
        spread(
          outcomes.map((outcome) => outcome.ratio!),
          1,
        ),
      'test error': errors('errors'),
    },
  );

interface ByCommand {
  before: number;
  errors: number;
  bytes: number;
  ratio: number;
  inspect: { params: number; nonzero: number };
}

/** What the command line makes of trained networks, seed by seed. */
function byCommand(result: string, network: string): Table {
  const { run, seeds, results } = readResult<{
    run: Run;
    seeds: number[];
    results: { outcomes: ByCommand[] }[];
  }>(result);
  const share = (errors: number) => `${(errors / 100).toFixed(2)} %`;
  return {
    result,
    run,
    about: `${network} by \`thimble compress\` with the recipe deepCompression, MNIST; \`inspect\`, \`report\` and the own count of the library say the same of each file`,
    head: ['seed', 'test error before', 'test error of the file', 'left', 'bytes', 'times smaller'],
    rows: results[0]!.outcomes.map(({ before, errors, bytes, ratio, inspect }, i) => [
      String(seeds[i]),
      share(before),
      share(errors),
      `${((100 * inspect.nonzero) / inspect.params).toFixed(1)} %`,
      thousands(bytes),
      ratio.toFixed(1),
    ]),
  };
}

/** Every table by the name that pages call it by. */
export const tables: Record<string, () => Table> = {
  distillation: () => distillation('mnist-distillation', 'students see 10,000 images, three seeds'),
  'distillation-all-images': () =>
    distillation('mnist-distillation-all-images', 'students see all 55,000 images, three seeds'),
  'distillation-paper': () =>
    distillation('mnist-distillation-paper', 'at the scale of the paper, two seeds'),
  unstructured: () =>
    study('unstructured-pruning', LENET300, {
      'weights left': share('left'),
      'test error': errors('errors'),
    }),
  'unstructured-lenet5': () =>
    study('unstructured-pruning-lenet5', 'LeNet-5 (20-50-500), MNIST, three seeds', {
      'weights left': share('left'),
      'test error': errors('errors'),
    }),
  'pruning-methods': () =>
    study(
      'pruning-methods',
      `${LENET300}: 6 epochs, pruned to 95 % where nothing else is said, trained on for 2 (schedules: 4; penalties: 8 from the start)`,
      {
        'parameters left': share('left'),
        'test error before training on': errors('before'),
        'after it': errors('after'),
      },
    ),
  lottery,
  'network-slimming': () =>
    study(
      'network-slimming',
      'a perceptron of 784-500-300-10, 80 % of both hidden layers removed, MNIST, three seeds',
      { weights: (all) => thousands(all[0]!.weights!), 'test error': errors('after') },
    ),
  structured: () =>
    study(
      'structured-pruning',
      'a small convolutional network, distorted MNIST, a quarter of the channels of every layer removed, three seeds',
      {
        'right after': errors('before'),
        'batch norm recalibrated': errors('recalibrated'),
        'one epoch of training': errors('after'),
      },
    ),
  quantisation,
  'shared-weights': () =>
    study(
      'shared-weights',
      'LeNet-300-100 pruned to 8.2 % of its weights where nothing else is said, MNIST, three seeds; bytes before entropy coding, biases and codebooks included',
      {
        bytes: meanBytes,
        'test error': errors('after'),
      },
    ),
  'few-bits': () =>
    study(
      'few-bits',
      'a depthwise-separable net, distorted MNIST, trained on from the same float net, three seeds, nine of the float nets and of LSQ with weights alone in 2 bits; bytes before entropy coding',
      { bytes: meanBytes, 'test error': errors('errors') },
    ),
  'mobile-quantization': () =>
    study(
      'mobile-quantization',
      'MobileNet-v1 small for images of 96 x 96, 8,000 images of distorted MNIST, 8 bits after training, three seeds; bytes before entropy coding',
      { bytes: meanBytes, 'test error': errors('errors') },
    ),
  'mixed-precision': () =>
    study(
      'mixed-precision',
      'a depthwise-separable net, distorted MNIST, kernels rounded after training and trained on for 4 epochs, three seeds; bytes before entropy coding',
      { bytes: meanBytes, 'test error': errors('errors'), 'trained on': errors('tuned') },
    ),
  transfer: () => {
    const { run, data, results } = readResult<Study & { data: { test: number } }>('transfer');
    const rows = results.map(({ method, outcomes }) => [
      method,
      `${spread(outcomes.map((outcome) => (100 * outcome.errors!) / data.test))} %`,
    ]);
    const about =
      'digits 5 to 9 of MNIST, learned from few images by a network that knows 0 to 4, three seeds';
    return { result: 'transfer', run, about, head: ['method', 'test error'], rows };
  },
  'hard-quantization': () =>
    study(
      'hard-quantization',
      'a depthwise-separable net, distorted MNIST, quantised after training, three seeds; bytes before entropy coding. Uneven channels: the same net with every channel between two layers made up to 16 times larger or smaller, which computes the same',
      { bytes: meanBytes, 'test error': errors('errors') },
    ),
  'file-size': () => fileSizes('file-size', 'LeNet-300-100'),
  'file-size-lenet5': () => fileSizes('file-size-lenet5', 'LeNet-5'),
  'recipe-lenet5': () => byCommand('recipe-lenet5', 'LeNet-5'),
  'recipe-lenet300': () => byCommand('recipe-lenet300', 'LeNet-300-100'),
  'ready-recipes': () =>
    study(
      'ready-recipes',
      'LeNet-5, MNIST, by `compress` with the recipes as they are shipped, three seeds; bytes of the file, of the dense network of its weights; multiply-accumulates with those by zeros; early exits with the thresholds that the recipe chose on validation images',
      {
        bytes: meanBytes,
        MACs: (outcomes) => thousands(mean(outcomes.map(({ macs }) => macs!))),
        'test error': errors('errors'),
      },
    ),
  'distillation-methods': () =>
    study(
      'distillation-methods',
      'a small convolutional student that sees 2,000 images of MNIST for 30 epochs, a teacher that has seen 55,000, three seeds',
      { 'test error': errors('errors') },
    ),
  compact,
  binary: () => binary('xnor', 10),
  'binary-connect': () => binary('binary-connect', 12),
  search: searched,
  'fixed-point': fixedPoint,
  difficulty,
  ...dynamicTables,
  ...benchTables,
};
