// Seeded randomness. Nothing in Thimble calls Math.random; whatever TensorFlow.js draws from it can be
// made reproducible with `withSeed`.

/** The whole state of a {@link Random}: four 32-bit words. */
export type RandomState = [number, number, number, number];

/** 32-bit hash of a sequence of numbers and strings (FNV-1a with a final avalanche, as MurmurHash3's). */
export function hashSeed(...parts: (number | string)[]): number {
  let hash = 0x811c9dc5;
  for (const part of parts) {
    const text = `${typeof part === 'number' ? 'n' : 's'}${part}\u0000`;
    for (let i = 0; i < text.length; i++) {
      hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
    }
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/**
 * A seeded generator: sfc32 (C. Doty-Humphrey, PractRand), 128 bits of state, period about 2^127.
 * Same seed, same numbers, on every platform.
 *
 * @example
 * const random = new Random(42);
 * random.uniform();       // in [0, 1)
 * random.permutation(10); // 0..9 in random order
 */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  /** Several parts give independent streams: `new Random(seed, 'shuffle', epoch)`. */
  constructor(...seed: (number | string)[]) {
    this.#a = hashSeed(...seed, 1);
    this.#b = hashSeed(...seed, 2);
    this.#c = hashSeed(...seed, 3);
    this.#d = 1;
    for (let i = 0; i < 12; i++) this.#next();
  }

  /** A generator that goes on from a saved {@link Random.state}. */
  static from(state: RandomState): Random {
    const random = new Random(0);
    [random.#a, random.#b, random.#c, random.#d] = state;
    return random;
  }

  state(): RandomState {
    return [this.#a, this.#b, this.#c, this.#d];
  }

  #next(): number {
    const t = (this.#a + this.#b + this.#d) | 0;
    this.#d = (this.#d + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + t) | 0;
    return t >>> 0;
  }

  /** Uniform in [min, max), with 32 random bits. */
  uniform(min: number = 0, max: number = 1): number {
    return min + (max - min) * (this.#next() / 4294967296);
  }

  /** Uniform whole number in [0, n), n up to 2^32. */
  integer(n: number): number {
    return Math.floor((this.#next() / 4294967296) * n);
  }

  /** Standard normal, by the Box-Muller transform. */
  normal(mean: number = 0, deviation: number = 1): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return mean + deviation * radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /** The numbers 0..n-1 in random order (Fisher-Yates). */
  permutation(n: number): Uint32Array {
    const order = new Uint32Array(n);
    for (let i = 0; i < n; i++) {
      const j = this.integer(i + 1);
      order[i] = order[j]!;
      order[j] = i;
    }
    return order;
  }
}

/**
 * Runs the synchronous function `body` with `Math.random` replaced by a seeded generator, and puts the
 * old one back even if `body` throws. TensorFlow.js draws the seeds of unseeded initializers and dropout
 * layers from Math.random, so this makes building a model or running a training step reproducible.
 *
 * @example
 * const model = withSeed(7, () => buildModel()); // the same initial weights at every call
 */
export function withSeed<T>(seed: number | string | Random, body: () => T): T {
  const random = seed instanceof Random ? seed : new Random(seed);
  const original = Math.random;
  Math.random = () => random.uniform();
  try {
    return body();
  } finally {
    Math.random = original;
  }
}
