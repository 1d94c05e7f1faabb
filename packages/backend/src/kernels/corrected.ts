import type { KernelConfig } from '@tensorflow/tfjs-core';
import { all, any, max, min, prod } from './extremes.ts';
import { gather } from './gather.ts';
import { mean, sum } from './sum.ts';

/** The kernels that stock computes wrongly, other than products and convolutions. */
export const corrected: readonly KernelConfig[] = [all, any, gather, max, mean, min, prod, sum];
