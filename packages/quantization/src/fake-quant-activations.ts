// Activations rounded over a range that is watched: the ordinary quantisation of activations.
import * as tf from '@tensorflow/tfjs-core';
import { checkOptions, checkRange, DataError, NonFiniteError } from '@thimble/base';
import type { ActivationCode } from '@thimble/core';

import {
  type ActivationQuantizer,
  type ActivationSite,
  FROZEN,
  Numbers,
  OBSERVE,
  registerActivationQuantizer,
} from './activation.ts';
import { type Coded, codesOf, untracked } from './codes.ts';
import { checkBits } from './fake-quant.ts';
import type { GridOptions } from './grid.ts';

/** Options of {@link fakeQuantActivations}. */
export interface FakeQuantActivationsOptions extends GridOptions {
  /** Weight of what was before in the moving averages of the range, 0 to 1. Default 0.99. */
  decay?: number;
}

/** The range at one place: `numbers` holds min, max and the number of batches seen. */
export interface ActivationRangeState {
  layer: string;
  numbers: Numbers;
}

const CLASS_NAME = 'ThimbleFakeQuantActivations';

/**
 * Quantises activations over one range for all of a tensor, a moving average of the smallest and largest
 * value of the training batches.
 *
 * - range: that of the first batch, then `min = decay min + (1 - decay) min(batch)`, the same for `max`;
 *   widened to include 0 and nudged so that 0 is exact (padding is exact then)
 * - scale `s = (max - min) / (high - low)` rounded to float32, zero point
 *   `z = floor(low - min / s + 0.5)`; codes 0 to `2^bits - 1`. With `symmetric` `s = 2 max|x| / (high - low)`
 *   and `z = 2^(bits - 1)`; with `narrowRange` code 0 is not used
 * - forward: `x' = s (clip(round(x / s) + z, low, high) - z)`; halves round to even
 * - backward: `dL/dx = dL/dx'` inside the range, else 0
 *
 * Ranges move with the data also where the layer is not trainable, as statistics of batch normalisation
 * do. Without a range yet (no batch of training was seen and none was set) activations pass as they are. Range
 * and stage are weights of the layer: saved, loaded and checkpointed. A training step reads two numbers
 * back from the device, for which WebGPU has no synchronous way.
 *
 * Paper: Jacob et al. 2018, section 3.1.
 *
 * @throws {NonFiniteError} naming the layer, for NaN or infinite activations in training.
 * @example
 * const layer = quantizeAware(tfl.layers.dense({ units: 300 }), {
 *   activations: fakeQuantActivations({ bits: 8, decay: 0.999 }),
 * });
 */
export function fakeQuantActivations(
  options: FakeQuantActivationsOptions,
): ActivationQuantizer<ActivationRangeState> {
  const owner = 'fakeQuantActivations';
  checkOptions(owner, options, ['bits', 'symmetric', 'narrowRange', 'decay']);
  checkBits(owner, options.bits);
  const { decay = 0.99 } = options;
  checkRange(owner, 'decay', decay, 0, 1);

  const watch = (x: tf.Tensor, { layer, numbers }: ActivationRangeState) => {
    const [low, high] = untracked(() =>
      tf.tidy(() => [tf.min(x).dataSync()[0]!, tf.max(x).dataSync()[0]!]),
    ) as [number, number];
    if (!(Number.isFinite(low) && Number.isFinite(high))) {
      throw new NonFiniteError(
        `${owner}: the activations at layer "${layer}" have ${Number.isFinite(low) ? high : low} among them. Lower the learning rate, or check data and weights.`,
      );
    }
    const [min, max, seen] = numbers.values as unknown as [number, number, number];
    const mean = (before: number, now: number) =>
      seen === 0 ? now : decay * before + (1 - decay) * now;
    assign(numbers.variable, [mean(min, low), mean(max, high), seen + 1]);
  };

  const codeOf = ({ numbers }: ActivationRangeState): ActivationCode | undefined => {
    const [min, max, seen] = numbers.values as unknown as [number, number, number];
    return seen === 0 ? undefined : activationCodeOf(min, max, options);
  };

  return {
    getClassName: () => CLASS_NAME,
    getConfig: () => ({ ...options }),
    buildActivation: (site: ActivationSite) => ({
      layer: site.layer,
      numbers: new Numbers(site.addWeight('moving_range', [3], 0, false)),
    }),
    quantize(x, state, { training, stage }) {
      if (training && stage < FROZEN) watch(x, state);
      const code = stage === OBSERVE ? undefined : codeOf(state);
      return code && codedBy(x, code);
    },
    activationCode: codeOf,
    setRange({ layer, numbers }, min, max) {
      if (!(Number.isFinite(min) && Number.isFinite(max) && min < max)) {
        throw new DataError(
          `${owner}: ${min} to ${max} is no range for the activations at layer "${layer}". Calibrate with data that varies.`,
        );
      }
      assign(numbers.variable, [min, max, Math.max(1, numbers.values[2]!)]);
    },
  };
}
registerActivationQuantizer(CLASS_NAME, (config) =>
  fakeQuantActivations(config as unknown as FakeQuantActivationsOptions),
);

/** The code of a range: see {@link fakeQuantActivations}. */
export function activationCodeOf(min: number, max: number, options: GridOptions): ActivationCode {
  const { bits, symmetric = false, narrowRange = false } = options;
  const low = narrowRange ? 1 : 0;
  const high = 2 ** bits - 1;
  const bottom = Math.min(min, 0);
  const top = Math.max(max, 0);
  const width = symmetric ? 2 * Math.max(-bottom, top) : top - bottom;
  const scale = width > SMALLEST ? Math.fround(width / (high - low)) : 1;
  const zeroPoint = symmetric
    ? 2 ** (bits - 1)
    : Math.min(high, Math.max(low, Math.floor(low - bottom / scale + 0.5)));
  return { bits, scale, zeroPoint, low, high };
}

/** Below this a range is taken for empty. */
const SMALLEST = 1e-30;

/** Values rounded as the code says. */
export function codedBy(x: tf.Tensor, { scale, zeroPoint, low, high }: ActivationCode): Coded {
  const step = tf.scalar(scale);
  const codes = codesOf(x, { scale: step, low: low - zeroPoint, high: high - zeroPoint });
  return { codes, scale: step, axis: null, learned: false };
}

function assign(variable: tf.Variable, values: number[]): void {
  tf.tidy(() => variable.assign(tf.tensor(values, variable.shape)));
}
