// Compiled code for loops over weights, in which an engine that has just started is slow.
import { type CodeBytes, StoredWeight, wordsOf } from '../file/stored-weight.ts';
import { type Address, Workspace } from '../file/workspace.ts';
import type { Weight } from './node-weights.ts';

/** Calls `run` with values in the workspace, words each; a stored weight is there already. */
export function withValues<T>(
  values: Weight | CodeBytes | Float32Array | Int32Array,
  run: (work: Workspace, at: Address) => T,
): T {
  return Workspace.use((work) => {
    if (values instanceof StoredWeight) return run(work, values.place());
    if ('low' in values) return run(work, wordsOf(values, work));
    return run(work, work.put('data' in values ? values.data : values));
  });
}
