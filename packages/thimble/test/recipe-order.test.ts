// Which steps do not go after which, because what was done would be lost; said before anything is trained.
import '@thimble/backend';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  compress,
  data,
  OptionError,
  parseRecipe,
  type Recipe,
  runtime,
  type Step,
  type StepData,
  steps,
  withSeed,
} from 'thimble';
import { beforeAll, describe, expect, test } from 'vitest';

const STEPS = {
  prune: { sparsity: 0.5 },
  lotteryTicket: { sparsity: 0.5 },
  removeChannels: { ratio: 0.5 },
  decompose: { rank: 4 },
  cluster: { clusters: 8 },
  quantize: { bits: 8 },
  binarize: {},
  slimmable: { widths: [0.5, 1] },
  exits: {},
};
type Name = keyof typeof STEPS;

const recipe = (...names: Name[]): Recipe => ({
  steps: names.map((name) => ({ [name]: STEPS[name] })) as unknown as StepData[],
});

describe('refused at once, with both steps and what to do', () => {
  test.each<[Name, Name, string]>([
    ...(['cluster', 'quantize', 'binarize'] as const).flatMap((first) =>
      (['removeChannels', 'decompose', 'slimmable'] as const).map(
        (second): [Name, Name, string] => [first, second, `Put ${second} before ${first}.`],
      ),
    ),
    ['prune', 'decompose', 'Put decompose before prune.'],
    ['lotteryTicket', 'decompose', 'Put decompose before lotteryTicket.'],
    ['slimmable', 'removeChannels', 'Put removeChannels before slimmable.'],
    ['slimmable', 'decompose', 'Put decompose before slimmable.'],
    ['binarize', 'quantize', 'Put quantize before binarize.'],
    ['quantize', 'quantize', 'perLayer'],
    ['cluster', 'cluster', 'perLayer'],
    ['exits', 'exits', 'Name all of them in after.'],
  ])('%s, %s', (first, second, remedy) => {
    const parse = () => parseRecipe(recipe(first, second));
    expect(parse).toThrow(OptionError);
    expect(parse).toThrow(`recipe: step 2, ${second}, does not go after step 1, ${first}: `);
    expect(parse).toThrow(remedy);
  });

  test('with steps in between too, and by options', () => {
    const apart = recipe('quantize', 'prune', 'removeChannels');
    expect(() => parseRecipe(apart)).toThrow('step 3, removeChannels, does not go after step 1');
    const both = (first: StepData, second: StepData) => () =>
      parseRecipe({ steps: [first, second] });
    const cluster = (target: string): StepData => ({ cluster: { targets: [target, 'c'] } });
    expect(both(cluster('a'), cluster('b'))).toThrow('clustered once');
    const widths: StepData = { slimmable: {} };
    expect(both(widths, { quantize: { activations: 8 } })).toThrow('Leave activations out');
    const taught: StepData = { train: { teacher: true } };
    expect(both({ exits: {} }, taught)).toThrow('Put exits after train.');
  });
});

describe('what goes well is not refused', () => {
  test.each<[Name, Name]>([
    ['removeChannels', 'quantize'],
    ['decompose', 'prune'],
    ['cluster', 'quantize'],
    ['quantize', 'cluster'],
    ['quantize', 'binarize'],
    ['slimmable', 'quantize'],
    ['prune', 'removeChannels'],
    ['prune', 'slimmable'],
    ['exits', 'removeChannels'],
    ['quantize', 'exits'],
  ])('%s, %s', (first, second) => {
    expect(parseRecipe(recipe(first, second)).steps).toHaveLength(2);
  });

  test('by options', () => {
    const list: StepData[] = [
      { cluster: { targets: ['a'] } },
      { cluster: { targets: ['b'], bits: 3 } },
      { binarize: { method: 'connect', ignore: ['a', 'b'] } },
      { quantize: {} },
    ];
    expect(parseRecipe({ steps: list }).steps).toHaveLength(4);
  });
});

describe('compress', () => {
  let train: data.ImageDataset;
  beforeAll(async () => {
    await tf.setBackend('thimble');
    ({ train } = await data.syntheticDigits({ train: 200, test: 1, onProgress: false }));
  });

  const network = () =>
    withSeed(1, () =>
      tfl.sequential({
        layers: [
          tfl.layers.conv2d({ filters: 4, kernelSize: 5, strides: 3, inputShape: [28, 28, 1] }),
          tfl.layers.batchNormalization(),
          tfl.layers.flatten(),
          tfl.layers.dense({ name: 'output', units: 10, activation: 'softmax' }),
        ],
      }),
    );
  const run = (list: readonly Step[]) =>
    compress(network(), { data: train, steps: list, progress: false });

  test('looks at the order of steps that are given as such; of steps of others it knows nothing', async () => {
    await expect(run([steps.quantize(), steps.removeChannels({ ratio: 0.5 })])).rejects.toThrow(
      'compress: step 2, removeChannels, does not go after step 1, quantize',
    );
    let ran = false;
    const own: Step = {
      name: 'removeChannels',
      options: {},
      run: async () => {
        ran = true;
      },
    };
    (await run([steps.quantize(), own])).model.dispose();
    expect(ran).toBe(true);
  });

  test('shared values are rounded in a network with batch normalisation, and beside rounded biases', async () => {
    const { model, bytes } = await run([
      steps.cluster({ clusters: 8, biasBits: 8, epochs: 0 }),
      steps.quantize({ bits: 8, activations: 8 }),
    ]);
    model.dispose();
    const { graph } = await runtime.decode(bytes);
    for (const [name, { encoding }] of Object.entries(graph.weights)) {
      if (name.endsWith('/kernel'))
        expect(encoding.values, name).toMatchObject({ type: 'codebook' });
    }
    expect(graph.nodes.filter(({ codes }) => codes)).toHaveLength(2);
  });
});
