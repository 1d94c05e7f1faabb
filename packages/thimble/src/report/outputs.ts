// What networks answer to all examples.
import * as tf from '@tensorflow/tfjs-core';
import { joined, type ProgressOption } from '@thimble/base';
import { type BatchSource, eachBatch } from '@thimble/core';
import type { Network } from './subject.ts';
import { labelsOf, type Task } from './task.ts';

/** Outputs and labels of all examples. */
export interface Outputs {
  /** Of each network. */
  values: Float32Array[];
  targets: Float32Array;
  /** The number of the class of each example. */
  labels(task: Task): number[];
  /** Least and largest value of the inputs. */
  range: [number, number];
}

/** Examples at a time. */
export const BATCH = 100;

/** All outputs of all networks and all labels, and the range of the inputs. */
export async function outputsOf(
  networks: readonly Network[],
  source: BatchSource,
  pass: { progress: ProgressOption; signal?: AbortSignal },
): Promise<Outputs> {
  const parts = networks.map((): Float32Array[] => []);
  const ys: tf.Tensor[] = [];
  let [least, largest] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  try {
    await eachBatch(source, { ...pass, batchSize: BATCH }, 'evaluating', async (batch) => {
      const [x, y] = [batch.xs[0]!, batch.ys.at(-1)!];
      for (const value of await x.data()) {
        if (value < least) least = value;
        if (value > largest) largest = value;
      }
      for (const [i, network] of networks.entries()) parts[i]!.push(await network.predict(x));
      ys.push(tf.keep(tf.clone(y)));
    });
    const y = tf.tidy(() => tf.concat(ys));
    const targets = Float32Array.from(y.dataSync());
    const shape = y.shape;
    y.dispose();
    const labels = (task: Task) => tf.tidy(() => labelsOf(task, tf.tensor(targets, shape)));
    const range: [number, number] = least < largest ? [least, largest] : [0, 1];
    return { values: parts.map((each) => joined(Float32Array, each)), targets, labels, range };
  } finally {
    tf.dispose(ys);
  }
}
