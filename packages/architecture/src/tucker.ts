// Tucker-2: a convolution kernel with few input and output channels inside.
import { multiply, type Svd, svd, transpose, type Values2d } from './svd.ts';

/** A kernel [height * width, in, out]. */
export interface Kernel {
  positions: number;
  inputs: number;
  outputs: number;
  data: Float64Array;
}

/** `W[p, i, o] ~ sum_{a, b} input[i, a] core[p, a, b] output[o, b]`. */
export interface Tucker {
  input: Values2d;
  core: Float64Array;
  output: Values2d;
}

/** How often the two bases are improved in turn, at most. */
const ROUNDS = 10;

/** The decompositions of the two unfoldings: input channels by all else, output channels by all else. */
export function unfoldings(kernel: Kernel): { input: Svd; output: Svd } {
  return { input: svd(inputRows(kernel)), output: svd(outputRows(kernel)) };
}

/** The kernel as a matrix with a row for each input channel. */
export function inputRows({ positions, inputs, outputs, data }: Kernel): Values2d {
  const matrix = new Float64Array(data.length);
  for (let p = 0; p < positions; p++) {
    for (let i = 0; i < inputs; i++) {
      const from = (p * inputs + i) * outputs;
      matrix.set(data.subarray(from, from + outputs), (i * positions + p) * outputs);
    }
  }
  return { rows: inputs, columns: positions * outputs, data: matrix };
}

/** The kernel as a matrix with a row for each output channel. */
export function outputRows({ positions, inputs, outputs, data }: Kernel): Values2d {
  return transpose({ rows: positions * inputs, columns: outputs, data });
}

/** The kernel in a basis of its input channels [inputs, rank]. */
function project(kernel: Kernel, basis: Values2d): Kernel {
  const { positions, inputs, outputs, data } = kernel;
  const turned = transpose(basis);
  const result = new Float64Array(positions * basis.columns * outputs);
  for (let p = 0; p < positions; p++) {
    const from = p * inputs * outputs;
    const slice = {
      rows: inputs,
      columns: outputs,
      data: data.subarray(from, from + inputs * outputs),
    };
    result.set(multiply(turned, slice).data, p * basis.columns * outputs);
  }
  return { positions, inputs: basis.columns, outputs, data: result };
}

/**
 * The factors of two ranks: from the leading singular vectors of the unfoldings (HOSVD), then each basis anew with
 * the other one fixed (HOOI) until the kept part no longer grows.
 */
export function tucker2(
  kernel: Kernel,
  start: { input: Svd; output: Svd },
  ranks: [number, number],
): Tucker {
  let input = start.input.left(ranks[0]);
  let output = start.output.left(ranks[1]);
  let best = coreOf(kernel, input, output);
  for (let round = 0; round < ROUNDS; round++) {
    const nextOutput = svd(outputRows(project(kernel, input))).left(ranks[1]);
    const narrow = multiply(flat(kernel), nextOutput);
    const nextInput = svd(inputRows({ ...kernel, outputs: ranks[1], data: narrow.data })).left(
      ranks[0],
    );
    const core = coreOf(kernel, nextInput, nextOutput);
    const [before, after] = [energy(best), energy(core)];
    if (after <= before * (1 + 1e-9)) break;
    [input, output, best] = [nextInput, nextOutput, core];
  }
  return { input, core: best, output };
}

/** The kernel as a matrix with a column for each output channel. */
function flat({ positions, inputs, outputs, data }: Kernel): Values2d {
  return { rows: positions * inputs, columns: outputs, data };
}

function coreOf(kernel: Kernel, input: Values2d, output: Values2d): Float64Array {
  return multiply(flat(project(kernel, input)), output).data;
}

function energy(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value * value, 0);
}

/**
 * What bases of each pair of ranks lose of the kernel's squares, from one core at full ranks: for HOSVD, without
 * the improvement that follows.
 */
export function tuckerLosses(
  kernel: Kernel,
  start: { input: Svd; output: Svd },
): (ranks: [number, number]) => number {
  const { positions, inputs, outputs } = kernel;
  const [first, second] = [start.input.singular.length, start.output.singular.length];
  const core = coreOf(kernel, start.input.left(first), start.output.left(second));
  // Sums of squares over all smaller indices.
  const sums = new Float64Array((first + 1) * (second + 1));
  for (let a = 0; a < first; a++) {
    for (let b = 0; b < second; b++) {
      let square = 0;
      for (let p = 0; p < positions; p++) square += core[(p * first + a) * second + b]! ** 2;
      const at = (i: number, j: number) => sums[i * (second + 1) + j]!;
      sums[(a + 1) * (second + 1) + b + 1] = square + at(a, b + 1) + at(a + 1, b) - at(a, b);
    }
  }
  const total = energy(kernel.data);
  return ([a, b]) => {
    const [i, j] = [Math.min(a, inputs, first), Math.min(b, outputs, second)];
    return total > 0 ? Math.max(0, 1 - sums[i * (second + 1) + j]! / total) : 0;
  };
}
