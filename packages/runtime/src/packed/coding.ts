// How the inputs of a layer become whole numbers.
import { roundHalfToEven } from '@thimble/base';
import { largestSum, type WholeCodes } from './dense-forms.ts';
import type { Finish } from './lists.ts';
import type { Conv } from './operations.ts';
import type { Place, Program } from './program.ts';

const LARGEST_BIAS = 2 ** 30;
const LARGEST_CODE = 16_383;

/**
 * How inputs become codes, and sums values. With codes of the layer: its own step and range, and the bias in
 * whole steps of the sum, so that results are those of integer arithmetic. Without: the largest range of
 * codes with which no sum leaves 32 bits, one step for each example, a power of two; what is lost is far below the
 * rounding of the weights.
 */
export function codingOf(
  program: Program,
  { codes, scale: factor, bias }: Pick<Conv, 'codes' | 'scale' | 'bias'>,
  whole: WholeCodes['codes'],
  scale: Float32Array,
): { steps: Place; low: number; high: number; finish: Finish } {
  const outputs = scale.length;
  const folded = factor.every((value) => value === 1) ? scale : scale.map((s, o) => s * factor[o]!);
  if (codes) {
    const sums = scale.map((s) => s * codes.scale);
    const wholeBias = Int32Array.from(bias, (b, o) => {
      if (factor[o] !== 1) return 0;
      const code = roundHalfToEven(Math.fround(b / sums[o]!));
      return Math.max(-LARGEST_BIAS, Math.min(LARGEST_BIAS, code));
    });
    const rest = bias.map((b, o) => (factor[o] === 1 ? 0 : b));
    return {
      steps: program.weights(Float32Array.of(codes.scale)),
      low: codes.low - codes.zeroPoint,
      high: codes.high - codes.zeroPoint,
      finish: { scale: folded, bias: rest, whole: wholeBias },
    };
  }
  const enough = (2 ** 31 - 1) / LARGEST_CODE;
  const largest = Math.max(1, largestSum(whole, outputs, enough));
  const high = Math.min(LARGEST_CODE, Math.floor((2 ** 31 - 1) / largest));
  const steps = { piece: program.piece(4), offset: 0 };
  return {
    steps,
    low: -high,
    high,
    finish: { scale: folded, bias, whole: new Int32Array(outputs) },
  };
}
