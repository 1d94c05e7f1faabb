import * as tfl from '@tensorflow/tfjs-layers';
import type { LotteryControl } from '@thimble/pruning';
import { useCpu } from '@thimble/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { LOTTERY_CONTROLS } from '../src/lottery-controls.ts';
import { initialKernels, largest, type Seen, watched } from './lottery.ts';

useCpu();

const SEED = 4;

/** The trainings of one experiment by control; 'ticket' is that of the round, 'dense' that of round 0. */
const found = new Map<LotteryControl | 'ticket' | 'dense', Seen>();
let again: Seen[];
let initial: number[][];

beforeAll(async () => {
  const options = { rounds: 2, controls: LOTTERY_CONTROLS, controlRounds: [2], seeds: [SEED] };
  const { seen, report } = await watched(options);
  report.branches.forEach(({ kind, round }, i) => {
    found.set(round === 0 ? 'dense' : kind, seen[i]!);
  });
  again = (await watched(options)).seen;
  initial = initialKernels(SEED);
});

const kept = (values: readonly number[], mask: readonly number[]) =>
  values.filter((_, i) => mask[i] === 1);
const signs = (values: readonly number[]) => values.map((value) => (value < 0 ? -1 : 1));
const sorted = (values: readonly number[]) => [...values].sort((a, b) => a - b);

/** What is kept of each layer in a control, beside the same of the initial weights. */
function layersOf(control: LotteryControl) {
  const { kernels, masks } = found.get(control)!;
  return kernels.map((values, i) => ({
    now: kept(values, masks[i]!),
    before: kept(initial[i]!, masks[i]!),
    all: initial[i]!,
  }));
}

it('there is one training of each, the same at every call', () => {
  expect([...found.keys()].sort()).toEqual([...LOTTERY_CONTROLS, 'dense', 'ticket'].sort());
  expect(again).toEqual([
    found.get('dense'),
    again[1],
    found.get('ticket'),
    ...LOTTERY_CONTROLS.map((control) => found.get(control)),
  ]);
});

describe('the mask', () => {
  it.each(LOTTERY_CONTROLS.filter((control) => control !== 'random' && control !== 'oneShot'))(
    "of %s is the ticket's",
    (control) => {
      expect(found.get(control)!.masks).toEqual(found.get('ticket')!.masks);
    },
  );

  it.each(LOTTERY_CONTROLS)('of %s keeps as many entries of each layer', (control) => {
    const count = ({ masks }: Seen) => masks.map((mask) => mask.filter(Boolean).length);
    // Of 48 entries 1 - 0.7^2 go, of 24 of the output layer 1 - 0.85^2.
    expect(count(found.get(control)!)).toEqual([48 - 24, 24 - 7]);
  });

  it('of random has them in other places', () => {
    found.get('random')!.masks.forEach((mask, i) => {
      const ticket = found.get('ticket')!.masks[i]!;
      const shared = mask.filter((keep, k) => keep === 1 && ticket[k] === 1).length;
      expect(shared).toBeLessThan(mask.filter(Boolean).length);
    });
  });

  it('of oneShot is that of the largest weights of the trained dense network', () => {
    const { trained } = found.get('dense')!;
    expect(found.get('oneShot')!.masks).toEqual([
      largest(trained[0]!, 24),
      largest(trained[1]!, 7),
    ]);
    expect(found.get('oneShot')!.masks).not.toEqual(found.get('ticket')!.masks);
  });
});

describe('the weights', () => {
  it.each(['random', 'oneShot'] as const)('of %s are the initial ones', (control) => {
    expect(found.get(control)!.kernels).toEqual(initial);
  });

  it('of reinit are drawn anew by the initializer of the layer', () => {
    found.get('reinit')!.kernels.forEach((values, i) => {
      // Glorot normal: a normal distribution cut off at two deviations.
      const [inputs, outputs] = [
        [6, 8],
        [8, 3],
      ][i]!;
      const limit = 2 * Math.sqrt(2 / (inputs! + outputs!));
      for (const [k, value] of values.entries()) {
        expect(value).not.toBe(initial[i]![k]);
        expect(Math.abs(value)).toBeLessThan(limit);
      }
      expect(signs(values)).not.toEqual(signs(initial[i]!));
    });
  });

  it('of reinitSign are those, with the signs of the initial ones', () => {
    const { kernels } = found.get('reinitSign')!;
    const drawn = found.get('reinit')!.kernels;
    expect(kernels.map((values) => values.map(Math.abs))).toEqual(
      drawn.map((values) => values.map(Math.abs)),
    );
    expect(kernels.map(signs)).toEqual(initial.map(signs));
  });

  it('of shuffled are the same under the mask of each layer, in another order', () => {
    for (const { now, before } of layersOf('shuffled')) {
      expect(sorted(now)).toEqual(sorted(before));
      expect(now).not.toEqual(before);
      expect(signs(now)).not.toEqual(signs(before));
    }
  });

  it('of shuffledSign have the same magnitudes in another order, and their signs', () => {
    for (const { now, before } of layersOf('shuffledSign')) {
      expect(sorted(now.map(Math.abs))).toEqual(sorted(before.map(Math.abs)));
      expect(now.map(Math.abs)).not.toEqual(before.map(Math.abs));
      expect(signs(now)).toEqual(signs(before));
    }
  });

  it.each(['signOnly', 'loseSign'] as const)(
    'of %s have one magnitude: the deviation of the initial weights of the layer',
    (control) => {
      for (const { now, all } of layersOf(control)) {
        const mean = all.reduce((a, b) => a + b) / all.length;
        const variance = all.reduce((sum, value) => sum + (value - mean) ** 2, 0) / all.length;
        expect(now.map(Math.abs)).toBeAllClose(
          now.map(() => Math.sqrt(variance)),
          1e-6,
        );
      }
    },
  );

  it('of signOnly have the signs of the initial ones, those of loseSign have not', () => {
    for (const { now, before } of layersOf('signOnly')) expect(signs(now)).toEqual(signs(before));
    for (const { now, before } of layersOf('loseSign')) {
      const same = signs(now).filter((sign, i) => sign === signs(before)[i]).length;
      expect(same).toBeGreaterThan(0.2 * now.length);
      expect(same).toBeLessThan(0.8 * now.length);
    }
  });

  it('that are biases start at their initial values', () => {
    for (const { biases } of found.values()) {
      expect(biases).toEqual([new Array(8).fill(0), new Array(3).fill(0)]);
    }
  });
});

describe('with late rewinding', () => {
  it('the weights of a control are made of those of that step', async () => {
    const controls = ['random', 'signOnly', 'reinit'] as const;
    const { seen } = await watched({ rounds: 1, controls, rewindTo: 2, seeds: [SEED] });
    const [dense, ticket, random, signOnly, reinit] = seen;
    const [hidden, , output] = dense!.steps[1]!;
    expect(ticket!.kernels).toEqual([hidden, output]);
    expect(random!.kernels).toEqual([hidden, output]);
    expect(signOnly!.kernels.map(signs)).toEqual([signs(hidden!), signs(output!)]);
    expect(reinit!.kernels).toEqual(found.get('reinit')!.kernels);
    expect(reinit!.biases[0]).toEqual(new Array(8).fill(0));
  });
});

it('magnitudes may come to lie on weights of exactly 0', async () => {
  // An initializer that leaves half of the weights at 0.
  const kernel = () => tfl.initializers.identity({ gain: 1 });
  const model = tfl.sequential({
    layers: [
      tfl.layers.dense({ units: 6, kernelInitializer: kernel(), inputShape: [6] }),
      tfl.layers.dense({ units: 3 }),
    ],
  });
  const { seen } = await watched({ model, rounds: 1, controls: ['shuffledSign'] });
  const { kernels, masks } = seen[2]!;
  const before = kept(seen[1]!.kernels[0]!, masks[0]!);
  expect(sorted(kept(kernels[0]!, masks[0]!).map(Math.abs))).toEqual(sorted(before));
});
