import * as tf from '@tensorflow/tfjs-core';
import { Random } from '@thimble/base';
import { channelGroups, withChannelsZeroed, withoutChannels } from '@thimble/core';
import { outputs, savedAndLoaded, snapshot, useCpu } from '@thimble/testing';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { disposeWeights, randomize } from './channel-models.ts';
import { type Instruction, randomNetwork } from './channel-random.ts';

useCpu();

const choice = fc.nat({ max: 59 });
const instructions: fc.Arbitrary<Instruction[]> = fc.array(
  fc.tuple(fc.nat({ max: 10 }), choice, choice, choice),
  { minLength: 2, maxLength: 9 },
);

it('gives the outputs of the model with zeros and the parameters counted by hand, whatever goes', async () => {
  let removals = 0;
  await fc.assert(
    fc.asyncProperty(instructions, fc.nat(), async (steps, seed) => {
      const tensors = tf.memory().numTensors;
      const { model, params } = randomNetwork(steps);
      randomize(model, seed);
      const random = new Random(seed, 'removed');
      const removed = new Map<string, number[]>();
      const gone = new Map<string, number>();
      const widths = new Map<string, number>();
      for (const { name, size, fixed, members } of channelGroups(model)) {
        const count = fixed ? 0 : random.integer(size);
        const numbers = [...random.permutation(size)].slice(0, count);
        if (count > 0) removed.set(name, numbers);
        for (const { layer, weight, role, channels } of members) {
          if (role !== 'out' || weight === 'bias') continue;
          const lost = channels.filter((channel) => numbers.includes(channel)).length;
          gone.set(layer, (gone.get(layer) ?? 0) + lost);
          widths.set(layer, channels.length);
        }
      }
      removals += removed.size;
      const before = snapshot(model);
      const smaller = await withoutChannels(model, removed);
      const zeroed = await withChannelsZeroed(model, removed);
      const loaded = await savedAndLoaded(smaller);
      const x = tf.randomUniform([2, 5, 5, 2], -1, 1, 'float32', seed);
      const expected = outputs(zeroed, x);
      expect(outputs(smaller, x)).toBeAllClose(expected, 1e-5);
      expect(outputs(loaded, x)).toEqual(outputs(smaller, x));
      expect(smaller.countParams()).toBe(params((layer) => widths.get(layer)! - gone.get(layer)!));
      expect(model.countParams()).toBe(params((layer) => widths.get(layer)!));
      expect(snapshot(model)).toEqual(before);
      x.dispose();
      for (const each of [model, smaller, zeroed, loaded]) disposeWeights(each);
      expect(tf.memory().numTensors).toBe(tensors);
    }),
    { seed: 20, numRuns: 100 },
  );
  expect(removals).toBeGreaterThan(100);
});
