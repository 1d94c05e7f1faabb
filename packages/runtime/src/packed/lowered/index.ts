// Layers that are made of simpler operations, by name.
import { conv2dTranspose } from './conv2d-transpose.ts';
import { gateMerge, policyGate } from './gates.ts';
import type { Lowering } from './lowering.ts';
import { perforatedConv2d } from './perforated-conv.ts';
import { prelu } from './prelu.ts';
import { rescaling } from './rescaling.ts';
import { thresholdedReLU } from './thresholded-relu.ts';

export const LOWERED: Record<string, Lowering> = {
  conv2dTranspose,
  gateMerge,
  perforatedConv2d,
  policyGate,
  prelu,
  rescaling,
  thresholdedReLU,
};
