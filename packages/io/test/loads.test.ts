// Models that are loaded and disposed of leave nothing behind.
import * as tf from '@tensorflow/tfjs-core';
import { encode, load } from '@thimble/io';
import { useCpu } from '@thimble/testing';
import { expect, it } from 'vitest';
import { modelNamed } from './models.ts';

useCpu();

const LOADS = Number(process.env.THIMBLE_LOADS ?? 60);

it('loads and disposals take no tensors and no memory', async () => {
  const bytes = await encode(modelNamed('sequential'));
  const cycle = async () => (await load(bytes)).dispose();
  for (let i = 0; i < 20; i++) await cycle();
  globalThis.gc?.();
  const { numTensors, numDataBuffers } = tf.memory();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  for (let i = 0; i < LOADS; i++) await cycle();
  globalThis.gc?.();
  expect(tf.memory()).toMatchObject({ numTensors, numDataBuffers });
  const now = process.memoryUsage();
  expect(now.arrayBuffers - arrayBuffers).toBeLessThan(32 * 2 ** 20);
  // The heap grows by what is collected later; not by a kilobyte a load.
  expect(now.heapUsed - heapUsed).toBeLessThan(64 * 2 ** 20);
}, 3_600_000);
