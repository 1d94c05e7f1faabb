// Compiled code for loops over weights, in which an engine that has just started is slow.
import { StoredWeight } from '../file/weight.ts';
import { type Address, Workspace } from '../file/workspace.ts';
import type { Weight } from './node-weights.ts';

/** Calls `run` with values in the workspace; a stored weight is there already. */
export function withValues<T>(
  values: Weight | Float32Array | Int32Array,
  run: (work: Workspace, at: Address) => T,
): T {
  return Workspace.use((work) => {
    if (values instanceof StoredWeight) return run(work, values.at);
    return run(work, work.put('data' in values ? values.data : values));
  });
}
