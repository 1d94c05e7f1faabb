// The tables of dynamic computation: early exits, gates, widths.
import { mean, percent, type Run, readResult, spread, type Table, thousands } from './results.ts';

interface Exits {
  plainErrors: number;
  exitErrors: number[];
  errors: number;
  fractions: number[];
  macs: number;
  plainMacs: number;
  timings: Timing[];
  packed: Timing;
}

interface Timing {
  batch: number;
  plain: number;
  early: number;
  ideal: number;
}

function earlyExits(): Table {
  const { run, results } = readResult<{ run: Run; results: Exits[] }>('early-exits');
  const errors = (of: (outcome: Exits) => number) => percent(results.map(of));
  const figure = (of: (outcome: Exits) => number, digits = 2) => spread(results.map(of), digits);
  const both = (where: string, at: (outcome: Exits) => Timing) => [
    [
      `times as fast as the plain network, ${where}`,
      figure((outcome) => at(outcome).plain / at(outcome).early),
    ],
    [`time over the ideal, ${where}`, figure((outcome) => at(outcome).early / at(outcome).ideal)],
  ];
  const times = [
    ...results[0]!.timings.flatMap(({ batch }, i) =>
      both(`batch ${batch}`, ({ timings }) => timings[i]!),
    ),
    ...both('packed runtime', ({ packed }) => packed),
  ];
  return {
    result: 'early-exits',
    run,
    about: 'B-LeNet, MNIST, three seeds',
    head: ['', 'B-LeNet'],
    rows: [
      ['plain network, test error', errors((outcome) => outcome.plainErrors)],
      ['first exit for all', errors((outcome) => outcome.exitErrors[0]!)],
      ['last exit for all', errors((outcome) => outcome.exitErrors[1]!)],
      ['each image when the network is sure', errors((outcome) => outcome.errors)],
      [
        'images that leave at the first exit',
        `${figure((outcome) => 100 * outcome.fractions[0]!, 1)} %`,
      ],
      [
        'multiply-accumulates, part of the plain network',
        figure((outcome) => outcome.macs / outcome.plainMacs),
      ],
      ...times,
    ],
  };
}

interface Gates {
  errors: number;
  macs: number;
  total: number;
  correlation: number;
}

function gates(): Table {
  const { run, data, results } = readResult<{
    run: Run;
    data: { train: number };
    results: { method: string; outcomes: Record<string, Gates>[] }[];
  }>('sample-difficulty');
  const rows = results.flatMap(({ method: network, outcomes }) =>
    Object.keys(outcomes[0]!).map((method) => {
      const each = outcomes.map((outcome) => outcome[method]!);
      const open = outcomes.map((outcome) => outcome['all gates open']!);
      return [
        `${network}: ${method}`,
        percent(each.map(({ errors }) => errors)),
        percent(each.map(({ errors }, i) => errors - open[i]!.errors)),
        `${spread(
          each.map(({ macs }, i) => (100 * macs) / open[i]!.total),
          1,
        )} %`,
        spread(each.map(({ correlation }) => correlation)),
      ];
    }),
  );
  return {
    result: 'sample-difficulty',
    run,
    about: `residual nets of gated blocks and a net of gated channel groups, distorted MNIST, ${thousands(data.train)} images, three seeds`,
    head: [
      'network: method',
      'test error',
      'lost, points',
      'MACs',
      'rank correlation with the loss',
    ],
    rows,
  };
}

function multiScale(): Table {
  interface Exit {
    accuracy: number;
    macs: number;
  }
  const { run, data, settings, costs, results, plain } = readResult<{
    run: Run;
    data: { train: number };
    settings: { budgets: number[] };
    costs: { name: string; macs: number }[];
    results: { exits: Exit[]; budgets: { early: Exit }[] }[];
    plain: { outcomes: number[] }[];
  }>('msdnet');
  const errors = (exits: Exit[]) => percent(exits.map(({ accuracy }) => 10_000 * (1 - accuracy)));
  return {
    result: 'msdnet',
    run,
    about: `MSDNet of four exits, distorted MNIST, ${thousands(data.train)} images, three seeds; beside each exit a plain network of no fewer multiply-accumulates, trained by itself as long. Budgets: each image leaves when the network is sure, by thresholds chosen on validation images for a mean cost, as a part of the way from the first exit to the last`,
    head: ['', 'MACs', 'test error', 'plain network by itself'],
    rows: [
      ...costs.map(({ macs }, i) => [
        `all images at exit ${i + 1}`,
        thousands(macs),
        errors(results.map(({ exits }) => exits[i]!)),
        percent(plain[i]!.outcomes),
      ]),
      ...settings.budgets.map((part, i) => {
        const early = results.map(({ budgets }) => budgets[i]!.early);
        const macs = mean(early.map((each) => each.macs));
        return [`budget ${100 * part} %`, thousands(macs), errors(early), ''];
      }),
    ],
  };
}

interface Widths {
  run: Run;
  results: { width: number; macs: number; slimmable: number[]; alone: number[] }[];
}

function slimmableErrors(): Table {
  const { run, results } = readResult<Widths>('slimmable');
  return {
    result: 'slimmable',
    run,
    about: 'LeNet-5 with batch normalisation (20-52-500), MNIST, three seeds, equally long',
    head: ['width', 'MACs', 'one network of all widths', 'a network of this width'],
    rows: results.map(({ width, macs, slimmable, alone }) => [
      String(width),
      thousands(macs),
      percent(slimmable),
      percent(alone),
    ]),
  };
}

/** What a network of AutoSlim, or of one width, came to under a seed. */
interface Slimmed {
  macs: number;
  channels: Record<string, number>;
  before: number;
  tuned: number;
  scratch: number;
}

function slimmedLayers(): Table {
  interface Result {
    run: Run;
    settings: { budgets: number[] };
    results: { outcomes: Record<'uniform' | 'autoSlim', Slimmed>[] }[];
  }
  const { run, settings, results } = readResult<Result>('auto-slim');
  const row = (share: number, title: string, found: Slimmed[]): string[] => [
    `${100 * share} % of the MACs, ${title}`,
    Object.values(found[0]!.channels).join('-'),
    thousands(mean(found.map(({ macs }) => macs))),
    percent(found.map(({ before }) => before)),
    percent(found.map(({ tuned }) => tuned)),
    percent(found.map(({ scratch }) => scratch)),
  ];
  return {
    result: 'auto-slim',
    run,
    about:
      'Five convolutions of 32 filters, distorted MNIST, 20,000 images, three seeds; the channels are those of the first',
    head: [
      ...['network', 'channels', 'MACs', 'weights of the slimmable net', 'trained on'],
      'from the start',
    ],
    rows: settings.budgets.flatMap((share, i) => {
      const of = (method: 'uniform' | 'autoSlim') =>
        results.map(({ outcomes }) => outcomes[i]![method]);
      return [row(share, 'one width', of('uniform')), row(share, 'AutoSlim', of('autoSlim'))];
    }),
  };
}

function widthsAndExits(): Table {
  interface Point {
    name: string;
    macs: number;
    errors: number;
    milliseconds: number;
  }
  const { run, results } = readResult<{ run: Run; results: Point[][] }>('dynamic-inference');
  return {
    result: 'dynamic-inference',
    run,
    about:
      'One network of three widths with early exits, MNIST, three seeds; time per image of a hundred at a time on the backend thimble',
    head: ['setting', 'MACs', 'test error', 'milliseconds per image'],
    rows: results[0]!.map(({ name }, i) => {
      const each = results.map((points) => points[i]!);
      const macs = mean(each.map((point) => point.macs));
      return [
        name,
        thousands(Math.round(macs)),
        percent(each.map(({ errors }) => errors)),
        spread(
          each.map(({ milliseconds }) => milliseconds),
          3,
        ),
      ];
    }),
  };
}

/** The tables by name. */
export const dynamicTables: Record<string, () => Table> = {
  'early-exits': earlyExits,
  gates,
  'slimmable-errors': slimmableErrors,
  'auto-slim': slimmedLayers,
  'multi-scale': multiScale,
  'dynamic-inference': widthsAndExits,
};
