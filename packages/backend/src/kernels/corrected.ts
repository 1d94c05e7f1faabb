import type { KernelConfig } from '@tensorflow/tfjs-core';
import { binary, prelu } from './binary.ts';
import { cast } from './cast.ts';
import { conv3D, conv3DBackpropFilter, conv3DBackpropInput } from './conv3d.ts';
import { dilation2D, dilation2DBackpropFilter, dilation2DBackpropInput } from './dilation2d.ts';
import { all, any, max, min, prod } from './extremes.ts';
import { gather } from './gather.ts';
import {
  cropAndResize,
  gatherNd,
  scatterNd,
  sparseToDense,
  tensorScatterUpdate,
} from './indexed.ts';
import { oneHot } from './one-hot.ts';
import { avgPool, avgPool3D, maxPool, maxPool3D, maxPoolWithArgmax } from './pool.ts';
import { avgPool3DGrad, maxPool3DGrad } from './pool3d-grad.ts';
import { reverse } from './reverse.ts';
import { select } from './select.ts';
import { mean, sum } from './sum.ts';
import { typeKernels } from './types.ts';
import { unary } from './unary.ts';

/** The kernels that stock computes wrongly, other than products and convolutions. */
export const corrected: readonly KernelConfig[] = [
  ...[all, any, max, mean, min, prod, sum],
  ...[cast, oneHot, prelu, reverse, select],
  ...[cropAndResize, gather, gatherNd, scatterNd, sparseToDense, tensorScatterUpdate],
  ...[avgPool, avgPool3D, avgPool3DGrad, maxPool, maxPool3D, maxPool3DGrad, maxPoolWithArgmax],
  ...[conv3D, conv3DBackpropFilter, conv3DBackpropInput],
  ...[dilation2D, dilation2DBackpropFilter, dilation2DBackpropInput],
  ...typeKernels,
  ...unary,
  ...binary,
];
