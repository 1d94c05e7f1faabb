// Layers of whole numbers one behind the other: the first stores the codes that the second computes with, and the floats
// between them are never written.
import { type Choice, isDirect } from './choices.ts';
import type { Conv, Network, Operation } from './operations.ts';
import { inputsOf } from './skipping.ts';
import type { StoredCodes } from './values.ts';

/** Finds the values that only layers of whole numbers with the same codes read, and lets them hold those codes. */
export function requantise(
  { operations, outputs }: Network,
  choiceOf: (operation: Operation) => Choice | undefined,
): void {
  const isWhole = (operation: Operation): operation is Conv =>
    operation.kind === 'conv' && !operation.signs && choiceOf(operation)!.endsWith('Int');
  for (const maker of operations) {
    const { output: value, curve, round } = maker;
    if (!isWhole(maker) || curve || round) continue;
    if (outputs.some((output) => output.value === value)) continue;
    if (operations.some((other) => other !== maker && other.output === value)) continue;
    const readers = operations.filter((operation) => inputsOf(operation).includes(value));
    const wanted = readers.map((reader) =>
      isWhole(reader) && reader.residual !== value ? wantedBy(reader) : undefined,
    );
    const [first] = wanted;
    if (!first || !wanted.every((other) => other && isSame(first, other))) continue;
    value.codes = first;
  }
}

/** The codes that a convolution reads, where they are known beforehand and its maker can store them. */
function wantedBy(conv: Conv): StoredCodes | undefined {
  const alone = conv.kernel.separate;
  // Phases of strides would put two phases of a channel into one number.
  if (!conv.codes || !(alone || isDirect(conv))) return undefined;
  const { scale, zeroPoint, low, high } = conv.codes;
  return { step: scale, low: low - zeroPoint, high: high - zeroPoint, alone };
}

function isSame(a: StoredCodes, b: StoredCodes): boolean {
  return a.step === b.step && a.low === b.low && a.high === b.high && a.alone === b.alone;
}
