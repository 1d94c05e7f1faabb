// Probabilities that follow the bits they are asked about, alone and mixed.
import type { BitCoder } from './arithmetic-decoder.ts';

const LEAST = 1 / 4096 / 16;

/** How much a probability moves after its n-th bit: 1 / (n + 1.6), and no less than one in `memory`. */
function ratesFor(memory: number): Float64Array {
  return Float64Array.from({ length: 256 }, (_, n) => Math.max(1 / (n + 1.6), 1 / memory));
}

/**
 * Contexts, each with its own probability of a 1: it starts at one half and moves towards every bit by
 * 1 / (n + 1.6) at first and by one in `memory` later. Only IEEE sums, products and quotients, so every
 * machine computes the same.
 */
export class AdaptiveBits {
  readonly #coder: BitCoder;
  readonly #ones: Float64Array;
  readonly #seen: Uint8Array;
  readonly #rates: Float64Array;

  constructor(coder: BitCoder, contexts: number, memory: number = 256) {
    this.#coder = coder;
    this.#ones = new Float64Array(contexts).fill(0.5);
    this.#seen = new Uint8Array(contexts);
    this.#rates = ratesFor(memory);
  }

  /** Codes a bit in a context. */
  bit(context: number, bit: number): number {
    const one = this.#ones[context]!;
    const coded = this.#coder.bit(one, bit);
    const seen = this.#seen[context]!;
    const moved = one + (coded - one) * this.#rates[seen]!;
    this.#ones[context] = moved < LEAST ? LEAST : moved > 1 - LEAST ? 1 - LEAST : moved;
    if (seen < 255) this.#seen[context] = seen + 1;
    return coded;
  }
}

const STEPS = 4096;
const FURTHEST = 12;
let squashes: Float64Array | undefined;
let stretches: Float64Array | undefined;

/** 1 / (1 + e^-x) at 4096 places from -12 to 12, by products alone: Math.exp differs between engines. */
function squashTable(): Float64Array {
  const table = new Float64Array(STEPS + 1);
  const step = 1.005876583064105; // e^(24 / 4096)
  let power = 1;
  for (let i = STEPS / 2; i <= STEPS; i++) {
    table[i] = power / (1 + power);
    table[STEPS - i] = 1 / (1 + power);
    power *= step;
  }
  return table;
}

/**
 * The inverse: ln(p / (1 - p)) in the middle of cell `cell` of 4096 cells of p. Found when it is first asked for:
 * the description of a small file needs few.
 */
function stretchOf(squash: Float64Array, cell: number): number {
  let low = 0;
  let high = STEPS;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (squash[middle]! < (cell + 0.5) / STEPS) low = middle + 1;
    else high = middle;
  }
  return (low / STEPS) * 2 * FURTHEST - FURTHEST;
}

/** How predictions are mixed. */
export interface Mixing {
  /** Sets of weights to choose from; default 1. */
  sets?: number;
  /** As of {@link AdaptiveBits}. */
  memory: number;
  /** How fast the weights learn. */
  rate: number;
  /** What every weight begins as. */
  weight: number;
}

/**
 * Mixes the predictions of several contexts for the same bit: `p = squash(sum w_k stretch(p_k))` with
 * `stretch(p) = ln(p / (1 - p))` and squash its inverse; after each bit `w_k += rate (bit - p) stretch(p_k)`
 * (M. Mahoney, "Adaptive weighing of context models for lossless data compression", 2005).
 */
export class MixedBits {
  readonly #coder: BitCoder;
  readonly #ones: Float64Array;
  readonly #seen: Uint8Array;
  readonly #rates: Float64Array;
  readonly #weights: Float64Array;
  readonly #stretched: Float64Array;
  readonly #squash: Float64Array;
  readonly #stretch: Float64Array;
  readonly #rate: number;
  /** For every input the context that it takes part with; to be set before {@link bit}. */
  readonly contexts: Int32Array;

  constructor(coder: BitCoder, inputs: number, contexts: number, mixing: Mixing) {
    const { sets = 1, memory, rate, weight } = mixing;
    this.#coder = coder;
    this.#ones = new Float64Array(contexts).fill(0.5);
    this.#seen = new Uint8Array(contexts);
    this.#rates = ratesFor(memory);
    this.#weights = new Float64Array(inputs * sets).fill(weight);
    this.#stretched = new Float64Array(inputs);
    squashes ??= squashTable();
    stretches ??= new Float64Array(STEPS).fill(Number.NaN);
    this.#squash = squashes;
    this.#stretch = stretches;
    this.#rate = rate;
    this.contexts = new Int32Array(inputs);
  }

  /** Codes a bit in the contexts that are set. */
  bit(bit: number, set: number = 0): number {
    const { contexts } = this;
    const [ones, stretched, weights] = [this.#ones, this.#stretched, this.#weights];
    const inputs = contexts.length;
    const base = set * inputs;
    let sum = 0;
    for (let k = 0; k < inputs; k++) {
      const cell = Math.floor(ones[contexts[k]!]! * STEPS);
      let s = this.#stretch[cell]!;
      if (Number.isNaN(s)) s = this.#stretch[cell] = stretchOf(this.#squash, cell);
      stretched[k] = s;
      sum += weights[base + k]! * s;
    }
    const place = ((sum + FURTHEST) * STEPS) / (2 * FURTHEST);
    const cell = place < 0 ? 0 : place > STEPS - 1 ? STEPS - 1 : Math.floor(place);
    const within = place - cell < 0 ? 0 : place - cell > 1 ? 1 : place - cell;
    const low = this.#squash[cell]!;
    const one = low + (this.#squash[cell + 1]! - low) * within;
    const coded = this.#coder.bit(one < LEAST ? LEAST : one > 1 - LEAST ? 1 - LEAST : one, bit);
    const step = (coded - one) * this.#rate;
    for (let k = 0; k < inputs; k++) {
      weights[base + k]! += step * stretched[k]!;
      const context = contexts[k]!;
      const seen = this.#seen[context]!;
      const before = ones[context]!;
      const moved = before + (coded - before) * this.#rates[seen]!;
      ones[context] = moved < LEAST ? LEAST : moved > 1 - LEAST ? 1 - LEAST : moved;
      if (seen < 255) this.#seen[context] = seen + 1;
    }
    return coded;
  }
}
