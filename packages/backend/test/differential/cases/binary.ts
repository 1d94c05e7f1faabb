// Functions of two operands, which broadcast; comparisons; choices.
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { type Case, define } from '../case.ts';
import {
  bools,
  dtype,
  fill,
  floats,
  ints,
  type Kind,
  one,
  pairs,
  seed,
  shapes,
  typed,
} from '../data.ts';

type Binary = (a: tf.Tensor, b: tf.Tensor) => tf.Tensor;
/** Whether x is not 0, without a gradient. */
const nonZero = (x: tf.Tensor): tf.Tensor =>
  tf.tensor(
    Array.from(x.dataSync(), (v) => Number(v !== 0)),
    x.shape,
    'bool',
  );

/** On cpu the result over float32 has the type int32. */
const floorDiv: Binary = (a, b) => {
  const quotient = tf.floor(tf.div(tf.cast(a, 'float32'), tf.cast(b, 'float32')));
  return [a, b].every(({ dtype }) => dtype !== 'float32') ? tf.cast(quotient, 'int32') : quotient;
};

/** IEEE 754: 1 to any power is 1, and -1 to an infinite one; in JavaScript they are NaN. */
const pow: Binary = (a, b) => {
  const power = tf.pow(a, b);
  if (power.dtype !== 'float32') return power;
  const known = tf.logicalOr(
    tf.equal(a, 1),
    tf.logicalAnd(tf.equal(tf.abs(a), 1), tf.isInf(tf.cast(b, 'float32'))),
  );
  return tf.any(known).dataSync()[0] ? tf.where(known, tf.onesLike(power), power) : power;
};

/** The kinds of both operands. */
type Kinds = [Kind, Kind];

const ARITHMETIC: Record<string, [run: Binary, a: Kind, b: Kind, onCpu?: Binary]> = {
  add: [tf.add, 'plain', 'plain'],
  sub: [tf.sub, 'plain', 'plain'],
  mul: [tf.mul, 'plain', 'plain'],
  div: [tf.div, 'plain', 'positive'],
  divNoNan: [tf.divNoNan, 'plain', 'positive', (a, b) => tf.where(nonZero(b), tf.div(a, b), 0)],
  floorDiv: [tf.floorDiv, 'plain', 'positive', floorDiv],
  maximum: [tf.maximum, 'plain', 'ties'],
  minimum: [tf.minimum, 'plain', 'ties'],
  mod: [tf.mod, 'plain', 'positive'],
  pow: [tf.pow, 'positive', 'plain', pow],
  squaredDifference: [tf.squaredDifference, 'plain', 'plain'],
  atan2: [tf.atan2, 'plain', 'positive'],
};

const COMPARISONS: Record<string, Binary> = {
  equal: tf.equal,
  notEqual: tf.notEqual,
  greater: tf.greater,
  greaterEqual: tf.greaterEqual,
  less: tf.less,
  lessEqual: tf.lessEqual,
};

const LOGIC: Record<string, Binary> = {
  logicalAnd: tf.logicalAnd,
  logicalOr: tf.logicalOr,
  logicalXor: tf.logicalXor,
};

/** Both operands in the shape of the result: tfjs forgets some sums where one is broadcast. */
function spread(run: Binary): Binary {
  return (a, b) => {
    const shape = tf.broadcast_util.assertAndGetBroadcastShape(a.shape, b.shape);
    const whole = (x: tf.Tensor) => tf.mul(x, tf.ones(shape, x.dtype));
    return run(whole(a), whole(b));
  };
}

const odd = one<Kinds>(['ties', 'ties'], ['special', 'ties'], ['ties', 'special']);

const arithmetic = Object.entries(ARITHMETIC).flatMap(([name, [run, ...kinds]]) => {
  const other = kinds[2];
  const exact = name === 'divNoNan' ? undefined : other;
  return [
    define(name, pairs, ({ a, b, seed }) => ({
      inputs: [floats(a, seed, kinds[0]), floats(b, seed + 1, kinds[1])],
      run: (x: tf.Tensor, y: tf.Tensor) => run(x, y),
      onCpu: spread(other ?? run),
      gradient: name !== 'floorDiv', // tfjs: that of a quotient; right: 0
    })),
    define(
      `${name} of ties, NaN and infinities`,
      fc.record({
        pairs,
        // Of large and small numbers mod is a matter of rounding.
        kinds: name === 'mod' ? one<Kinds>(['ties', 'ties']) : odd,
      }),
      ({ pairs: { a, b, seed }, kinds }) => ({
        inputs: [floats(a, seed, kinds[0]), floats(b, seed + 1, kinds[1])],
        run: (x: tf.Tensor, y: tf.Tensor) => run(x, y),
        onCpu: exact,
        gradient: false,
      }),
    ),
    define(
      `${name} of int32 and mixed types`,
      fc.record({ pairs, types: fc.tuple(one('int32', 'float32'), one('int32', 'bool')) }),
      ({ pairs: { a, b, seed }, types }) => ({
        inputs: [
          types[0] === 'int32' ? ints(a, seed, 1, 9) : floats(a, seed, 'positive'),
          types[1] === 'int32'
            ? ints(b, seed + 1, 1, 6)
            : { ...bools(b, seed), data: fill(b, 1).fill(1) },
        ],
        run: (x: tf.Tensor, y: tf.Tensor) => run(x, y),
        onCpu: exact,
        gradient: false,
      }),
    ),
  ];
});

const comparisons = Object.entries(COMPARISONS).map(([name, run]) =>
  define(
    name,
    fc.record({ pairs, dtype, kind: one<Kind>('ties', 'special') }),
    ({ pairs: { a, b, seed }, dtype, kind }) => ({
      inputs: [typed(a, seed, dtype, kind), typed(b, seed + 1, dtype, kind)],
      run: (x: tf.Tensor, y: tf.Tensor) => run(x, y),
      gradient: false,
    }),
  ),
);

const logic = Object.entries(LOGIC).map(([name, run]) =>
  define(name, pairs, ({ a, b, seed }) => ({
    inputs: [bools(a, seed), bools(b, seed + 1)],
    run: (x: tf.Tensor, y: tf.Tensor) => run(x, y),
  })),
);

export const binaryCases: readonly Case[] = [
  ...arithmetic,
  ...comparisons,
  ...logic,
  define('logicalNot', fc.record({ shape: shapes(0, 3, 0), seed }), ({ shape, seed }) => ({
    inputs: [bools(shape, seed)],
    run: (x: tf.Tensor) => tf.logicalNot(x),
  })),
  define('bitwiseAnd', fc.record({ shape: shapes(0, 3), seed }), ({ shape, seed }) => ({
    inputs: [ints(shape, seed, -99, 99), ints(shape, seed + 1, -99, 99)],
    run: (x: tf.Tensor, y: tf.Tensor) => tf.bitwiseAnd(x, y),
  })),
  define('addN', fc.record({ shape: shapes(0, 3, 0), seed }), ({ shape, seed }) => ({
    inputs: [0, 1, 2].map((i) => floats(shape, seed + i)),
    run: (...tensors: tf.Tensor[]) => tf.addN(tensors),
  })),
  define('prelu', fc.record({ shape: shapes(1, 4), seed, whole: one(0, 1, 2) }), (c) => ({
    inputs: [
      floats(c.shape, c.seed),
      floats(
        c.shape.map((size, i) => (i < c.whole && i < c.shape.length - 1 ? 1 : size)),
        c.seed + 1,
      ),
    ],
    run: (x: tf.Tensor, alpha: tf.Tensor) => tf.prelu(x, alpha),
  })),
  define('where', fc.record({ pairs, seed, kind: one<Kind>('plain', 'special') }), (c) => {
    const shape = tf.broadcast_util.assertAndGetBroadcastShape(c.pairs.a, c.pairs.b);
    return {
      inputs: [
        bools(c.pairs.a, c.seed),
        floats(c.pairs.b, c.seed + 1, c.kind),
        floats(shape, c.seed + 2),
      ],
      run: (condition: tf.Tensor, a: tf.Tensor, b: tf.Tensor) => tf.where(condition, a, b),
      gradient: c.kind === 'plain',
    };
  }),
  define('mean squared error by hand, a chain of ops', pairs, ({ a, b, seed }) => ({
    inputs: [floats(a, seed), floats(b, seed + 1)],
    run: (x: tf.Tensor, y: tf.Tensor) => tf.mean(tf.square(tf.sub(tf.tanh(x), tf.sigmoid(y)))),
  })),
];
