// MobileNet-v1 small for images of 96 x 96, trained on few of them, in 8 bits after training with one range per layer: what
// is lost, and what equalisation and corrected biases win back.
import { parseArgs } from 'node:util';
import { fit, models, type QuantizeOptions, quantize, summarize } from 'thimble';
import type { Row } from 'thimble-examples/shared/table';
import { enlarged } from './inference-nets.ts';
import { beginStudy, percent, realMnist, testErrors, training } from './study.ts';

const SIDE = 96;
const TRAINED = { images: 8000, epochs: 5, batchSize: 64, rate: 2e-3 };
/** Calibration images. */
const EXAMPLES = 300;

const { values } = parseArgs({ options: { output: { type: 'string' } } });
const study = await beginStudy('mobile-quantization', values.output);
const digits = await realMnist(true);
const train = enlarged(digits.train.take(TRAINED.images), SIDE);
const calibration = train.take(EXAMPLES);
const test = enlarged(digits.test, SIDE);

/** The network of a seed; trained once, and read from its checkpoint afterwards. */
async function network(seed: number) {
  const { epochs, batchSize, rate } = TRAINED;
  const model = models.mobileNet({ inputShape: [SIDE, SIDE, 1], seed });
  await fit(model, train, {
    ...training(seed, epochs, rate),
    batchSize,
    checkpoint: `${study.output}/float-${seed}.checkpoint`,
  });
  return model;
}

const tensor = { bits: 8, activations: 8, scheme: 'affine', granularity: 'tensor' } as const;
const RUNS: Record<string, QuantizeOptions | undefined> = {
  float: undefined,
  'one range per layer': tensor,
  'one range per layer, activations in float': { ...tensor, activations: false },
  'biases corrected': { ...tensor, biasCorrection: true },
  equalised: { ...tensor, equalize: true },
  'equalised, biases corrected': { ...tensor, equalize: true, biasCorrection: true },
  'a range per channel': { ...tensor, granularity: 'channel' },
};

interface Outcome {
  errors: number;
  bytes: number;
}

const outcome =
  (options: QuantizeOptions | undefined) =>
  async (seed: number): Promise<Outcome> => {
    const model = await network(seed);
    const made = options
      ? await quantize(model, { ...options, calibration, examples: EXAMPLES, progress: false })
      : model;
    const { bytes } = summarize(made).total;
    const errors = await testErrors(made, test);
    made.dispose();
    if (made !== model) model.dispose();
    return { errors, bytes };
  };

const methods = Object.entries(RUNS).map(([method, options]) => [method, outcome(options)]);
const settings = { ...TRAINED, examples: EXAMPLES };
const results = await study.compare<Outcome>(Object.fromEntries(methods), settings);
const rows: Row[] = results.map(({ method, outcomes }) => [
  method,
  String(outcomes[0]!.bytes),
  percent(outcomes.map(({ errors }) => errors)),
]);
await study.finish([['8 bits', 'bytes', 'test error %'], ...rows], {
  data: { source: 'distorted MNIST, 96 pixels a side', test: test.size },
  settings,
  results,
});
