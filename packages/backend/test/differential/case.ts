// One case of the differential suite: random examples of an op, computed on `thimble` and judged by the
// backend `cpu`, by another composition of ops on cpu where cpu's own op is wrong, or by finite
// differences on cpu.
import '../../src/index.ts';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { expect } from 'vitest';
import { SEED, values } from '../helpers.ts';
import type { Input } from './data.ts';

// The engine's own leak check counts what fused ops save for their gradient; the one below does not.
tf.env().set('IS_TEST', false);
tf.env().set('PROD', true);

type Compute = (...tensors: never[]) => tf.Tensor | tf.Tensor[];

/** What one example computes. */
export interface Example {
  inputs: Input[];
  run: Compute;
  /** The same function in other ops, for the backend cpu: where cpu, or tfjs on all backends, is wrong. */
  onCpu?: Compute;
  /** `false`: the example has no gradient, or none that is defined. */
  gradient?: boolean;
  /** The share of zeros in the gradient that comes from behind, in the first batch item and in the others. */
  zeros?: [first: number, others: number];
}

/** How results are judged. */
export interface Judgement {
  /** What the gradient is compared with; `slopes` takes each input to enter linearly. Default cpu. */
  gradient?: 'cpu' | 'slopes' | 'none';
  /** Largest error, relative to the largest value expected, or to 1 if that is more; default 1e-5. */
  tolerance?: number;
  /** What is wrong today: the case is expected to fail, and to be freed of this when it does not. */
  wrong?: string;
  /** Errors count relative to each value, or to this number where the value is smaller. */
  floor?: number;
}

/** A named op with its examples. */
export interface Case {
  name: string;
  wrong?: string;
  /** Checks `runs` examples. */
  check(runs: number, seed: number): Promise<void>;
  /** Computes some examples on the active backend, gradients too, and compares nothing. */
  compute(runs: number): void;
}

/** A case: `make` turns the plain data of an example into tensors and functions. */
export function define<T>(
  name: string,
  examples: fc.Arbitrary<T>,
  make: (data: T) => Example,
  judgement: Judgement = {},
): Case {
  return {
    name,
    wrong: judgement.wrong,
    check: (runs, seed) =>
      fc.assert(
        fc.asyncProperty(examples, (data) => judge(make(data), judgement)),
        { seed, numRuns: runs },
      ),
    compute: (runs) => {
      for (const data of fc.sample(examples, { seed: SEED, numRuns: runs })) {
        evaluate(make(data), false, judgement.gradient !== 'none');
      }
    },
  };
}

interface Result {
  dtype: string;
  shape: number[];
  data: number[];
}
interface Evaluation {
  outputs: Result[];
  gradients: Result[];
}

async function judge(example: Example, judgement: Judgement): Promise<void> {
  const wantsGradient = example.gradient !== false && judgement.gradient !== 'none';
  const slopes = wantsGradient && judgement.gradient === 'slopes';
  await tf.setBackend('thimble');
  const before = [tf.memory().numTensors, tf.backend().numDataIds()];
  const actual = evaluate(example, false, wantsGradient);
  const after = [tf.memory().numTensors, tf.backend().numDataIds()];
  expect(after, 'tensors and data left behind').toEqual(before);
  await tf.setBackend('cpu');
  const expected = evaluate(example, true, wantsGradient && !slopes);
  expectResults('output', actual.outputs, expected.outputs, judgement);
  if (slopes) expectSlopes(example, actual.gradients);
  else expectResults('gradient', actual.gradients, expected.gradients, judgement);
}

function evaluate(example: Example, reference: boolean, wantsGradient: boolean): Evaluation {
  const run = (reference && example.onCpu) || example.run;
  let found: Evaluation | undefined;
  tf.tidy(() => {
    const tensors = example.inputs.map(({ data, shape, dtype }) =>
      tf.tensor(Array.from(data), shape, dtype),
    );
    const outputs = list(run(...(tensors as never[]))).map(read);
    const learned = example.inputs.flatMap(({ learned }, i) => (learned ? [i] : []));
    found = { outputs, gradients: [] };
    const smooth = outputs.some(({ dtype }) => dtype === 'float32');
    if (!wantsGradient || !smooth || learned.length === 0) return;
    const loss = (...some: tf.Tensor[]): tf.Tensor => {
      const all = tensors.map((tensor, i) => some[learned.indexOf(i)] ?? tensor);
      const parts = list(run(...(all as never[])))
        .map((y, i) => ({ y, dy: weights(y, i, example.zeros) }))
        .filter(({ y }) => y.dtype === 'float32')
        .map(({ y, dy }) => tf.sum(tf.mul(y, tf.tensor(dy, y.shape))));
      return parts.reduce((sum, part) => tf.add(sum, part));
    };
    const gradients = tf.grads(loss)(learned.map((i) => tensors[i] as tf.Tensor));
    found.gradients = gradients.map(read);
  });
  return found as Evaluation;
}

const list = (results: tf.Tensor | tf.Tensor[]): tf.Tensor[] =>
  Array.isArray(results) ? results : [results];

function read(tensor: tf.Tensor): Result {
  return { dtype: tensor.dtype, shape: tensor.shape, data: Array.from(tensor.dataSync()) };
}

/** What each value of an output counts in the loss. */
function weights(
  { shape }: { shape: number[] },
  which: number,
  zeros: [number, number] = [0, 0],
): Float32Array {
  const [dy, chance] = [values(shape, 97 + which), values(shape, 98 + which)];
  const perItem = dy.length / Math.max(1, shape[0] ?? 1);
  return dy.map((weight, i) =>
    ((chance[i] as number) + 1) / 2 < zeros[i < perItem ? 0 : 1] ? 0 : weight,
  );
}

function expectResults(
  what: string,
  actual: Result[],
  expected: Result[],
  { tolerance = 1e-5, floor }: Judgement,
): void {
  expect(actual.length, `how many ${what}s`).toBe(expected.length);
  actual.forEach(({ dtype, shape, data }, which) => {
    const { data: wanted, ...other } = expected[which] as Result;
    expect({ dtype, shape }, `${what} ${which}`).toEqual({
      dtype: other.dtype,
      shape: other.shape,
    });
    const finite = wanted.filter(Number.isFinite).map(Math.abs);
    const largest = finite.reduce((a, b) => Math.max(a, b), 1);
    data.forEach((value, i) => {
      const right = wanted[i] as number;
      if (Object.is(value, right) || value === right) return;
      const scale = floor === undefined ? largest : Math.max(floor, Math.abs(right));
      if (Math.abs(value - right) <= tolerance * scale) return;
      expect.fail(`${what} ${which} [${shape}], value ${i}: ${value} instead of ${right}`);
    });
  });
}

/** Compares gradients with central differences of the function on cpu, in up to 24 entries of each input. */
function expectSlopes(example: Example, gradients: Result[]): void {
  const { inputs, onCpu, run } = example;
  const loss = (which: number, at: number, by: number): number =>
    tf.tidy(() => {
      const tensors = inputs.map(({ data, shape, dtype }, i) => {
        const moved = Float32Array.from(data);
        if (i === which) (moved[at] as number) += by;
        return tf.tensor(moved, shape, dtype);
      });
      return list((onCpu ?? run)(...(tensors as never[])))
        .filter(({ dtype }) => dtype === 'float32')
        .reduce((total, y, i) => {
          const dy = weights(y, i, example.zeros);
          return Array.from(y.dataSync()).reduce(
            (sum, value, j) => sum + value * (dy[j] as number),
            total,
          );
        }, 0);
    });
  const learned = inputs.flatMap((input, i) => (input.learned ? [i] : []));
  learned.forEach((which, position) => {
    const { data, shape } = gradients[position] as Result;
    expect(shape, 'shape of the gradient').toEqual(inputs[which]?.shape);
    const stride = Math.max(1, Math.floor(data.length / 24));
    for (let at = 0; at < data.length; at += stride) {
      const slope = loss(which, at, 0.5) - loss(which, at, -0.5);
      const value = data[at] as number;
      if (Math.abs(value - slope) <= 1e-4 * Math.max(1, Math.abs(slope))) continue;
      expect.fail(`gradient ${which} [${shape}], value ${at}: ${value}, but the slope is ${slope}`);
    }
  });
}
