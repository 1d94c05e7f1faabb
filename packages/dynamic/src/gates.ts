// Hard gates: their gradient, and who looks on.
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import { currentContext, type StepContext } from '@thimble/core';

/** What a layer with gates decided in one pass, as {@link watchGates} shows it. */
export interface GateDecision {
  readonly layer: tfl.layers.Layer;
  /** [batch, gates], 1 where a gate is open, else 0. */
  readonly gates: tf.Tensor;
  /** [batch, gates], from which the layer decided; absent where another layer decided for it. */
  readonly logits?: tf.Tensor;
  /** Multiply-accumulates behind each gate; absent for a layer that only decides. */
  readonly macs?: readonly number[];
}

type Visit = (decision: GateDecision) => tf.Tensor | undefined;
let watcher: Visit | undefined;

/**
 * Runs the synchronous `body` and shows `visit` every decision of gates, in the order of the passes. Gates that
 * `visit` returns, [batch, gates] of zeros and ones, take the place of those of a layer that decides. The tensors
 * belong to the pass.
 *
 * @example
 * const open: tf.Tensor[] = [];
 * const note = ({ gates }) => { open.push(tf.sum(gates)); };
 * tf.tidy(() => watchGates(note, () => model.predict(x)));
 */
export function watchGates<T>(visit: Visit, body: () => T): T {
  const outer = watcher;
  watcher = (decision) => {
    const replaced = visit(decision);
    const seen = replaced ? { ...decision, gates: replaced } : decision;
    return outer?.(seen) ?? replaced;
  };
  try {
    return body();
  } finally {
    watcher = outer;
  }
}

/**
 * Runs `body` and keeps copies of all decisions, through which gradients go; {@link forget} disposes of them. `choose`
 * gives the gates to use instead, or undefined.
 */
export function recordGates<T>(
  body: () => T,
  choose: Visit = () => undefined,
): { result: T; decisions: GateDecision[] } {
  const decisions: GateDecision[] = [];
  const copy = (tensor: tf.Tensor) => tf.keep(tf.clone(tensor));
  const visit = (decision: GateDecision) => {
    const chosen = choose(decision);
    const { logits, gates } = decision;
    const kept = { ...decision, gates: copy(chosen ?? gates) };
    decisions.push(logits ? { ...kept, logits: copy(logits) } : kept);
    return chosen;
  };
  try {
    return { result: watchGates(visit, body), decisions };
  } catch (error) {
    forget(decisions);
    throw error;
  }
}

/** Disposes of what {@link recordGates} kept. */
export function forget(decisions: readonly GateDecision[]): void {
  for (const { gates, logits } of decisions) tf.dispose(logits ? [gates, logits] : gates);
}

/** The gates to go on with, after whoever watches has seen them. */
export function shown(decision: GateDecision): tf.Tensor {
  return watcher?.(decision) ?? decision.gates;
}

/**
 * 1 where `z > 0`, else 0; backward as a sigmoid has it: `dz = dy s(z) (1 - s(z))` (straight-through).
 */
export function step(z: tf.Tensor): tf.Tensor {
  const op = tf.customGrad((...args) => {
    const [value, save] = args as [tf.Tensor, tf.GradSaveFunc];
    save([value]);
    return {
      value: tf.cast(tf.greater(value, 0), 'float32'),
      gradFunc(dy: tf.Tensor, saved: tf.Tensor[]) {
        const p = tf.sigmoid(saved[0]!);
        return tf.mul(dy, tf.mul(p, tf.sub(1, p)));
      },
    };
  });
  return op(z);
}

/** Uniform numbers for the gates of a step. */
export function tossing(context: StepContext): (shape: number[]) => tf.Tensor {
  const random = context.random('gates');
  return (shape) => {
    const size = shape.reduce((product, n) => product * n, 1);
    return tf.tensor(
      Float32Array.from({ length: size }, () => random.uniform()),
      shape,
    );
  };
}

/**
 * Gates for logits `l`: open where `l > 0`; with noise, in training, where `l + log u - log(1 - u) > 0` with u
 * uniform, that is with the probability `sigmoid(l)` (the binary form of Gumbel's trick).
 */
export function decide(
  key: string,
  logits: tf.Tensor,
  { training, noise }: { training: boolean; noise: boolean },
): tf.Tensor {
  if (!training || !noise) return step(logits);
  const u = tf.clipByValue(currentContext(true).random(key, logits.shape), 1e-6, 1 - 1e-6);
  return step(tf.add(logits, tf.sub(tf.log(u), tf.log(tf.sub(1, u)))));
}
