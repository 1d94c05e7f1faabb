import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FUNCTIONS } from '../src/index.ts';
import { BUILDS, check, input, output, random, run, seeds } from './helpers.ts';

type Name = keyof typeof FUNCTIONS;

const SELU_SCALE = 1.0507009873554805;
const SELU_SCALE_ALPHA = 1.7580993408473768;
/** In float64. */
const EXACT: Record<Name, (x: number) => number> = {
  exp: Math.exp,
  log: Math.log,
  log1p: Math.log1p,
  tanh: Math.tanh,
  softplus: (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
  selu: (x) => (x >= 0 ? SELU_SCALE * x : SELU_SCALE_ALPHA * Math.expm1(x)),
};

/** What the last place of a float32 near y counts. */
function lastPlace(y: number): number {
  return 2 ** (Math.max(-126, Math.floor(Math.log2(Math.abs(y) || 1e-45))) - 23);
}

/** Asserts at most two units in the last place; of infinities, NaN and zeros that they are the same, signs included. */
function expectNear(x: Float32Array, actual: Float32Array | Int32Array, name: Name): void {
  actual.forEach((value, i) => {
    const exact = EXACT[name](x[i]!);
    const right = Math.fround(exact);
    if (Object.is(value, right)) return;
    const near = Math.abs(value - exact) <= 2 * lastPlace(exact);
    if (!near || (right === 0 && value === 0)) {
      expect.fail(`${name}(${x[i]}) is ${value}, not ${right}`);
    }
  });
}

const bits = new Int32Array(1);
const ofBits = (value: number) => {
  bits[0] = value;
  return new Float32Array(bits.buffer)[0]!;
};

const EDGES = [
  0,
  1e-45,
  1.17549435e-38,
  1e-8,
  0.625,
  Math.SQRT1_2,
  1,
  1.4143,
  2,
  88.72284,
  88.7229,
];
const FAR = [103.9, 104, 1e10, 3.4e38, Number.POSITIVE_INFINITY];
const special = [...EDGES, ...FAR].flatMap((x) => [x, -x]).concat(Number.NaN);

describe.each(BUILDS)('functions, $build', ({ kernels }) => {
  const applied = (x: Float32Array, name: Name, turn: number) =>
    run(
      { x: input(x), out: output(x.length) },
      (at) => kernels.apply(at.x, at.out, x.length, FUNCTIONS[name]),
      turn,
    ).out;

  describe.each(Object.keys(FUNCTIONS) as Name[])('%s', (name) => {
    test('of any float32 is right to two units in the last place', () =>
      check(fc.record({ count: fc.integer({ min: 0, max: 41 }), seed: seeds }), 300, (c) => {
        const next = random(c.seed);
        const x = Float32Array.from({ length: c.count }, () => {
          const draw = next();
          if (draw < 0.2) return special[Math.floor(next() * special.length)]!;
          return draw < 0.5 ? ofBits(next() * 2 ** 32) : (next() - 0.5) * (draw < 0.75 ? 4 : 220);
        });
        expectNear(x, applied(x, name, c.seed), name);
      }));

    test('in every binade', () => {
      const next = random(7);
      const x = Float32Array.from({ length: 1 << 16 }, (_, i) =>
        ofBits((i << 16) | (next() * 2 ** 16)),
      );
      expectNear(x, applied(x, name, 0), name);
    });
  });
});
