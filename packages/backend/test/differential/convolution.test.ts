import { convolutionCases } from './cases/convolution.ts';
import { convolution3dCases } from './cases/convolution3d.ts';
import { runCases } from './run.ts';

runCases('convolutions', [...convolutionCases, ...convolution3dCases]);
