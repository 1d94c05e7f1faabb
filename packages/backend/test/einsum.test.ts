import '../src/index.ts';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { check, expectClose, expectGradient, on, values } from './helpers.ts';

beforeAll(async () => {
  await tf.setBackend('thimble');
});

const EQUATIONS = [
  'ab->ba',
  'ab->a',
  'ab->',
  'a->a',
  'abc->cab',
  'abc->b',
  'ab,bc->ac',
  'ab,cb->ac',
  'ba,bc->ac',
  'ab,bc->ca',
  'ab,bc->',
  'ab,bc->b',
  'bij,bjk->bik',
  'bij,bkj->bik',
  'bqhd,bkhd->bhqk',
  'bhqk,bkhd->bqhd',
  'a,a->',
  'a,b->ab',
  'ab,ab->ab',
  'ab,ab->a',
  'ab,b->ab',
  'abc,cd->abd',
  'abcd,bd->ac',
  'ab,c->a',
  'abc,c->',
  'a,->a',
  ',->',
  'ab, bc -> ac',
];

const SIZES: Record<string, number> = { a: 2, b: 3, c: 4, d: 2, h: 2, i: 3, j: 4, k: 5, q: 3 };

function parse(equation: string): { terms: string[]; output: string } {
  const [operands, output] = equation.replace(/\s/g, '').split('->') as [string, string];
  return { terms: operands.split(','), output };
}

const shapeOf = (labels: string, sizes = SIZES) =>
  [...labels].map((label) => sizes[label] as number);

/** The sum over all labels, entry by entry. */
function byHand(
  equation: string,
  operands: { shape: number[]; data: Float32Array }[],
  sizes = SIZES,
): number[] {
  const { terms, output } = parse(equation);
  const labels = [...new Set(terms.join(''))];
  const out = new Array(tf.util.sizeFromShape(shapeOf(output, sizes))).fill(0);
  const at = (term: string, index: Map<string, number>) =>
    [...term].reduce(
      (sum, label) => sum * (sizes[label] as number) + (index.get(label) as number),
      0,
    );
  const visit = (depth: number, index: Map<string, number>): void => {
    if (depth === labels.length) {
      const value = terms.reduce(
        (product, term, i) => product * (operands[i]?.data[at(term, index)] as number),
        1,
      );
      out[at(output, index)] += value;
      return;
    }
    const label = labels[depth] as string;
    for (let i = 0; i < (sizes[label] as number); i++) visit(depth + 1, index.set(label, i));
  };
  visit(0, new Map());
  return out;
}

const operandsOf = (equation: string, seed: number, sizes = SIZES) =>
  parse(equation).terms.map((term, i) => {
    const shape = shapeOf(term, sizes);
    return { shape, data: values(shape, seed + i) };
  });

describe.each(EQUATIONS)('%s', (equation) => {
  test('equals the sum by hand', async () => {
    const operands = operandsOf(equation, 1);
    const [result] = await on('thimble', () =>
      tf.einsum(equation, ...operands.map(({ data, shape }) => tf.tensor(data, shape))),
    );
    expect(result?.shape).toEqual(shapeOf(parse(equation).output));
    expectClose(result?.data as number[], byHand(equation, operands));
  });

  test('has the right gradient', () =>
    expectGradient(
      (...inputs) => {
        const y = tf.einsum(equation, ...inputs);
        return tf.sum(tf.mul(y, tf.tensor(values(y.shape, 9), y.shape))) as tf.Scalar;
      },
      operandsOf(equation, 1),
    ));
});

test('random equations of two operands equal the sum by hand', () =>
  check(
    fc.record({
      first: fc.shuffledSubarray(['a', 'b', 'c', 'd'], { maxLength: 3 }),
      second: fc.shuffledSubarray(['a', 'b', 'c', 'd'], { maxLength: 3 }),
      output: fc.shuffledSubarray(['a', 'b', 'c', 'd']),
      sizes: fc.record({
        a: fc.integer({ min: 1, max: 3 }),
        b: fc.integer({ min: 1, max: 3 }),
        c: fc.integer({ min: 1, max: 3 }),
        d: fc.integer({ min: 1, max: 3 }),
      }),
      seed: fc.nat(1000),
    }),
    150,
    async ({ first, second, output, sizes, seed }) => {
      const known = output.filter((label) => first.includes(label) || second.includes(label));
      const equation = `${first.join('')},${second.join('')}->${known.join('')}`;
      const operands = operandsOf(equation, seed, sizes);
      const [result] = await on('thimble', () =>
        tf.einsum(equation, ...operands.map(({ data, shape }) => tf.tensor(data, shape))),
      );
      expect(result?.shape).toEqual(shapeOf(known.join(''), sizes));
      expectClose(result?.data as number[], byHand(equation, operands, sizes));
    },
  ));

test('whole numbers stay whole numbers', async () => {
  await tf.setBackend('thimble');
  tf.tidy(() => {
    const a = tf.tensor2d(
      [
        [1, 2],
        [3, 4],
      ],
      [2, 2],
      'int32',
    );
    for (const equation of ['ab,bc->ac', 'ab,ab->a', 'ab,ab->ab', 'ab,c->a']) {
      const operands = equation === 'ab,c->a' ? [a, tf.tensor1d([1, 2], 'int32')] : [a, a];
      expect(tf.einsum(equation, ...operands).dtype).toBe('int32');
    }
    expect(Array.from(tf.einsum('ab,bc->ac', a, a).dataSync())).toEqual([7, 10, 15, 22]);
  });
});

test('sizes that disagree are refused, and nothing is left behind', async () => {
  await tf.setBackend('thimble');
  expect(() => tf.tidy(() => tf.einsum('ab,bc->ac', tf.ones([2, 3]), tf.ones([4, 2])))).toThrow(
    /dimension/,
  );
  const before = tf.memory().numTensors;
  const x = tf.ones([2, 3]);
  const y = tf.einsum('ab->ab', x);
  x.dispose();
  expect(Array.from(y.dataSync())).toEqual([1, 1, 1, 1, 1, 1]);
  y.dispose();
  expect(tf.memory().numTensors).toBe(before);
});
