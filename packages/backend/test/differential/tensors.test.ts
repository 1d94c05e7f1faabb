import { imageCases } from './cases/images.ts';
import { indexedCases } from './cases/indexed.ts';
import { networkCases } from './cases/networks.ts';
import { rearrangeCases } from './cases/rearrange.ts';
import { reductionCases } from './cases/reductions.ts';
import { runCases } from './run.ts';

runCases('reductions', reductionCases);
runCases('rearrangement', rearrangeCases);
runCases('indexed ops', indexedCases);
runCases('images', imageCases);
runCases('normalisation and losses', networkCases);
