/** The class of a typed array. */
interface TypedArrayClass<T> {
  new (length: number): T & { set(part: ArrayLike<number>, at: number): void };
}

/**
 * Arrays one behind the other, as one array of a class.
 *
 * @example
 * joined(Float32Array, [Float32Array.of(1, 2), Float32Array.of(3)]); // 1, 2, 3
 */
export function joined<T>(Type: TypedArrayClass<T>, parts: readonly ArrayLike<number>[]): T {
  const whole = new Type(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
