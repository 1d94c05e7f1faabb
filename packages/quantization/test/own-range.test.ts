import '@thimble/backend';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { Random } from '@thimble/base';
import { parametrize, parametrizedWeights } from '@thimble/core';
import { type FakeQuantOptions, fakeQuant } from '@thimble/quantization';
import { useCpu } from '@thimble/testing';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { codedValues } from '../src/codes.ts';
import { gridOf, snap } from '../src/grid.ts';
import { snapToOwnRange } from '../src/own-range.ts';

useCpu();

const cases = fc.record({
  shape: fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 4 }),
  axis: fc.option(fc.nat(3)),
  bits: fc.integer({ min: 2, max: 16 }),
  symmetric: fc.boolean(),
  narrowRange: fc.boolean(),
  shift: fc.constantFrom(0, 0, 2, -2),
  scale: fc.constantFrom(1, 0.03, 0, 1e-31),
  nan: fc.boolean(),
  seed: fc.nat(),
});

type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never;

function made({ shape, axis, bits, symmetric, narrowRange, shift, scale, nan, seed }: Case) {
  const random = new Random(seed);
  const size = shape.reduce((n, s) => n * s, 1);
  const values = Float32Array.from({ length: size }, () => (random.normal(0, 1) + shift) * scale);
  if (nan) values[random.integer(size)] = Number.NaN;
  const along = axis === null || axis >= shape.length ? null : axis;
  return { w: tf.tensor(values, shape), along, options: { bits, symmetric, narrowRange } };
}

/** The grid and its values, composed of stock ops; where the gradient passes, from the ends of the grid. */
function composed(w: tf.Tensor, along: number | null, options: FakeQuantOptions) {
  const axes = w.shape.map((_, i) => i).filter((i) => i !== along);
  const grid = gridOf(tf.min(w, axes, true), tf.max(w, axes, true), options);
  const end = (code: number) => tf.mul(tf.sub(code, grid.zeroPoint), grid.scale);
  const passes = tf.logicalAnd(tf.greaterEqual(w, end(grid.low)), tf.lessEqual(w, end(grid.high)));
  return { values: snap(w, grid), passes, grid };
}

/** The values, one for both zeros. Compared exactly, NaN being equal to itself. */
const exactly = (x: tf.Tensor) => Array.from(x.dataSync(), (value) => value + 0);

describe.each(['cpu', 'thimble'])('a weight snapped to its own range on %s', (backend) => {
  beforeAll(() => tf.setBackend(backend));

  it('is snap of gridOf to the last bit, with its gradient and its codes', () => {
    fc.assert(
      fc.property(cases, (each) => {
        tf.tidy(() => {
          const { w, along, options } = made(each);
          const expected = composed(w, along, options);
          const values = snapToOwnRange(w, along, options);
          expect(exactly(values)).toEqual(exactly(expected.values));

          const dy = tf.randomUniform(w.shape, 1, 2, 'float32', 7);
          const gradient = tf.grad((x) => snapToOwnRange(x, along, options))(w, dy);
          expect(exactly(gradient)).toEqual(
            exactly(tf.where(expected.passes, dy, tf.zerosLike(dy))),
          );

          const coded = codedValues(values)!;
          expect(exactly(tf.mul(coded.codes, coded.scale))).toEqual(exactly(expected.values));
          expect(exactly(tf.reshape(coded.scale, [-1]))).toEqual(
            exactly(tf.reshape(expected.grid.scale, [-1])),
          );
        });
      }),
      { numRuns: 150, seed: 5 },
    );
  });

  it('trains as it is baked', () => {
    const layer = tfl.layers.dense({ units: 7, useBias: false, inputShape: [9] });
    parametrize(layer, { kernel: [fakeQuant({ bits: 4, perChannel: true, symmetric: true })] });
    const model = tfl.sequential({ layers: [layer] });
    const x = tf.eye(9);
    const seen = tf.tidy(() => layer.apply(x, { training: true }) as tf.Tensor);
    expect(exactly(seen)).toEqual(exactly(parametrizedWeights(model)[0]!.bake()));
    tf.dispose([x, seen]);
  });
});
