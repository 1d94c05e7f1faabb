// What a result must say about how it came about.
import { execFileSync } from 'node:child_process';
import { cpus, totalmem } from 'node:os';
import * as tf from '@tensorflow/tfjs-core';

export interface RunRecord {
  command: string;
  commit: string;
  date: string;
  machine: { cpu: string; cores: number; memoryGiB: number; platform: string };
  versions: { node: string; tfjs: string };
  backend: string;
}

/** The commit that the code was run from; "-dirty" where files differ from it. */
function currentCommit(): string {
  try {
    const git = (...args: string[]) => execFileSync('git', args, { encoding: 'utf8' }).trim();
    // Results are written by runs, so they do not make the code another.
    const changed = git('status', '--porcelain', '--', '.', ':!benchmarks/results');
    return git('rev-parse', 'HEAD') + (changed ? '-dirty' : '');
  } catch {
    return 'unknown (not a git checkout)';
  }
}

/** Describes this run; `command` is what a reader types to repeat it. */
export function describeRun(command: string): RunRecord {
  return {
    command,
    commit: currentCommit(),
    date: new Date().toISOString().slice(0, 10),
    machine: {
      cpu: cpus()[0]?.model.trim() ?? 'unknown',
      cores: cpus().length,
      memoryGiB: Math.round(totalmem() / 2 ** 30),
      platform: `${process.platform} ${process.arch}`,
    },
    versions: { node: process.versions.node, tfjs: tf.version_core },
    backend: tf.getBackend(),
  };
}
