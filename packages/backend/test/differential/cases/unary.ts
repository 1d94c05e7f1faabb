// Functions of one operand.
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { type Case, define } from '../case.ts';
import { dtype, fill, type Kind, one, seed, shapes, typed } from '../data.ts';

type Unary = (x: tf.Tensor) => tf.Tensor;
/** Moves values of a kind into the range where the function is defined and tame. */
type Range = (value: number) => number;

const wide: Range = (x) => 3 * x;
const unit: Range = (x) => 0.98 * Math.max(-1, Math.min(1, x));
const above: Range = (x) => 0.1 + Math.abs(3 * x);

const FUNCTIONS: Record<string, [run: Unary, range: Range]> = {
  abs: [tf.abs, wide],
  acos: [tf.acos, unit],
  acosh: [tf.acosh, (x) => 1.1 + Math.abs(x)],
  asin: [tf.asin, unit],
  asinh: [tf.asinh, wide],
  atan: [tf.atan, wide],
  atanh: [tf.atanh, (x) => 0.95 * unit(x)],
  ceil: [tf.ceil, wide],
  clipByValue: [(x) => tf.clipByValue(x, -0.5, 0.75), wide],
  clone: [tf.clone, wide],
  cos: [tf.cos, wide],
  cosh: [tf.cosh, wide],
  elu: [tf.elu, wide],
  erf: [tf.erf, wide],
  exp: [tf.exp, wide],
  expm1: [tf.expm1, wide],
  floor: [tf.floor, wide],
  isFinite: [tf.isFinite, wide],
  isInf: [tf.isInf, wide],
  isNaN: [tf.isNaN, wide],
  leakyRelu: [(x) => tf.leakyRelu(x, 0.3), wide],
  log: [tf.log, above],
  log1p: [tf.log1p, above],
  logSigmoid: [tf.logSigmoid, wide],
  neg: [tf.neg, wide],
  onesLike: [tf.onesLike, wide],
  reciprocal: [tf.reciprocal, above],
  relu: [tf.relu, wide],
  relu6: [tf.relu6, (x) => 5 * x + 3],
  round: [tf.round, wide],
  rsqrt: [tf.rsqrt, above],
  selu: [tf.selu, wide],
  sigmoid: [tf.sigmoid, wide],
  sign: [tf.sign, wide],
  sin: [tf.sin, wide],
  sinh: [tf.sinh, wide],
  softplus: [tf.softplus, wide],
  sqrt: [tf.sqrt, above],
  square: [tf.square, wide],
  step: [(x) => tf.step(x, 0.4), wide],
  tan: [tf.tan, (x) => 1.4 * unit(x)],
  tanh: [tf.tanh, wide],
  zerosLike: [tf.zerosLike, wide],
};

/** No ties: some of these functions have corners at 0 and at halves. */
const plain = fc.record({
  shape: shapes(0, 4, 0),
  kind: one<Kind>('plain', 'negative', 'positive'),
  seed,
});

const onFloats: Case[] = Object.entries(FUNCTIONS).map(([name, [run, range]]) =>
  define(
    name,
    plain,
    ({ shape, kind, seed }) => ({
      inputs: [
        { shape, data: fill(shape, seed, kind).map(range), dtype: 'float32', learned: true },
      ],
      run: (x: tf.Tensor) => run(x),
    }),
    { floor: 0.3 },
  ),
);

const EDGES = [
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  0,
  -0,
  1,
  -1,
  0.5,
  1.5,
  -2.5,
  6,
  100,
  -100,
  1e-8,
  1e10,
];

const onEdges: Case[] = Object.entries(FUNCTIONS).map(([name, [run]]) =>
  define(
    `${name} of NaN, infinities and edges`,
    fc.array(fc.constantFrom(...EDGES), { minLength: 1, maxLength: 21 }),
    (data) => ({
      inputs: [{ shape: [data.length], data, dtype: 'float32', learned: false }],
      run: (x: tf.Tensor) => run(x),
    }),
    { floor: 0.3 },
  ),
);

/** tfjs takes these for float32 only. */
const FLOATS_ONLY =
  'ceil cos cosh elu erf expm1 floor log rsqrt sigmoid sin sqrt tan tanh logSigmoid'.split(' ');
const others = Object.entries(FUNCTIONS).filter(([name]) => !FLOATS_ONLY.includes(name));

const onOthers: Case[] = others.map(([name, [run]]) =>
  define(
    `${name} of int32 and bool`,
    fc.record({ shape: shapes(0, 3, 0), dtype: one('int32', 'bool'), seed }),
    ({ shape, dtype, seed }) => ({
      inputs: [typed(shape, seed, dtype)],
      run: (x: tf.Tensor) => run(x),
    }),
    { floor: 0.3 },
  ),
);

export const unaryCases: readonly Case[] = [
  ...onFloats,
  ...onEdges,
  ...onOthers,
  define(
    'cast between all types',
    fc.record({ shape: shapes(0, 3, 0), from: dtype, to: dtype, seed }),
    ({ shape, from, to, seed }) => {
      const input = typed(shape, seed, from);
      const data = Array.from(input.data, (value) => (from === 'float32' ? value * 3000 : value));
      return {
        inputs: [{ ...input, data }],
        run: (x: tf.Tensor) => tf.cast(x, to),
        gradient: from === 'float32' && to === 'float32',
      };
    },
  ),
];
