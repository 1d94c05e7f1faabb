import * as tf from '@tensorflow/tfjs-core';
import { evaluateExits, exitCosts, fitExits, msdNet, predictEarly } from '@thimble/dynamic';
import { expectNoLeaks, savedAndLoaded, snapshot, useCpu } from '@thimble/testing';
import { expect, it } from 'vitest';
import { rowsThrough } from './networks.ts';

useCpu();

const small = (seed = 1) =>
  msdNet({
    inputShape: [8, 8, 1],
    classes: 3,
    exits: 2,
    base: 1,
    scales: 2,
    filters: 2,
    growth: 2,
    seed,
  });

it('costs what its convolutions cost', () => {
  // First layer 8*8*9*1*2, scale 1: 4*4*9*2*4. Layer 1, exit 1: of 8x8x2 to 4x4x2 and of 4x4x4 to 4x4x2;
  // the classifier sees 8 channels: 2*2*9*8*4, 1*9*4*4, 4*3.
  const first = 1152 + 1152 + 576 + 1152 + 1152 + 144 + 12;
  // To exit 2: layer 1 at scale 0 (8*8*9*2*2), layer 2 at scale 1 of 4 and of 8 channels; the classifier sees 12.
  const second = 2304 + 4 * 4 * 9 * 4 * 2 + 4 * 4 * 9 * 8 * 2 + 2 * 2 * 9 * 12 * 4 + 144 + 12;
  expect(exitCosts(small())).toEqual([
    { name: 'exit1', macs: first },
    { name: 'exit2', macs: first + second },
  ]);
});

it('computes fine features for later layers only when a sample gets there', async () => {
  const model = small();
  const x = tf.randomUniform([4, 8, 8, 1], 0, 1, 'float32', 1);
  const fine = [model.getLayer('layer1_scale0')];
  const all = { policy: 'confidence', threshold: 0 } as const;
  expect(await rowsThrough(fine, () => predictEarly(model, x, all))).toEqual({ layer1_scale0: 0 });
  const none = { policy: 'confidence', threshold: 2 } as const;
  expect(await rowsThrough(fine, () => predictEarly(model, x, none))).toEqual({ layer1_scale0: 4 });
  // What no exit needs is not there: the last layer at the fine scale.
  expect(model.layers.some(({ name }) => name === 'layer2_scale0')).toBe(false);
});

it('trains, saves, and is the same for a seed', async () => {
  const model = small();
  expect(snapshot(small())).toEqual(snapshot(model));
  expect(snapshot(small(2))).not.toEqual(snapshot(model));
  const xs = tf.randomUniform([12, 8, 8, 1], 0, 1, 'float32', 1);
  const ys = tf.tidy(() =>
    tf.cast(tf.oneHot(tf.tensor1d([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2], 'int32'), 3), 'float32'),
  );
  await expectNoLeaks(() =>
    fitExits(model, { xs, ys }, { epochs: 1, optimizer: 'sgd', progress: false }),
  );
  const loaded = await savedAndLoaded(model);
  const read = async (m: typeof model) =>
    (await evaluateExits(m, { xs, ys }, { progress: false })).exits;
  expect(await read(loaded)).toEqual(await read(model));
  expect(() => msdNet({ inputShape: [8, 8, 1], classes: 3, scales: 0 })).toThrow(/scales/);
});
