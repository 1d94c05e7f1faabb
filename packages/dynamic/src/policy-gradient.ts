// Gates learned by policy gradients: SkipNet's second stage and BlockDrop.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { checkOptions, checkRange, UnsupportedError } from '@thimble/base';
import { losses, type StepContext, ThimbleCallback } from '@thimble/core';
import { givesProbabilities } from './exit-plan.ts';
import { openPart, requireGates } from './gate-usage.ts';
import { decide, forget, type GateDecision, recordGates, shown, tossing } from './gates.ts';

/** Arguments of {@link policyGate}. */
export interface PolicyGateArgs extends NonNullable<Parameters<typeof tfl.layers.flatten>[0]> {
  /** Default false: 1 where the logit is above 0; true: drawn at random in training. */
  noise?: boolean;
}

/**
 * BlockDrop's decisions: of the logits [batch, blocks] of a policy network, 1 where a block is kept, else 0; all of them
 * made from the image, before the first block. Blocks look at their column: `gatedBlock({ layers, column: k })`.
 * The gradient is straight-through, as {@link gatedBlock} says.
 *
 * Paper: Wu et al., "BlockDrop: Dynamic Inference Paths in Residual Networks", 2018, section 3.
 *
 * @example
 * const image = tfl.input({ shape: [16] });
 * const decisions = policyGate().apply(tfl.layers.dense({ units: 2 }).apply(image));
 * const block = (column: number) => gatedBlock({ layers: [tfl.layers.dense({ units: 16 })], column });
 * const first = block(0).apply([image, decisions]);
 * const second = block(1).apply([first, decisions]);
 */
export function policyGate(args: PolicyGateArgs = {}): tfl.layers.Layer {
  return new ThimblePolicyGate(args);
}

class ThimblePolicyGate extends tfl.layers.Layer {
  static className = 'ThimblePolicyGate';
  readonly #noise: boolean;

  constructor(args: PolicyGateArgs) {
    super(args);
    this.#noise = args.noise ?? false;
  }

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: { [key: string]: unknown }): tf.Tensor {
    return tf.tidy(() => {
      const [logits] = [inputs].flat() as [tf.Tensor];
      const training = kwargs?.training === true;
      const gates = decide(this.name, logits, { training, noise: this.#noise });
      return shown({ layer: this, gates, logits });
    });
  }

  override getConfig(): tf.serialization.ConfigDict {
    return { ...super.getConfig(), noise: this.#noise };
  }
}
tf.serialization.registerClass(ThimblePolicyGate as never);

/** Options of {@link reinforcedGates}. */
export interface ReinforcedGatesOptions {
  /** What open gates cost beside the loss; default 0.1. */
  alpha?: number;
  /** Of the probabilities `sigmoid(logit / temperature)`; default 0.2. Small: what is drawn is near what is predicted. */
  temperature?: number;
}

/** Options of {@link blockDrop}. */
export interface BlockDropOptions {
  /** What a wrong answer costs; default 5. */
  gamma?: number;
  /** Draws with `p' = bound p + (1 - bound)(1 - p)`, so that something is always tried; default 0.8. */
  bound?: number;
  /** Default true: only the last block is decided in the first epoch, the last two in the second, and so on. */
  curriculum?: boolean;
}

/** How gates are drawn: with bounded probabilities, the first `held` of all kept open. */
interface Drawing {
  bound: number;
  temperature: number;
  held(gates: number): number;
}

/** [1, count]: 0 for the gates that are kept open, after `before` others, 1 for those that are free. */
function freeOnes(count: number, before: number, { held }: Drawing): tf.Tensor2D {
  const open = held(count) - before;
  return tf.tensor2d([Array.from({ length: count }, (_, i) => (i < open ? 0 : 1))]);
}

function probabilities(logits: tf.Tensor, { bound, temperature }: Drawing): tf.Tensor {
  const own = tf.sigmoid(tf.div(logits, temperature));
  return tf.add(tf.mul(own, 2 * bound - 1), 1 - bound);
}

/** Runs a pass with gates drawn from their own probabilities, or with the likelier ones. */
function passWith(
  how: Drawing,
  toss: ((shape: number[]) => tf.Tensor) | undefined,
  body: () => tf.Tensor[],
): { result: tf.Tensor[]; decisions: GateDecision[] } {
  let before = 0;
  return recordGates(body, ({ logits, gates }) => {
    if (!logits) return undefined;
    const count = logits.shape[1]!;
    const free = freeOnes(count, before, how);
    before += count;
    return constant(() => {
      const chosen = toss
        ? tf.cast(tf.less(toss(logits.shape), probabilities(logits, how)), 'float32')
        : gates;
      return tf.maximum(chosen, tf.sub(1, free));
    });
  });
}

/** [batch]: the logarithm of the probability of what was drawn. */
function logProbability(decisions: readonly GateDecision[], how: Drawing): tf.Tensor {
  let before = 0;
  const logs = decisions.flatMap(({ logits, gates }) => {
    if (!logits) return [];
    const count = logits.shape[1]!;
    const free = freeOnes(count, before, how);
    before += count;
    const p = probabilities(logits, how);
    const chosen = tf.add(tf.mul(gates, p), tf.mul(tf.sub(1, gates), tf.sub(1, p)));
    return [tf.sum(tf.mul(tf.log(tf.add(chosen, 1e-7)), free), 1)];
  });
  return logs.length > 0 ? tf.addN(logs) : tf.scalar(0);
}

/** What `body` gives, as a constant: no gradient goes through it. */
function constant(body: () => tf.Tensor): tf.Tensor {
  const op = tf.customGrad(() => ({
    value: tf.clone(body()),
    gradFunc: () => tf.zeros([]),
  }));
  return op(tf.scalar(0));
}

/** `-mean(advantage log p)`. */
function policyLoss(
  advantage: () => tf.Tensor,
  decisions: readonly GateDecision[],
  how: Drawing,
): tf.Scalar {
  const log = logProbability(decisions, how);
  return tf.neg(tf.mean(tf.mul(constant(advantage), log))) as tf.Scalar;
}

function outputOf(owner: string, { model }: StepContext): tfl.SymbolicTensor {
  if (model.outputs.length === 1) return model.outputs[0]!;
  throw new UnsupportedError(
    `${owner}: the model has ${model.outputs.length} outputs; one is needed.`,
  );
}

class ReinforcedGates extends ThimbleCallback {
  readonly #alpha: number;
  readonly #drawing: Drawing;
  #decisions: GateDecision[] = [];

  constructor({ alpha, temperature }: Required<ReinforcedGatesOptions>) {
    super();
    this.#alpha = alpha;
    this.#drawing = { bound: 1, temperature, held: () => 0 };
  }

  override forward(run: () => tf.Tensor[], context: StepContext): tf.Tensor[] {
    forget(this.#decisions);
    const { result, decisions } = passWith(this.#drawing, tossing(context), run);
    this.#decisions = decisions;
    requireGates('reinforcedGates', decisions);
    return result;
  }

  override loss(loss: tf.Scalar, outputs: tf.Tensor[], context: StepContext): tf.Scalar {
    const entropy = givesProbabilities(outputOf('reinforcedGates', context))
      ? losses.categoricalCrossentropy
      : losses.categoricalCrossentropyFromLogits;
    const advantage = () => {
      const each = entropy(context.batch.ys[0]!, outputs[0]!);
      const reward = tf.neg(tf.add(each, tf.mul(this.#alpha, openPart(this.#decisions))));
      return tf.sub(reward, tf.mean(reward));
    };
    const total = tf.add(loss, policyLoss(advantage, this.#decisions, this.#drawing)) as tf.Scalar;
    forget(this.#decisions);
    this.#decisions = [];
    return total;
  }
}

/**
 * SkipNet's second stage, hybrid reinforcement learning: gates are drawn from their probabilities, the network learns from
 * the loss as always, the gates from `-mean_i (R_i - mean R) log p(gates_i)`, with the reward
 * `R_i = -(CE_i + alpha cost_i)` and the cost as {@link gateCost} has it, for each sample. Train with {@link gateCost}
 * first: from scratch this fails, as in the paper, and so do draws that have little to do with what is predicted. For
 * one-hot labels; Thimble's `fit` alone.
 *
 * Papers: Wang et al., "SkipNet", 2018, section 3.3; Williams, 1992 (REINFORCE; the mean reward as baseline).
 *
 * @throws {OptionError} for an alpha below 0; {NoMatchError} in the first step, for a model without gates.
 * @example
 * const gated = tfl.sequential({ layers: [
 *   gatedBlock({ layers: [tfl.layers.dense({ units: 784 })], inputShape: [784] }),
 *   tfl.layers.dense({ units: 10, activation: 'softmax' }),
 * ] });
 * const flat = { xs: tf.reshape(images, [-1, 784]), ys: labels };
 * const callbacks = [reinforcedGates({ alpha: 0.1 })];
 * await fit(gated, flat, { epochs: 1, loss: 'categoricalCrossentropy', callbacks });
 */
export function reinforcedGates(options: ReinforcedGatesOptions = {}): ThimbleCallback {
  checkOptions('reinforcedGates', options, ['alpha', 'temperature']);
  const { alpha = 0.1, temperature = 0.2 } = options;
  checkRange('reinforcedGates', 'alpha', alpha, 0);
  checkRange('reinforcedGates', 'temperature', temperature, 1e-3);
  return new ReinforcedGates({ alpha, temperature });
}

class BlockDrop extends ThimbleCallback {
  readonly #options: Required<BlockDropOptions>;
  #decisions: GateDecision[] = [];
  #baseline: tf.Tensor | undefined;

  constructor(options: Required<BlockDropOptions>) {
    super();
    this.#options = options;
  }

  #drawing({ epoch }: StepContext): Drawing {
    const { bound, curriculum } = this.#options;
    return {
      bound,
      temperature: 1,
      held: (gates) => (curriculum ? Math.max(0, gates - 1 - epoch) : 0),
    };
  }

  override forward(run: () => tf.Tensor[], context: StepContext): tf.Tensor[] {
    forget(this.#decisions);
    this.#decisions = [];
    const how = this.#drawing(context);
    const { model, batch } = context;
    // The likelier decisions first, in inference mode, so that nothing is drawn or learned.
    const likelier = () => [model.call(batch.xs, { training: false })].flat() as tf.Tensor[];
    const greedy = passWith(how, undefined, likelier);
    requireGates('blockDrop', greedy.decisions);
    this.#baseline = constant(() =>
      this.#reward(rightOnes(context, greedy.result[0]!), openPart(greedy.decisions)),
    );
    forget(greedy.decisions);
    const { result, decisions } = passWith(how, tossing(context), run);
    this.#decisions = decisions;
    return result;
  }

  override loss(loss: tf.Scalar, outputs: tf.Tensor[], context: StepContext): tf.Scalar {
    outputOf('blockDrop', context);
    const advantage = () => {
      const reward = this.#reward(rightOnes(context, outputs[0]!), openPart(this.#decisions));
      return tf.sub(reward, this.#baseline!);
    };
    const policy = policyLoss(advantage, this.#decisions, this.#drawing(context));
    forget(this.#decisions);
    this.#decisions = [];
    this.#baseline = undefined;
    return tf.add(loss, policy);
  }

  #reward(right: tf.Tensor, part: tf.Tensor): tf.Tensor {
    const saved = tf.sub(1, tf.square(part));
    return tf.sub(tf.mul(right, saved), tf.mul(tf.sub(1, right), this.#options.gamma));
  }
}

/** [batch]: 1 where the largest score is that of the label. */
function rightOnes({ batch }: StepContext, scores: tf.Tensor): tf.Tensor {
  return tf.cast(tf.equal(tf.argMax(scores, -1), tf.argMax(batch.ys[0]!, -1)), 'float32');
}

/**
 * BlockDrop: decisions learned by rewards. The policy's part of the loss is `-mean_i (R(u_i) - R(v_i)) log p(u_i)`, with u
 * drawn and v the likelier decisions (self-critical baseline), and `R = 1 - c^2` for a right answer, `-gamma` for a wrong
 * one; c is the part of the gated multiply-accumulates that is executed (the paper counts blocks). The network
 * learns from its loss along the drawn blocks: freeze its layers while the policy learns, then train both. It must bear
 * the loss of a block, or nothing is worth dropping: train a network of few blocks with {@link randomGates} first.
 * For gates of any kind, as a rule those of a {@link policyGate}; one-hot labels; Thimble's `fit` alone.
 *
 * Paper: Wu et al., "BlockDrop", 2018, sections 3.1 to 3.3.
 *
 * @throws {OptionError} for numbers out of range; {NoMatchError} in the first step, for a model without gates.
 * @example
 * const gated = tfl.sequential({ layers: [
 *   gatedBlock({ layers: [tfl.layers.dense({ units: 784 })], inputShape: [784] }),
 *   tfl.layers.dense({ units: 10, activation: 'softmax' }),
 * ] });
 * const flat = { xs: tf.reshape(images, [-1, 784]), ys: labels };
 * await fit(gated, flat, { epochs: 1, loss: 'categoricalCrossentropy', callbacks: [blockDrop()] });
 */
export function blockDrop(options: BlockDropOptions = {}): ThimbleCallback {
  checkOptions('blockDrop', options, ['gamma', 'bound', 'curriculum']);
  const { gamma = 5, bound = 0.8, curriculum = true } = options;
  checkRange('blockDrop', 'gamma', gamma, 0);
  checkRange('blockDrop', 'bound', bound, 0.5, 1);
  return new BlockDrop({ gamma, bound, curriculum });
}
