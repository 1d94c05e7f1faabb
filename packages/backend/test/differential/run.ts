// Runs cases as tests. `npm run fuzz` sets the number of examples and the seed.
import { beforeAll, describe, test } from 'vitest';
import { registerChainedOps, SEED } from '../helpers.ts';
import type { Case } from './case.ts';

const RUNS = Number(process.env.THIMBLE_FUZZ_RUNS ?? 10);
const FIRST_SEED = Number(process.env.THIMBLE_FUZZ_SEED ?? SEED);

/** One test for each case; a failure names the seed and the smallest example. */
export function runCases(group: string, cases: readonly Case[]): void {
  beforeAll(registerChainedOps); // cpu's gradients need more of them than thimble brings
  describe(`thimble is right in ${group}:`, () => {
    for (const { name, check, wrong } of cases) {
      const run = wrong ? test.fails : test;
      run(wrong ? `${name} (${wrong})` : name, () => check(RUNS, FIRST_SEED), 60_000 + RUNS * 1000);
    }
  });
}
