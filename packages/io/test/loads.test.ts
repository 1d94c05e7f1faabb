// Models that are loaded and disposed of leave nothing behind.
import * as tf from '@tensorflow/tfjs-core';
import { encode, load } from '@thimble/io';
import { useCpu } from '@thimble/testing';
import { expect, it } from 'vitest';
import { expectNoGrowth } from './growth.ts';
import { modelNamed } from './models.ts';

useCpu();

const LOADS = Number(process.env.THIMBLE_LOADS ?? 60);

it('loads and disposals take no tensors and no memory', async () => {
  const bytes = await encode(modelNamed('sequential'));
  let before = tf.memory();
  await expectNoGrowth(
    async () => (await load(bytes)).dispose(),
    LOADS,
    () => {
      before = tf.memory();
    },
  );
  const { numTensors, numDataBuffers } = before;
  expect(tf.memory()).toMatchObject({ numTensors, numDataBuffers });
}, 3_600_000);
