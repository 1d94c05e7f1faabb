// Rate-distortion optimal quantisation: a code gives way to a cheaper one where that does little harm.
import type { GraphWeight } from '@thimble/graph';
import { codesOf } from './codes.ts';
import { valuesOfCodes } from './values-of-codes.ts';

const ROUNDS = 4;
type Coded = Parameters<typeof valuesOfCodes>[2];

/**
 * Moves codes towards 0 so as to lessen `D + lambda R`: R the bits of all codes by their frequencies, D the
 * squared error against `original`, in units of the mean square of its entries other than 0. Each entry
 * may keep its code, move one step towards 0 or become 0; frequencies are counted anew four times. Weights
 * without codes (floats, hashed) stay as they are.
 *
 * Papers: Chou, Lookabaugh, Gray, "Entropy-constrained vector quantization", 1989; Wiedemann et al.,
 * "DeepCABAC", 2020, section III-C.
 */
export function rateDistortion(
  weight: GraphWeight,
  original: Float32Array,
  lambda: number,
): GraphWeight {
  const { values, codes } = codesOf(weight);
  if (!codes || lambda === 0) return weight;
  const { shape } = weight.encoding;
  const coded = values as Coded;
  const unit = meanSquare(original);
  if (unit === 0) return weight;
  let now = codes.slice();
  for (let round = 0; round < ROUNDS; round++) {
    const bits = bitsOf(now);
    const nearer = codes.map(towardsZero(values.type === 'powersOfTwo', codes));
    const [kept, moved] = [valuesOfCodes(codes, shape, coded), valuesOfCodes(nearer, shape, coded)];
    const next = new Int32Array(codes.length);
    for (let i = 0; i < codes.length; i++) {
      const code = codes[i]!;
      if (code === 0) continue;
      const w = original[i]!;
      let best = code;
      let least = (kept[i]! - w) ** 2 / unit + lambda * bits(code);
      for (const [candidate, value] of [
        [nearer[i]!, moved[i]!],
        [0, 0],
      ] as const) {
        const cost = (value - w) ** 2 / unit + lambda * bits(candidate);
        if (cost < least) [best, least] = [candidate, cost];
      }
      next[i] = best;
    }
    now = next;
  }
  const data = valuesOfCodes(now, shape, coded);
  let nonzero = 0;
  for (const value of data) if (value !== 0) nonzero++;
  const { mask, ...rest } = weight.encoding;
  const kept = mask && Uint8Array.from(data, (value) => (value === 0 ? 0 : 1));
  return { encoding: { ...rest, values, ...(kept ? { mask: kept } : {}), nonzero }, data };
}

/** A code one step nearer to 0: for powers of two, whose codes count downwards, one step on. */
function towardsZero(downwards: boolean, codes: Int32Array): (code: number) => number {
  if (!downwards) return (code) => code - Math.sign(code);
  let last = 0;
  for (const code of codes) last = Math.max(last, Math.abs(code));
  return (code) => (Math.abs(code) === last ? 0 : code + Math.sign(code));
}

function meanSquare(values: Float32Array): number {
  let sum = 0;
  let count = 0;
  for (const value of values) {
    if (value === 0) continue;
    sum += value * value;
    count++;
  }
  return count === 0 ? 0 : sum / count;
}

/** The bits of each code by how often it occurs, as if each occurred half a time more. */
function bitsOf(codes: Int32Array): (code: number) => number {
  const counts = new Map<number, number>();
  for (const code of codes) counts.set(code, (counts.get(code) ?? 0) + 1);
  const bits = new Map<number, number>();
  const total = codes.length + 0.5 * counts.size;
  for (const [code, count] of counts) bits.set(code, Math.log2(total / (count + 0.5)));
  const unseen = Math.log2(total / 0.5);
  return (code) => bits.get(code) ?? unseen;
}
