import { CheckpointError } from '@thimble/base';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeState, encodeState } from '../src/checkpoint-file.ts';
import type { StateValue } from '../src/training.ts';

const options = { seed: 7, numRuns: 200 };
const keys = fc.oneof(fc.string(), fc.constantFrom('$', '__proto__', 'v', 'at', ''));
const { tree } = fc.letrec<{ tree: StateValue }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4 },
    fc.constant(null),
    fc.boolean(),
    fc.double(),
    fc.constantFrom(-0, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY),
    fc.string({ unit: 'binary' }),
    fc.float32Array(),
    fc.float64Array(),
    fc.int32Array(),
    fc.uint32Array(),
    fc.uint8Array(),
    fc.array(tie('tree')),
    fc.dictionary(keys, tie('tree'), { noNullPrototype: true }),
  ) as fc.Arbitrary<StateValue>,
}));

describe('checkpoint bytes', () => {
  it('give every value back as it was', () => {
    fc.assert(
      fc.property(tree, (value) => {
        expect(decodeState(encodeState(value))).toEqual(value);
      }),
      options,
    );
  });

  it('give numbers and typed arrays back bit by bit', () => {
    const bits = Uint32Array.of(0x7fc00001, 0x80000000, 0x00000001, 0x7f7fffff);
    const value = { array: new Float32Array(bits.buffer), zero: -0, third: 1 / 3 };
    const back = decodeState(encodeState(value)) as typeof value;
    expect(new Uint32Array(back.array.buffer)).toEqual(bits);
    expect(Object.is(back.zero, -0)).toBe(true);
    expect(back.third).toBe(1 / 3);
  });

  it('take a typed array that starts anywhere in its buffer', () => {
    const view = new Float32Array(new Float32Array([1, 2, 3, 4]).buffer, 4, 2);
    expect(decodeState(encodeState([true, view]))).toEqual([true, Float32Array.of(2, 3)]);
  });

  it('cut anywhere are an error by name', () => {
    fc.assert(
      fc.property(tree, fc.nat(), (value, n) => {
        const bytes = encodeState(value);
        const cut = bytes.subarray(0, n % bytes.length);
        expect(() => decodeState(cut)).toThrow(CheckpointError);
      }),
      options,
    );
  });

  it('with any bit flipped are an error by name', () => {
    fc.assert(
      fc.property(tree, fc.nat(), (value, n) => {
        const bytes = encodeState(value);
        const bit = n % (8 * bytes.length);
        bytes[bit >> 3]! ^= 1 << (bit & 7);
        expect(() => decodeState(bytes)).toThrow(CheckpointError);
      }),
      options,
    );
  });

  it('name the file and the fault', () => {
    const bytes = encodeState([1, 2, 3]);
    expect(() => decodeState(bytes.subarray(0, 21), 'run/a')).toThrow(/^run\/a is truncated/);
    expect(() => decodeState(new Uint8Array(64), 'run/a')).toThrow(/^run\/a is no Thimble/);
  });

  it('refuse what they cannot hold, and say where', () => {
    const value = { hooks: [{ when: new Date() }] } as unknown as StateValue;
    expect(() => encodeState(value)).toThrow(/hooks\[0\]\.when/);
  });
});
