// Every compact architecture and decomposition on distorted MNIST, real digits made harder, each beside a plain
// narrower network of equal multiply-accumulates that is trained for as long.
import { parseArgs } from 'node:util';
import {
  type ExperimentOptions,
  METHODS,
  runMethod,
  runPlain,
} from 'thimble-examples/compact-architectures/experiment';
import { widthOf } from 'thimble-examples/compact-architectures/networks';
import { type Compared, table } from 'thimble-examples/compact-architectures/report';
import { beginStudy, realMnist } from './study.ts';

const { values } = parseArgs({
  options: {
    output: { type: 'string' },
    images: { type: 'string', default: '20000' },
    epochs: { type: 'string', default: '4' },
  },
});
const preset = {
  images: Number(values.images),
  epochs: Number(values.epochs),
  fineTune: 1,
  rounds: 21,
};
const study = await beginStudy('compact-architectures', values.output);
const { train, test } = await realMnist(true);

const options = (seed: number): ExperimentOptions => ({
  ...{ preset, train, test, seed, progress: false, checkpoints: study.output },
});

const results: Compared[] = [];
for (const name of METHODS) {
  const compared: Compared = { name, outcomes: [], peers: [] };
  for (const seed of study.seeds) {
    const outcome = await study.once(`${name}, seed ${seed}`, preset, () =>
      runMethod(name, options(seed)),
    );
    const width = name === 'plain' ? 1 : widthOf(outcome.macs);
    const peer =
      width === 1
        ? outcome
        : await study.once(`plain of width ${width}, seed ${seed}`, preset, () =>
            runPlain(width, options(seed)),
          );
    compared.outcomes.push(outcome);
    compared.peers.push(peer);
  }
  results.push(compared);
}
await study.finish(table(results), {
  data: { source: 'distorted MNIST', train: Math.min(preset.images, train.size), test: test.size },
  settings: preset,
  results,
});
