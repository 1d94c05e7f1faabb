// MobileNet-v1 small for images of 96 x 96, from benchmarks/models, in 8 bits after training with one range per layer: what
// is lost, and what equalisation and corrected biases win back. One trained network.
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { load, type QuantizeOptions, quantize, summarize } from 'thimble';
import type { Row } from 'thimble-examples/shared/table';
import { distortedMnist, enlarged, MODELS } from './inference-nets.ts';
import { beginStudy, testErrors } from './study.ts';

const SIDE = 96;
/** Calibration images. */
const EXAMPLES = 300;

const { values } = parseArgs({ options: { output: { type: 'string' } } });
const study = await beginStudy('mobile-quantization', values.output);
const digits = await distortedMnist();
const calibration = enlarged(digits.train.take(EXAMPLES), SIDE);
const test = enlarged(digits.test, SIDE);
const model = await load(new Uint8Array(await readFile(`${MODELS}mobilenet96-dense.thimble`)));

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

async function outcome(options: QuantizeOptions | undefined): Promise<Outcome> {
  const made = options
    ? await quantize(model, { ...options, calibration, examples: EXAMPLES, progress: false })
    : model;
  const { bytes } = summarize(made).total;
  const errors = await testErrors(made, test);
  if (made !== model) made.dispose();
  return { errors, bytes };
}

const results: { method: string; outcomes: Outcome[] }[] = [];
for (const [method, options] of Object.entries(RUNS)) {
  const found = await study.once(method, [options ?? {}, EXAMPLES], () => outcome(options));
  results.push({ method, outcomes: [found] });
}
const rows: Row[] = results.map(({ method, outcomes: [found] }) => [
  method,
  String(found!.bytes),
  (found!.errors / 100).toFixed(2),
]);
await study.finish([['8 bits', 'bytes', 'test error %'], ...rows], {
  data: { source: 'distorted MNIST, 96 pixels a side', test: test.size },
  settings: { examples: EXAMPLES },
  results,
});
