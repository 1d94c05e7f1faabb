// Compiled code for loops over weights, in which an engine that has just started is slow.
import { type Address, Workspace } from '../file/workspace.ts';

/** Calls `run` with values in a workspace. */
export function withValues<T>(
  values: Float32Array | Int32Array,
  run: (work: Workspace, at: Address) => T,
): T {
  const work = Workspace.of(values);
  try {
    return run(work, work.file);
  } finally {
    work.release();
  }
}
