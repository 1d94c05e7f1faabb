// What gates cost: in training as a penalty, afterwards as a count.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkInteger, checkOptions, checkRange, NoMatchError } from '@thimble/base';
import { type Schedule, type StepContext, summarize, ThimbleCallback } from '@thimble/core';
import { forget, type GateDecision, recordGates } from './gates.ts';

/** Options of {@link gateCost}. */
export interface GateCostOptions {
  /** Weight of the penalty, or one of `schedules`; default 1. */
  strength?: number | Schedule;
  /**
   * Part of the gated multiply-accumulates up to which nothing is charged, from 0 to 1, or one of `schedules`;
   * default 0.
   */
  target?: number | Schedule;
}

/** The layers in the order in which they decided, those alone that stand before something. */
export function branching(decisions: readonly GateDecision[]): Required<GateDecision>[] {
  return decisions.filter(({ macs }) => macs !== undefined) as Required<GateDecision>[];
}

/**
 * Of each sample [batch]: multiply-accumulates behind open gates, as part of those behind all gates. Where nothing
 * is known to cost anything, gates count alike.
 */
export function openPart(decisions: readonly GateDecision[]): tf.Tensor1D {
  const gated = branching(decisions);
  const sum = gated.reduce((all, { macs }) => all + macs.reduce((a, b) => a + b, 0), 0);
  const gates = gated.reduce((all, { macs }) => all + macs.length, 0);
  const parts = gated.map(({ gates: open, macs }) => {
    const weights = macs.map((n) => (sum > 0 ? n / sum : 1 / gates));
    return tf.sum(tf.mul(open, tf.tensor2d([weights])), 1);
  });
  return tf.addN(parts) as tf.Tensor1D;
}

/** Throws a NoMatchError where a pass met no gates, after forgetting what it met. */
export function requireGates(owner: string, decisions: readonly GateDecision[]): void {
  if (branching(decisions).length > 0) return;
  forget(decisions);
  throw new NoMatchError(
    `${owner}: the model has no gated layers. Build it with gatedBlock or gatedConv2d.`,
  );
}

class GateCost extends ThimbleCallback {
  readonly #options: Required<GateCostOptions>;
  #decisions: GateDecision[] = [];

  constructor(options: Required<GateCostOptions>) {
    super();
    this.#options = options;
  }

  override forward(run: () => tf.Tensor[]): tf.Tensor[] {
    forget(this.#decisions);
    const { result, decisions } = recordGates(run);
    this.#decisions = decisions;
    requireGates('gateCost', decisions);
    return result;
  }

  override loss(loss: tf.Scalar, _outputs: tf.Tensor[], context: StepContext): tf.Scalar {
    const { strength, target } = this.#now(context);
    const over = tf.sub(tf.mean(openPart(this.#decisions)), target);
    forget(this.#decisions);
    this.#decisions = [];
    return tf.add(loss, tf.mul(strength, tf.relu(over)));
  }

  #now({ epoch, step }: StepContext): { strength: number; target: number } {
    const { steps, epochs } = this.params;
    const at = { epoch, step, stepsPerEpoch: Number(steps), epochs: Number(epochs) };
    const { strength, target } = this.#options;
    return {
      strength: typeof strength === 'number' ? strength : strength(at),
      target: typeof target === 'number' ? target : target(at),
    };
  }
}

/**
 * Charges for open gates: `loss + strength max(0, cost - target)`, with `cost` the mean over the batch of the
 * multiply-accumulates behind open gates, as part of those behind all gates. It takes part in Thimble's `fit` alone.
 * Gates of a trained network close more gently where the target comes down from 1: `schedules.linear(1, { final: 0.5 })`.
 *
 * Paper: Wang et al., "SkipNet", 2018, section 3.2 (without a target); the target is that of Veit, Belongie, 2018.
 *
 * @throws {OptionError} for numbers out of range; {NoMatchError} in the first step, for a model without gates.
 * @example
 * const gated = tfl.sequential({ layers: [
 *   gatedBlock({ layers: [tfl.layers.dense({ units: 784 })], inputShape: [784] }),
 *   tfl.layers.dense({ units: 10, activation: 'softmax' }),
 * ] });
 * const flat = { xs: tf.reshape(images, [-1, 784]), ys: labels };
 * const callbacks = [gateCost({ strength: 1, target: 0.5 })];
 * await fit(gated, flat, { epochs: 1, loss: 'categoricalCrossentropy', callbacks });
 */
export function gateCost(options: GateCostOptions = {}): ThimbleCallback {
  checkOptions('gateCost', options, ['strength', 'target']);
  const { strength = 1, target = 0 } = options;
  // Schedules are asked at every step; numbers can be judged now.
  if (typeof strength !== 'function') checkRange('gateCost', 'strength', strength, 0);
  if (typeof target !== 'function') checkRange('gateCost', 'target', target, 0, 1);
  return new GateCost({ strength, target });
}

/** What {@link gateUsage} found. */
export interface GateUsage {
  /** The model's output. The caller disposes of it. */
  scores: tf.Tensor;
  /** Of each sample, how many gates were open. */
  executed: Int32Array;
  /** Of each sample, multiply-accumulates of what was computed. */
  macs: Float64Array;
  /** Gates in the model, and multiply-accumulates with all of them open. */
  total: { gates: number; macs: number };
}

/**
 * Predicts, and tells for each sample how many gated parts were computed and what that cost.
 *
 * @throws {NoMatchError} for a model without gated layers.
 * @example
 * const gated = tfl.sequential({ layers: [
 *   gatedBlock({ layers: [tfl.layers.dense({ units: 784 })], inputShape: [784] }),
 *   tfl.layers.dense({ units: 10, activation: 'softmax' }),
 * ] });
 * const { executed, macs, total } = gateUsage(gated, tf.reshape(images, [-1, 784]));
 * total.gates; // 1
 */
export function gateUsage(
  model: LayersModel,
  x: tf.Tensor,
  options: { batchSize?: number } = {},
): GateUsage {
  checkOptions('gateUsage', options, ['batchSize']);
  const { batchSize = 256 } = options;
  checkInteger('gateUsage', 'batchSize', batchSize, 1);
  const size = x.shape[0]!;
  const all = summarize(model).total.macs;
  const executed = new Int32Array(size);
  const macs = new Float64Array(size).fill(all);
  let gates = 0;
  const outputs: tf.Tensor[] = [];
  try {
    for (let first = 0; first < size; first += batchSize) {
      const count = Math.min(batchSize, size - first);
      const { result, decisions } = recordGates(() =>
        tf.tidy(() => model.predictOnBatch(tf.slice(x, first, count)) as tf.Tensor),
      );
      outputs.push(result);
      requireGates('gateUsage', decisions);
      gates = 0;
      for (const { gates: open, macs: costs } of branching(decisions)) {
        gates += costs.length;
        const values = open.dataSync();
        for (let i = 0; i < count; i++) {
          costs.forEach((cost, gate) => {
            if (values[i * costs.length + gate]! > 0) executed[first + i]!++;
            else macs[first + i]! -= cost;
          });
        }
      }
      forget(decisions);
    }
    return { scores: tf.concat(outputs, 0), executed, macs, total: { gates, macs: all } };
  } finally {
    tf.dispose(outputs);
  }
}
