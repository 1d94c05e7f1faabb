import { matMulCases } from './cases/mat-mul.ts';
import { runCases } from './run.ts';

runCases('matrix products', matMulCases);
