// Broadcasting of two operands as runs: stretches of the result in which either operand moves along or
// stays on one value.

/** How two operands run along their result. */
export interface Runs {
  /** The length of a run. */
  length: number;
  /** Whether the first, or the second, operand stays on one value within a run. */
  oneA: boolean;
  oneB: boolean;
  /** Where either operand is at the start of each run; run i of the result starts at i * length. */
  starts: { a: number; b: number }[];
}

/** The runs of operands of shapes `a` and `b`, which broadcast to `shape`. */
export function runsOf(shape: readonly number[], a: readonly number[], b: readonly number[]): Runs {
  const rank = shape.length;
  const sizeOf = (own: readonly number[], axis: number) => own[axis - rank + own.length] ?? 1;
  const stays = (own: readonly number[], axis: number) => sizeOf(own, axis) !== shape[axis];
  let axis = rank - 1;
  while (axis >= 0 && shape[axis] === 1) axis--;
  const oneA = axis >= 0 && stays(a, axis);
  const oneB = axis >= 0 && stays(b, axis);
  let length = 1;
  for (; axis >= 0; axis--) {
    const size = shape[axis] as number;
    if (size !== 1 && (stays(a, axis) !== oneA || stays(b, axis) !== oneB)) break;
    length *= size;
  }
  let starts = [{ a: 0, b: 0 }];
  let stepA = oneA ? 1 : length;
  let stepB = oneB ? 1 : length;
  for (; axis >= 0; axis--) {
    const size = shape[axis] as number;
    const inner = starts;
    const [byA, byB] = [stays(a, axis) ? 0 : stepA, stays(b, axis) ? 0 : stepB];
    starts = Array.from({ length: size * inner.length }, (_, i) => {
      const { a: atA, b: atB } = inner[i % inner.length] as { a: number; b: number };
      const index = Math.floor(i / inner.length);
      return { a: atA + index * byA, b: atB + index * byB };
    });
    stepA *= sizeOf(a, axis);
    stepB *= sizeOf(b, axis);
  }
  return { length, oneA, oneB, starts };
}
