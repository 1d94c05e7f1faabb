// Proof that repeated work leaves no tensor behind.
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'vitest';

/**
 * Runs `body` twice to warm up (optimizer slots, caches), then three times more, and expects the number
 * of tensors and of data buffers to be the same after each.
 */
export async function expectNoLeaks(body: () => unknown): Promise<void> {
  const counts: { tensors: number; buffers: number }[] = [];
  for (let i = 0; i < 5; i++) {
    await body();
    const { numTensors, numDataBuffers } = tf.memory();
    counts.push({ tensors: numTensors, buffers: numDataBuffers });
  }
  const [, warm, ...later] = counts;
  for (const count of later) expect(count, 'tensors left behind').toEqual(warm);
}
