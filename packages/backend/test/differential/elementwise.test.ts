import { binaryCases } from './cases/binary.ts';
import { unaryCases } from './cases/unary.ts';
import { runCases } from './run.ts';

runCases('functions of one operand', unaryCases);
runCases('functions of two operands', binaryCases);
