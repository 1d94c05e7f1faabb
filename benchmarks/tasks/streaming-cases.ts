// Kernels for the benchmark that do little with each value: the memory is their limit.
import type { Kernels } from '@thimble/kernels';
import { type Case, floats, start } from './kernel-case.ts';

const VALUES = 1_000_000;

/** A kernel over a million values of which so many are read and written per value. */
function streaming(
  name: string,
  perValue: number,
  call: (kernels: Kernels, at: () => number) => () => void,
): Case {
  const ours = (kernels: Kernels) => {
    start();
    return call(kernels, () => floats(VALUES, { positive: true }));
  };
  return { name: `${name}, 10^6 values`, work: 4 * perValue * VALUES, unit: 'GB/s', ours };
}

const pooled = [60, 24, 24, 20, 12, 12, 2, 2, 2, 2, 0, 0] as const;
const pooledValues = 60 * 24 * 24 * 20;

/** A 2x2 pooling gradient of LeNet-5's first images: dy is read, dx written, and x read for the maximum. */
function poolGradient(name: 'maxPoolGradient' | 'avgPoolGradient', perValue: number): Case {
  const work = 4 * perValue * pooledValues;
  return {
    name: `${name}, 2x2, 24x24x20, batch 60`,
    work,
    unit: 'GB/s',
    ours(kernels) {
      start();
      const [x, dy, dx] = [floats(pooledValues), floats(pooledValues / 4), floats(pooledValues)];
      return name === 'maxPoolGradient'
        ? () => kernels.maxPoolGradient(x, dy, dx, ...pooled)
        : () => kernels.avgPoolGradient(dy, dx, ...pooled);
    },
  };
}

/** The kernels whose limit is memory. */
export const STREAMING: Case[] = [
  streaming('sgd', 3, ({ sgd }, at) => {
    const [w, g] = [at(), at()];
    return () => sgd(w, g, VALUES, -1e-6);
  }),
  streaming('momentum', 5, ({ momentum }, at) => {
    const [w, a, g] = [at(), at(), at()];
    return () => momentum(w, a, g, VALUES, 0.9, -1e-6, false);
  }),
  streaming('rmsprop', 7, ({ rmsprop }, at) => {
    const [w, s, a, g] = [at(), at(), at(), at()];
    return () => rmsprop(w, s, a, 0, g, VALUES, 0.9, 0.1, 0.9, 1e-6, 1e-8);
  }),
  streaming('adam', 7, ({ adam }, at) => {
    const [w, m, v, g] = [at(), at(), at(), at()];
    return () => adam(w, m, v, g, VALUES, 0.9, 0.1, 0.999, 0.001, 0.5, 0.5, 1e-8, -1e-6);
  }),
  streaming('adadelta', 7, ({ adadelta }, at) => {
    const [w, s, a, g] = [at(), at(), at(), at()];
    return () => adadelta(w, s, a, g, VALUES, 0.9, 0.1, 1e-8, -1e-6);
  }),
  streaming('sumMiddle, all', 1, ({ sumMiddle }, at) => {
    const [x, out] = [at(), at()];
    return () => sumMiddle(x, out, 1, VALUES, 1, 1, 0);
  }),
  streaming('sumMiddle, rows of 100', 1, ({ sumMiddle }, at) => {
    const [x, out, work] = [at(), at(), at()];
    return () => sumMiddle(x, out, 1, VALUES / 100, 100, 1, work);
  }),
  streaming('reluGradient', 3, ({ reluGradient }, at) => {
    const [x, dy, dx] = [at(), at(), at()];
    return () => reluGradient(x, dy, dx, VALUES);
  }),
  streaming('softmaxGradient, rows of 10', 3, ({ softmaxGradient }, at) => {
    const [y, dy, dx] = [at(), at(), at()];
    return () => softmaxGradient(y, dy, dx, VALUES / 10, 10);
  }),
  streaming('biasActivation, rows of 100', 2, ({ biasActivation }, at) => {
    const [x, bias] = [at(), at()];
    return () => biasActivation(x, VALUES / 100, 100, bias, 1);
  }),
  streaming('batchNorm, rows of 100', 4, ({ batchNorm }, at) => {
    const [x, y, scale, work] = [at(), at(), at(), at()];
    const [mean, variance] = [at(), at()];
    return () => batchNorm(x, scale, scale, y, mean, variance, VALUES / 100, 100, 1e-3, work);
  }),
  poolGradient('maxPoolGradient', 2.25),
  poolGradient('avgPoolGradient', 1.25),
];
