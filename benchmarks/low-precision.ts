// Training in 16-bit fixed point on real MNIST (Gupta et al. 2015): float, rounding to the nearest and at random,
// with 14, 10 and 8 bits behind the point; and with gradients and the state of Adam in Dettmers' 8 bits. The papers' networks, shrunk.
import { parseArgs } from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  eightBitGradients,
  eightBitState,
  evaluate,
  type FitOptions,
  fit,
  fixedPointTraining,
  withSeed,
} from 'thimble';
import type { Row } from 'thimble-examples/shared/table';
import { beginStudy, percent, realMnist, testErrors } from './study.ts';

const UNITS = 256;
const WORD = 16;
const RATE = 0.1;
/** Of Adam. */
const ADAM_RATE = 1e-3;

const { values } = parseArgs({
  options: { epochs: { type: 'string', default: '12' }, output: { type: 'string' } },
});
const epochs = Number(values.epochs);
const study = await beginStudy('fixed-point', values.output);
const { train, test } = await realMnist();

interface Outcome {
  errors: number;
  /** Loss on the training set at the end. */
  loss: number;
}

const loss = 'categoricalCrossentropyFromLogits';

function network(seed: number): tfl.Sequential {
  const dense = (units: number, activation?: 'relu') =>
    tfl.layers.dense({ units, ...(activation ? { activation } : {}) });
  return withSeed(seed, () =>
    tfl.sequential({
      layers: [
        tfl.layers.flatten({ inputShape: [28, 28, 1] }),
        dense(UNITS, 'relu'),
        dense(UNITS, 'relu'),
        dense(10),
      ],
    }),
  );
}

const trained =
  (make: () => Pick<FitOptions, 'optimizer' | 'callbacks'>) => async (seed: number) => {
    const model = network(seed);
    await fit(model, train, {
      epochs,
      batchSize: 100,
      optimizer: tf.train.sgd(RATE),
      loss,
      seed,
      progress: false,
      ...make(),
    });
    const result = await evaluate(model, train, {
      loss,
      metrics: [],
      batchSize: 500,
      progress: false,
    });
    return { errors: await testErrors(model, test), loss: result.loss! };
  };

const methods: Record<string, (seed: number) => Promise<Outcome>> = {
  float32: trained(() => ({})),
};
for (const fractionBits of [14, 10, 8]) {
  for (const rounding of ['nearest', 'stochastic'] as const) {
    const format = { integerBits: WORD - fractionBits, fractionBits, rounding };
    methods[`${rounding}, FL ${fractionBits}`] = trained(() => ({
      callbacks: [fixedPointTraining(format)],
    }));
  }
}
methods['8-bit gradients'] = trained(() => ({ callbacks: [eightBitGradients()] }));
const adam = (): tf.Optimizer => tf.train.adam(ADAM_RATE);
methods['float32, Adam'] = trained(() => ({ optimizer: adam() }));
methods['8-bit state of Adam'] = trained(() => ({ optimizer: eightBitState(adam()) }));
methods['8-bit gradients and state of Adam'] = trained(() => ({
  optimizer: eightBitState(adam()),
  callbacks: [eightBitGradients()],
}));
const results = await study.compare(methods, [UNITS, WORD, RATE, epochs]);
const rows: Row[] = results.map(({ method, outcomes }) => [
  method,
  percent(outcomes.map(({ errors }) => errors)),
  outcomes.map(({ errors }) => errors).join(', '),
  outcomes.map((each) => each.loss.toFixed(4)).join(', '),
]);
await study.finish([['arithmetic', 'test error %', 'errors', 'training loss'], ...rows], {
  data: { source: 'MNIST', train: train.size, test: test.size },
  settings: {
    ...{ units: [UNITS, UNITS], wordBits: WORD, rate: RATE, adamRate: ADAM_RATE },
    ...{ epochs, batchSize: 100 },
  },
  results,
});
