import type { KernelConfig } from '@tensorflow/tfjs-core';
import { binary, prelu } from './binary.ts';
import { cast, reverse } from './cast.ts';
import { all, any, max, min, prod } from './extremes.ts';
import { gather } from './gather.ts';
import { mean, sum } from './sum.ts';
import { unary } from './unary.ts';

/** The kernels that stock computes wrongly, other than products and convolutions. */
export const corrected: readonly KernelConfig[] = [
  ...[all, any, max, mean, min, prod, sum],
  ...[cast, gather, prelu, reverse],
  ...unary,
  ...binary,
];
