// All cases of the differential suite.
import type { Case } from '../case.ts';
import { binaryCases } from './binary.ts';
import { convolutionCases } from './convolution.ts';
import { convolution3dCases } from './convolution3d.ts';
import { imageCases } from './images.ts';
import { indexedCases } from './indexed.ts';
import { matMulCases } from './mat-mul.ts';
import { networkCases } from './networks.ts';
import { poolingCases } from './pooling.ts';
import { rearrangeCases } from './rearrange.ts';
import { reductionCases } from './reductions.ts';
import { unaryCases } from './unary.ts';

export const allCases: readonly Case[] = [
  ...binaryCases,
  ...convolutionCases,
  ...convolution3dCases,
  ...imageCases,
  ...indexedCases,
  ...matMulCases,
  ...networkCases,
  ...poolingCases,
  ...rearrangeCases,
  ...reductionCases,
  ...unaryCases,
];
