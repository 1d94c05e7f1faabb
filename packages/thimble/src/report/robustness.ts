// How networks do on inputs that are noisy, shifted, or made to fool them.
import * as tf from '@tensorflow/tfjs-core';
import { type ProgressOption, Random, startProgress } from '@thimble/base';
import { type BatchSource, eachBatch } from '@thimble/core';
import { fgsm, pgd } from './attacks.ts';
import type { Network } from './subject.ts';
import { scoreOf, scoreSum, type Task } from './task.ts';

/** Accuracy (of regression the root mean square error) at a strength. */
export interface AtStrength {
  strength: number;
  score: number;
}

/** How a network does on harder inputs; scores as in {@link AtStrength}. */
export interface Robustness {
  /** On the same examples as they are. */
  clean: number;
  /** Normal noise of this deviation, clipped to the range. */
  noise: AtStrength[];
  /** Made against the network itself. */
  fgsm: AtStrength[];
  pgd: AtStrength[];
  /** On shifted data, where there is any. */
  shift?: number;
}

/** What to try, in parts of the range of the inputs. */
export interface Strengths {
  noise: readonly number[];
  fgsm: readonly number[];
  pgd: readonly number[];
  steps: number;
}

/** How to go about it. */
export interface RobustnessPass {
  range: readonly [number, number];
  seed: number | string;
  progress: ProgressOption;
  signal?: AbortSignal;
}

const BATCH = 50;

/** Scores of all networks on the same changed examples; those of attacks are made for each. */
export async function robustnessOf(
  networks: readonly Network[],
  task: Task,
  source: BatchSource,
  strengths: Strengths,
  { range, seed, progress, signal }: RobustnessPass,
): Promise<Robustness[]> {
  const zeros = (list: readonly number[]) => list.map((strength) => ({ strength, score: 0 }));
  const sums = networks.map(
    (): Robustness => ({
      clean: 0,
      noise: zeros(strengths.noise),
      fgsm: zeros(strengths.fgsm),
      pgd: zeros(strengths.pgd),
    }),
  );
  const random = new Random(seed, 'noise');
  const scale = range[1] - range[0];
  const about = { range, loss: task.loss };
  const bar = startProgress(progress, 'robustness', source.size);
  let done = 0;
  try {
    const pass = { batchSize: BATCH, progress: false, ...(signal ? { signal } : {}) };
    await eachBatch(source, pass, 'robustness', async ({ xs, ys, size }) => {
      const [x, y] = [xs[0]!, ys.at(-1)!];
      const add = async (network: Network, make: () => tf.Tensor): Promise<number> => {
        const changed = make();
        try {
          return scoreSum(task, await network.predict(changed), y);
        } finally {
          changed.dispose();
        }
      };
      for (const [i, network] of networks.entries()) {
        sums[i]!.clean += await add(network, () => tf.clone(x));
      }
      for (const [k, deviation] of strengths.noise.entries()) {
        const noise = Float32Array.from({ length: x.size }, () =>
          random.normal(0, deviation * scale),
        );
        const make = () =>
          tf.tidy(() => tf.clipByValue(tf.add(x, tf.tensor(noise, x.shape)), ...range));
        for (const [i, network] of networks.entries()) {
          sums[i]!.noise[k]!.score += await add(network, make);
        }
      }
      for (const [i, network] of networks.entries()) {
        const { model } = network;
        for (const each of sums[i]!.fgsm) {
          const options = { ...about, epsilon: each.strength * scale };
          each.score += await add(network, () => fgsm(model, x, y, options));
        }
        for (const each of sums[i]!.pgd) {
          const { steps } = strengths;
          const epsilon = each.strength * scale;
          const options = { ...about, epsilon, steps, seed: `${seed} ${done}` };
          each.score += await add(network, () => pgd(model, x, y, options));
        }
      }
      done += size;
      bar.update(done);
    });
  } finally {
    bar.stop();
  }
  const scores = (list: AtStrength[]) =>
    list.map(({ strength, score }) => ({ strength, score: scoreOf(task, score, source.size) }));
  return sums.map((sum) => ({
    clean: scoreOf(task, sum.clean, source.size),
    noise: scores(sum.noise),
    fgsm: scores(sum.fgsm),
    pgd: scores(sum.pgd),
  }));
}
