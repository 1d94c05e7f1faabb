// A slimmable LeNet-5 with batch normalisation on real MNIST: one network at four widths, each beside the same
// width trained alone, for as many epochs. Three seeds.
import { parseArgs } from 'node:util';
import * as tfl from '@tensorflow/tfjs-layers';
import { callbacks, fit, layers, setWidth, summarize, withSeed } from 'thimble';
import type { Row } from 'thimble-examples/shared/table';
import { beginStudy, percent, realMnist, testErrors, training } from './study.ts';

const WIDTHS = [0.25, 0.5, 0.75, 1];
const EPOCHS = 4;
const RATE = 2e-3;
const MOMENTUM = 0.9;

const { values } = parseArgs({ options: { output: { type: 'string' } } });
const study = await beginStudy('slimmable', values.output);
const { train, test } = await realMnist();

/** The layers that differ between the slimmable network and a plain one of some width. */
interface Maker {
  conv(filters: number, more?: object): tfl.layers.Layer;
  dense(units: number, more?: object): tfl.layers.Layer;
  norm(): tfl.layers.Layer;
}

const kernel = { kernelSize: 5, useBias: false, kernelInitializer: 'heNormal' } as const;
const slimmable: Maker = {
  conv: (filters, more) => layers.slimmableConv2d({ ...kernel, ...more, filters, widths: WIDTHS }),
  dense: (units, more) => layers.slimmableDense({ ...more, units, widths: WIDTHS }),
  norm: () => layers.slimmableBatchNormalization({ widths: WIDTHS, momentum: MOMENTUM }),
};
const plain = (width: number): Maker => ({
  conv: (filters, more) => tfl.layers.conv2d({ ...kernel, ...more, filters: filters * width }),
  dense: (units, more) => tfl.layers.dense({ ...more, units: units === 10 ? 10 : units * width }),
  norm: () => tfl.layers.batchNormalization({ momentum: MOMENTUM }),
});

function lenet5({ conv, dense, norm }: Maker, seed: number): tfl.Sequential {
  const { flatten, maxPooling2d, reLU } = tfl.layers;
  return withSeed(seed, () =>
    tfl.sequential({
      layers: [
        conv(20, { inputShape: [28, 28, 1] }),
        norm(),
        reLU(),
        maxPooling2d({ poolSize: 2 }),
        conv(52), // 50 has no quarter
        norm(),
        reLU(),
        maxPooling2d({ poolSize: 2 }),
        flatten(),
        dense(500, { activation: 'relu', kernelInitializer: 'heNormal' }),
        dense(10, { activation: 'softmax' }),
      ],
    }),
  );
}

interface Outcome {
  width: number;
  errors: number;
  macs: number;
}

const settings = [EPOCHS, RATE, MOMENTUM];

/** One network at all widths. */
const together = (seed: number): Promise<Outcome[]> =>
  study.once(`slimmable, seed ${seed}`, settings, async () => {
    const model = lenet5(slimmable, seed);
    const checkpoint = `${study.output}/slimmable-${seed}.checkpoint`;
    const options = {
      ...training(seed, EPOCHS, RATE),
      checkpoint,
      callbacks: [callbacks.slimmableTraining()],
    };
    await fit(model, train, options);
    const outcomes: Outcome[] = [];
    for (const width of WIDTHS) {
      setWidth(model, width);
      const { macs } = summarize(model).total;
      outcomes.push({ width, errors: await testErrors(model, test), macs });
    }
    model.dispose();
    return outcomes;
  });

/** A network of one width. */
const alone = (width: number, seed: number): Promise<Outcome> =>
  study.once(`width ${width} alone, seed ${seed}`, settings, async () => {
    const model = lenet5(plain(width), seed);
    const checkpoint = `${study.output}/alone-${width}-${seed}.checkpoint`;
    await fit(model, train, { ...training(seed, EPOCHS, RATE), checkpoint });
    const { macs } = summarize(model).total;
    const errors = await testErrors(model, test);
    model.dispose();
    return { width, errors, macs };
  });

const results: { width: number; macs: number; slimmable: number[]; alone: number[] }[] = [];
const shared: Outcome[][] = [];
for (const seed of study.seeds) shared.push(await together(seed));
for (const [i, width] of WIDTHS.entries()) {
  const singles: Outcome[] = [];
  for (const seed of study.seeds) singles.push(await alone(width, seed));
  results.push({
    width,
    macs: singles[0]!.macs,
    slimmable: shared.map((outcomes) => outcomes[i]!.errors),
    alone: singles.map(({ errors }) => errors),
  });
}
const mean = (counts: number[]) => counts.reduce((sum, n) => sum + n, 0) / counts.length / 100;
const rows: Row[] = results.map((each) => [
  `${each.width}`,
  each.macs.toLocaleString('en-US'),
  percent(each.slimmable),
  percent(each.alone),
  (mean(each.slimmable) - mean(each.alone)).toFixed(2),
]);
await study.finish(
  [['width', 'MACs', 'test error, slimmable %', 'trained alone %', 'difference'], ...rows],
  {
    data: { source: 'MNIST', train: train.size, test: test.size },
    settings: { epochs: EPOCHS, rate: RATE, momentum: MOMENTUM, widths: WIDTHS },
    results,
  },
);
