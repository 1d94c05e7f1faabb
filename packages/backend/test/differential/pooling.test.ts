import { poolingCases } from './cases/pooling.ts';
import { runCases } from './run.ts';

runCases('pooling', poolingCases);
