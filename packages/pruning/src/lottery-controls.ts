// What a lottery ticket is compared with: other initial weights, other masks.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { Random } from '@thimble/base';
import { copyModel, copyValues } from '@thimble/core';
import { setMask } from './mask.ts';
import { ensureMasks, type MaskedWeight } from './masked-weights.ts';

/**
 * What is done to a ticket before it is trained:
 *
 * - `reinit`: its mask, weights drawn anew; `reinitSign`: the same with the signs of the ticket's weights
 * - `random`: as many random entries kept in each layer, the ticket's initial weights
 * - `shuffled`: its mask, the initial weights under it shuffled within each layer; `shuffledSign`: the
 *   magnitudes shuffled, the signs kept
 * - `signOnly`: its mask, every weight the deviation of its layer's initial weights, with the sign kept;
 *   `loseSign`: the same with random signs
 * - `oneShot`: the same sparsity by pruning the trained dense network once
 */
export type LotteryControl =
  | 'reinit'
  | 'reinitSign'
  | 'random'
  | 'shuffled'
  | 'shuffledSign'
  | 'signOnly'
  | 'loseSign'
  | 'oneShot';

/** Names of all controls. */
export const LOTTERY_CONTROLS: readonly LotteryControl[] = [
  'reinit',
  'reinitSign',
  'random',
  'shuffled',
  'shuffledSign',
  'signOnly',
  'loseSign',
  'oneShot',
];

/** A model with its masked kernels. */
export interface Masked {
  model: LayersModel;
  weights: readonly MaskedWeight[];
}

/** A copy of the network as it was drawn from a seed, or with the given weights, with masks on its kernels. */
export function drawn(owner: string, template: LayersModel, seed: number | string): Masked {
  const model = copyModel(template, { seed });
  return { model, weights: ensureMasks(owner, model) };
}

/** Sets the masks of all kernels. */
export function setMasks({ weights }: Masked, masks: readonly Uint8Array[]): void {
  weights.forEach(({ weight }, i) => {
    setMask(weight, masks[i]!);
  });
}

/**
 * Turns a network that holds a ticket's initial weights into a control. `masks` are the ticket's; the
 * result is the masks to train with (others for `random` alone).
 */
export function makeControl(
  control: Exclude<LotteryControl, 'oneShot'>,
  network: Masked,
  template: LayersModel,
  masks: readonly Uint8Array[],
  seed: number | string,
): readonly Uint8Array[] {
  const random = new Random(seed, 'lottery', control);
  if (control === 'random') return masks.map((mask) => shuffledMask(mask, random));
  if (control === 'reinit' || control === 'reinitSign')
    reinitialise(control, network, template, seed);
  else {
    network.weights.forEach(({ weight }, i) => {
      change(weight.variable, (values) => rearranged(control, values, masks[i]!, random));
    });
  }
  return masks;
}

/** A copy of the values of a variable. */
export function valuesOf(variable: tf.Variable): Float32Array {
  return Float32Array.from(variable.dataSync());
}

/** Writes values into a variable. */
export function setValues(variable: tf.Variable, values: Float32Array): void {
  tf.tidy(() => variable.assign(tf.tensor(values, variable.shape)));
}

function change(variable: tf.Variable, make: (values: Float32Array) => Float32Array): void {
  setValues(variable, make(valuesOf(variable)));
}

function reinitialise(
  control: 'reinit' | 'reinitSign',
  network: Masked,
  template: LayersModel,
  seed: number | string,
): void {
  const fresh = drawn('lotteryTicket', template, `${seed}/again`);
  const signs = network.weights.map(({ weight }) => valuesOf(weight.variable));
  copyValues(fresh.model, network.model);
  fresh.model.dispose();
  if (control === 'reinit') return;
  network.weights.forEach(({ weight }, i) => {
    change(weight.variable, (values) =>
      values.map((value, k) => (signs[i]![k]! < 0 ? -Math.abs(value) : Math.abs(value))),
    );
  });
}

/** As many ones in random places. */
function shuffledMask(mask: Uint8Array, random: Random): Uint8Array {
  return Uint8Array.from(random.permutation(mask.length), (place) => mask[place]!);
}

function rearranged(
  control: 'shuffled' | 'shuffledSign' | 'signOnly' | 'loseSign',
  values: Float32Array,
  mask: Uint8Array,
  random: Random,
): Float32Array {
  if (control === 'signOnly' || control === 'loseSign') {
    const size = deviation(values);
    const sign = (value: number) =>
      control === 'signOnly' ? (value < 0 ? -1 : 1) : random.uniform() < 0.5 ? -1 : 1;
    return values.map((value) => sign(value) * size);
  }
  const places = Uint32Array.from(mask.keys()).filter((i) => mask[i] === 1);
  const order = random.permutation(places.length);
  const result = values.slice();
  for (const [i, place] of places.entries()) {
    const moved = values[places[order[i]!]!]!;
    const size = values[place]! < 0 ? -Math.abs(moved) : Math.abs(moved);
    result[place] = control === 'shuffledSign' ? size : moved;
  }
  return result;
}

/** The root mean square distance from the mean. */
export function deviation(values: ArrayLike<number>): number {
  let [sum, squares] = [0, 0];
  for (let i = 0; i < values.length; i++) {
    sum += values[i]!;
    squares += values[i]! * values[i]!;
  }
  const mean = sum / values.length;
  return Math.sqrt(Math.max(0, squares / values.length - mean * mean));
}
