// Probabilities that follow the bits they are asked about, alone and mixed: whole numbers, so that every
// machine computes the same. packages/kernels/assembly/decoding/bits.ts does the same sums.
import type { BitSink } from './encoder.ts';

/** No mixed probability is nearer to 0 or 1, of 65536. */
const SURE = 16;
/** A context's probability has so many parts: it is a number of 22 bits. */
const WHOLE = 2 ** 22;

/** How much a probability moves after its n-th bit, of 65536: 1 / (n + 1.6), and no less than one in `memory`. */
function ratesFor(memory: number): Int32Array {
  return Int32Array.from({ length: 256 }, (_, n) => Math.max(65_536 / (n + 1.6), 65_536 / memory));
}

/** Contexts with a probability each: one half at first. */
class Contexts {
  readonly ones: Int32Array;
  readonly #seen: Uint8Array;
  readonly #rates: Int32Array;

  constructor(count: number, memory: number) {
    this.ones = new Int32Array(count).fill(WHOLE / 2);
    this.#seen = new Uint8Array(count);
    this.#rates = ratesFor(memory);
  }

  /** Moves a probability towards a bit. */
  move(context: number, bit: number): void {
    const one = this.ones[context]!;
    const seen = this.#seen[context]!;
    const part = this.#rates[seen]! / 65_536;
    if (bit === 1) this.ones[context]! += Math.floor((WHOLE - 1 - one) * part);
    else this.ones[context]! -= Math.floor(one * part);
    if (seen < 255) this.#seen[context] = seen + 1;
  }
}

/**
 * Contexts, each with its own probability of a 1: it starts at one half and moves towards every bit by
 * 1 / (n + 1.6) at first and by one in 256 later.
 */
export class AdaptiveBits {
  readonly #sink: BitSink;
  readonly #contexts: Contexts;

  constructor(sink: BitSink, contexts: number) {
    this.#sink = sink;
    this.#contexts = new Contexts(contexts, 256);
  }

  /** Codes a bit in a context. */
  bit(context: number, bit: number): void {
    this.#sink.bit((this.#contexts.ones[context]! >> 6) | 1, bit);
    this.#contexts.move(context, bit);
  }
}

const STEPS = 4096;
const MIDDLE = STEPS / 2;

/** 65536 / (1 + e^-x), x = 10 s / 2048, for s from -2048 to 2047; by products: Math.exp differs between engines. */
function squashTable(): Int32Array {
  const table = new Int32Array(STEPS).fill(SURE);
  let power = 1;
  for (let i = 0; i < MIDDLE; i++) {
    table[MIDDLE + i] = Math.min(Math.floor(65_536 * (power / (1 + power))), 65_536 - SURE);
    table[MIDDLE - i] = Math.max(Math.floor(65_536 * (1 / (1 + power))), SURE);
    power *= 1.0048947659802057; // e^(10 / 2048)
  }
  return table;
}

/** The inverse: s for the middle of each of 4096 cells of probabilities. */
function stretchTable(squash: Int32Array): Int32Array {
  const table = new Int32Array(STEPS);
  let place = 0;
  for (let cell = 0; cell < STEPS; cell++) {
    while (place < STEPS - 1 && squash[place]! < 16 * cell + 8) place++;
    table[cell] = Math.max(place - MIDDLE, 1 - MIDDLE);
  }
  return table;
}

const SQUASH: Int32Array = squashTable();
const STRETCH: Int32Array = stretchTable(SQUASH);

/** How predictions are mixed. */
export interface Mixing {
  /** One in so many bits is how much a probability moves in the end. */
  memory: number;
  /** How fast the weights learn: by 2^-learning. */
  learning: number;
  /** What every weight begins as, times 65536. */
  weight: number;
}

/**
 * Mixes the predictions of several contexts for the same bit: `p = squash(sum w_k stretch(p_k))` with
 * `stretch(p) = ln(p / (1 - p))` and squash its inverse; after each bit `w_k += rate (bit - p) stretch(p_k)`
 * (M. Mahoney, "Adaptive weighing of context models for lossless data compression", 2005).
 */
export class MixedBits {
  readonly #sink: BitSink;
  readonly #all: Contexts;
  readonly #weights: Int32Array;
  readonly #stretched: Int32Array;
  readonly #learning: number;
  /** For every input the context that it takes part with; to be set before {@link bit}. */
  readonly contexts: Int32Array;

  constructor(sink: BitSink, inputs: number, contexts: number, mixing: Mixing) {
    const { memory, learning, weight } = mixing;
    this.#sink = sink;
    this.#all = new Contexts(contexts, memory);
    this.#weights = new Int32Array(inputs).fill(weight);
    this.#stretched = new Int32Array(inputs);
    this.#learning = learning;
    this.contexts = new Int32Array(inputs);
  }

  /** Codes a bit in the contexts that are set. The weights learn from it `times` as much: 0, 1 or 4. */
  bit(bit: number, times: 0 | 1 | 4 = 1): void {
    const { contexts } = this;
    const [stretched, weights] = [this.#stretched, this.#weights];
    let sum = 0;
    for (let k = 0; k < contexts.length; k++) {
      stretched[k] = STRETCH[this.#all.ones[contexts[k]!]! >> 10]!;
      sum = (sum + Math.imul(weights[k]!, stretched[k]!)) | 0;
    }
    const place = Math.min(Math.max(sum >> 16, -MIDDLE), MIDDLE - 1) + MIDDLE;
    const one = SQUASH[place]!;
    this.#sink.bit(one, bit);
    const miss = 65_536 * bit - one;
    const learning = this.#learning - (times === 4 ? 2 : 0);
    const half = 1 << (learning - 1);
    for (let k = 0; k < contexts.length; k++) {
      if (times > 0) weights[k]! += (Math.imul(miss, stretched[k]!) + half) >> learning;
      this.#all.move(contexts[k]!, bit);
    }
  }
}
