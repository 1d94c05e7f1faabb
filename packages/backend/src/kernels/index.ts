import type { KernelConfig } from '@tensorflow/tfjs-core';
import { batchMatMul } from './batch-mat-mul.ts';
import { binaryWeightsKernels } from './binary-weights.ts';
import { eitherLayout } from './channels-first.ts';
import { codesKernels } from './codes.ts';
import { compareKernels } from './compare.ts';
import { conv2DBackpropFilter, depthwiseBackpropFilter } from './conv2d-backprop-filter.ts';
import { conv2DBackpropInput, depthwiseBackpropInput } from './conv2d-backprop-input.ts';
import { fakeQuantKernels } from './fake-quant.ts';
import {
  conv2D,
  depthwiseConv2D,
  fusedConv2D,
  fusedDepthwiseConv2D,
} from './forward-convolution.ts';
import { fusedMatMul } from './fused-mat-mul.ts';
import { identity } from './identity.ts';
import { joinKernels } from './join.ts';
import { maskKernel } from './mask.ts';
import { avgPoolGrad, maxPoolGrad } from './pool-grad.ts';
import { signKernels } from './signs.ts';
import { slice } from './slice.ts';
import { tile } from './tile.ts';
import { unsortedSegmentSum } from './unsorted-segment-sum.ts';
import { xnorKernels } from './xnor.ts';

/** The kernels of `thimble` that are not the stock ones. */
export const kernels: readonly KernelConfig[] = [
  avgPoolGrad,
  batchMatMul,
  ...binaryWeightsKernels,
  eitherLayout(conv2D, ['x'], true),
  eitherLayout(conv2DBackpropFilter, ['x', 'dy'], false),
  eitherLayout(conv2DBackpropInput, ['dy'], true),
  eitherLayout(depthwiseBackpropFilter, ['x', 'dy'], false),
  eitherLayout(depthwiseBackpropInput, ['dy'], true),
  eitherLayout(depthwiseConv2D, ['x'], true),
  fusedConv2D,
  fusedDepthwiseConv2D,
  fusedMatMul,
  identity,
  ...joinKernels,
  maskKernel,
  maxPoolGrad,
  ...codesKernels,
  ...compareKernels,
  ...fakeQuantKernels,
  ...signKernels,
  slice,
  tile,
  unsortedSegmentSum,
  ...xnorKernels,
];
