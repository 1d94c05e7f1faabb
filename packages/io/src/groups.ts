// Runs of neighbours along one axis of a weight.

/** A weight cut along an axis into runs of `length` entries; the last run of a line may be shorter. */
export interface Runs {
  /** How many there are. */
  count: number;
  /** Distance from one entry of a run to the next. */
  stride: number;
  /** The first entry of run number `index`. */
  first(index: number): number;
  /** How many entries it has. */
  size(index: number): number;
}

export function runsAlong(shape: readonly number[], axis: number, length: number): Runs {
  const along = shape[axis]!;
  const stride = shape.slice(axis + 1).reduce((n, size) => n * size, 1);
  const outer = shape.slice(0, axis).reduce((n, size) => n * size, 1);
  const perLine = Math.ceil(along / length);
  // In the order of the entries: line by line, then run by run, then place by place.
  const place = (index: number) => Math.floor(index / stride) % perLine;
  return {
    count: outer * perLine * stride,
    stride,
    first: (index) =>
      (Math.floor(index / (perLine * stride)) * along + place(index) * length) * stride +
      (index % stride),
    size: (index) => Math.min(length, along - place(index) * length),
  };
}

/** The places of entries that are numbered output by output, the last axis, in a weight of `size` entries. */
export function placesByOutputs(numbers: Int32Array, size: number, outputs: number): Int32Array {
  const inputs = size / outputs;
  return numbers.map((number) => (number % inputs) * outputs + Math.floor(number / inputs));
}
