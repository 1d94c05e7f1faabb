// What the tests of pruning callbacks share: a small network, examples, masks as plain numbers.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { Random, withSeed } from '@thimble/base';
import type { FitOptions } from '@thimble/core';
import type { MaskedWeight } from '@thimble/pruning';

/** The entries of a mask. */
export function maskOf({ mask }: MaskedWeight): number[] {
  return Array.from(mask.dataSync());
}

/** The entries of a stored weight, masked ones included. */
export function storedOf({ weight }: MaskedWeight): number[] {
  return Array.from(weight.variable.dataSync());
}

/** The entries of a weight as its layer sees it. */
export function seenOf({ weight }: MaskedWeight): number[] {
  return tf.tidy(() => Array.from(weight.bake().dataSync()));
}

/** How many entries are kept. */
export function keptIn(weight: MaskedWeight): number {
  return maskOf(weight).filter((keep) => keep === 1).length;
}

/** How many entries are pruned. */
export function goneIn(weight: MaskedWeight): number {
  return weight.mask.size - keptIn(weight);
}

export const INPUTS = 6;
export const CLASSES = 3;

/** 6-8-3 with logits: kernels of 48 and 24 entries, layers "hidden" and "output". */
export function network(seed: number = 1, drop: number = 0): tfl.Sequential {
  return withSeed(seed, () =>
    tfl.sequential({
      layers: [
        tfl.layers.dense({ name: 'hidden', units: 8, activation: 'tanh', inputShape: [INPUTS] }),
        ...(drop > 0 ? [tfl.layers.dropout({ rate: drop })] : []),
        tfl.layers.dense({ name: 'output', units: CLASSES }),
      ],
    }),
  );
}

/** Three clouds of points, one for each class. */
export function blobs(
  count: number = 24,
  seed: string = 'blobs',
): { xs: tf.Tensor; ys: tf.Tensor } {
  const random = new Random(seed);
  const labels = Int32Array.from({ length: count }, (_, i) => i % CLASSES);
  const values = Float32Array.from({ length: count * INPUTS }, (_, i) => {
    const label = labels[Math.floor(i / INPUTS)]!;
    return random.normal(i % CLASSES === label ? 1.5 : 0);
  });
  return {
    xs: tf.tensor2d(values, [count, INPUTS]),
    ys: tf.tidy(() => tf.cast(tf.oneHot(tf.tensor1d(labels, 'int32'), CLASSES), 'float32')),
  };
}

/** Three steps an epoch on {@link blobs}. */
export const TRAINING: FitOptions = {
  batchSize: 8,
  loss: 'categoricalCrossentropyFromLogits',
  seed: 3,
  progress: false,
};
