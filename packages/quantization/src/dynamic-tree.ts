// Dettmers' 8-bit dynamic tree numbers, for gradients and for the state of optimizers.
import * as tf from '@tensorflow/tfjs-core';
import { checkOptions, DataError, NonFiniteError, OptionError } from '@thimble/base';
import { ThimbleCallback } from '@thimble/core';
import { nearestLevels } from './nearest-level.ts';

/** Numbers in 8 bits each. */
export interface DynamicTreeCodes {
  /** Places in {@link dynamicTreeTable}. */
  codes: Uint8Array;
  /** The largest magnitude, by which the values of the table are multiplied. */
  scale: number;
}

/**
 * The 256 values of the 8-bit dynamic tree type, ascending: a sign, an exponent in unary zeros (each a factor
 * of 1/10), a bit that ends it, and what is left as a fraction evenly spaced in [0.1, 1]. For i = 0 ... 6 the
 * 2^i midpoints of 2^i equal parts of [0.1, 1], times 10^(i-6), with both signs; 0; and 1.
 *
 * Paper: Dettmers, "8-Bit Approximations for Parallelism in Deep Learning", 2016, section 2.3.
 *
 * @example
 * dynamicTreeTable()[255]; // 1
 */
export function dynamicTreeTable(): Float32Array {
  const values = [0, 1];
  for (let i = 0; i < 7; i++) {
    for (let k = 0; k < 2 ** i; k++) {
      const value = (0.1 + (0.9 * (k + 0.5)) / 2 ** i) * 10 ** (i - 6);
      values.push(value, -value);
    }
  }
  return Float32Array.from(values).sort();
}

const TABLE = dynamicTreeTable();
const ZERO = TABLE.indexOf(0);

/**
 * The nearest codes for values over their largest magnitude; of two equally near ones the lower.
 *
 * @throws {NonFiniteError} naming the first value that is NaN or infinite; {DataError} for what is no array.
 * @example
 * const { codes, scale } = toDynamicTree(new Float32Array([0.5, -2, 0]));
 */
export function toDynamicTree(values: Float32Array): DynamicTreeCodes {
  return encoded('toDynamicTree', values);
}

function encoded(owner: string, values: Float32Array): DynamicTreeCodes {
  if (!ArrayBuffer.isView(values) && !Array.isArray(values)) {
    throw new DataError(`${owner}: values must be a Float32Array, not ${String(values)}.`);
  }
  let scale = 0;
  for (let i = 0; i < values.length; i++) {
    const size = Math.abs(values[i]!);
    if (!Number.isFinite(size)) throw new NonFiniteError(`${owner}: value ${i} is ${values[i]}.`);
    scale = Math.max(scale, size);
  }
  const codes = new Uint8Array(values.length).fill(ZERO);
  if (scale === 0) return { codes, scale };
  const shares = new Float32Array(values.length);
  for (let i = 0; i < values.length; i++) shares[i] = values[i]! / scale;
  nearestLevels(shares, TABLE, codes);
  return { codes, scale };
}

/**
 * The values of codes.
 *
 * @throws {DataError} for anything but codes and a scale.
 * @example
 * fromDynamicTree(toDynamicTree(new Float32Array([0.5, -2, 0]))); // near 0.5, near -2, 0
 */
export function fromDynamicTree(coded: DynamicTreeCodes): Float32Array {
  const { codes, scale } = coded ?? {};
  if (!(codes instanceof Uint8Array) || !Number.isFinite(scale)) {
    throw new DataError('fromDynamicTree: it takes { codes, scale } as toDynamicTree gives them.');
  }
  const values = new Float32Array(codes.length);
  for (let i = 0; i < codes.length; i++) values[i] = TABLE[codes[i]!]! * scale;
  return values;
}

/** The values as 8 bits hold them; `upward`: never below a value that is not negative. */
function through(owner: string, x: tf.Tensor, upward: boolean): tf.Tensor {
  const values = Float32Array.from(x.dataSync());
  if (upward) for (let i = 0; i < values.length; i++) values[i] = Math.sqrt(values[i]!);
  const coded = encoded(owner, values);
  const { codes, scale } = coded;
  if (upward) {
    for (let i = 0; i < codes.length; i++) {
      if (codes[i]! < 255 && TABLE[codes[i]!]! * scale < values[i]!) codes[i]!++;
    }
  }
  const result = fromDynamicTree(coded);
  if (upward) for (let i = 0; i < result.length; i++) result[i]! *= result[i]!;
  return tf.tensor(result, x.shape);
}

/** The callback that {@link eightBitGradients} makes. */
export class EightBitGradients extends ThimbleCallback {
  override gradients(gradients: tf.Tensor[]): tf.Tensor[] {
    return gradients.map((gradient) => through('eightBitGradients', gradient, false));
  }
}

/**
 * A callback that passes every gradient through 8 bits, each normalised by its largest magnitude, as they
 * would be sent between machines. Works in Thimble's `fit`.
 *
 * Paper: Dettmers 2016.
 *
 * @example
 * await fit(model, train, { epochs: 1, callbacks: [eightBitGradients()] });
 */
export function eightBitGradients(options: Record<string, never> = {}): EightBitGradients {
  checkOptions('eightBitGradients', options, []);
  return new EightBitGradients();
}

/** State that is not negative and that updates are divided by. */
const DIVISORS = /Second|MeanSquares|Updates|InfNorm|^accumulatedGrads$/;
const decorated = new WeakSet<tf.Optimizer>();

/**
 * Lets an optimizer keep its moments and accumulators to 8 bits: after every step each is rounded to the
 * values that {@link dynamicTreeTable} has over its largest magnitude. The optimizer is changed and returned.
 *
 * What updates are divided by (Adam's second moment, the accumulators of Adagrad, RMSProp and Adadelta) is
 * rounded as its square root, and upward: rounded to zero it would make updates of any size. This shows what
 * 8 bits do to training; TensorFlow.js itself stores the state as float32 all the same.
 *
 * @throws {OptionError} for an optimizer that does so already, and for what is none.
 * @example
 * await fit(model, train, { epochs: 1, optimizer: eightBitState(tf.train.adam(0.001)) });
 */
export function eightBitState<T extends tf.Optimizer>(optimizer: T): T {
  if (typeof optimizer?.applyGradients !== 'function') {
    throw new OptionError(
      'eightBitState: it takes an optimizer of TensorFlow.js, as tf.train.adam(0.001).',
    );
  }
  if (decorated.has(optimizer)) {
    throw new OptionError('eightBitState: this optimizer keeps its state to 8 bits already.');
  }
  decorated.add(optimizer);
  const { applyGradients } = optimizer;
  optimizer.applyGradients = (gradients) => {
    applyGradients.call(optimizer, gradients);
    for (const [property, slots] of Object.entries(optimizer)) {
      if (!Array.isArray(slots)) continue;
      for (const slot of slots as ({ variable?: tf.Variable } | undefined)[]) {
        const variable = slot?.variable;
        if (!variable) continue;
        tf.tidy(() => variable.assign(through('eightBitState', variable, DIVISORS.test(property))));
      }
    }
  };
  return optimizer;
}
