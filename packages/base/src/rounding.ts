/**
 * The nearest whole number; of two that are as near, the even one.
 *
 * @example
 * [0.5, 1.5, 2.4, -0.5].map(roundHalfToEven); // 0, 2, 2, 0
 */
export function roundHalfToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
}
