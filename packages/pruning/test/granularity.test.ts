import { OptionError, UnsupportedError } from '@thimble/base';
import type { Axes } from '@thimble/core';
import type { Granularity } from '@thimble/pruning';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkGranularity, patternOf, unitsOf } from '../src/granularity.ts';

const axes = (rest: Partial<Axes>): Axes => ({ out: 1, in: 0, space: [], gates: 1, ...rest });
const CONV = axes({ out: 3, in: 2, space: [0, 1] });
const TRANSPOSED = axes({ out: 2, in: 3, space: [0, 1] });
const DEPTHWISE = axes({ out: 2, in: 2, space: [0, 1] });

/** The unit of every entry, renumbered in the order in which units appear. */
function pattern(granularity: Granularity, shape: number[], of: Axes): number[] {
  const units = unitsOf(granularity, shape, of, 'layer/kernel');
  const seen = new Map<number, number>();
  return Array.from(units.of!, (unit) => {
    if (!seen.has(unit)) seen.set(unit, seen.size);
    return seen.get(unit)!;
  });
}

describe('unitsOf', () => {
  it('takes every entry for itself', () => {
    expect(unitsOf('element', [2, 3], axes({}), 'k')).toEqual({
      count: 6,
      of: undefined,
      sizes: undefined,
    });
  });

  it.each<[string, Granularity, number[], Axes, number[]]>([
    ['a unit of a dense layer is a column', 'neuron', [2, 3], axes({}), [0, 1, 2, 0, 1, 2]],
    ['filter is the same', 'filter', [2, 3], axes({}), [0, 1, 2, 0, 1, 2]],
    ['an input channel is a row', 'channel', [2, 3], axes({}), [0, 0, 0, 1, 1, 1]],
    ['a filter of a convolution', 'filter', [1, 2, 2, 2], CONV, [0, 1, 0, 1, 0, 1, 0, 1]],
    ['an input channel of it', 'channel', [1, 2, 2, 2], CONV, [0, 0, 1, 1, 0, 0, 1, 1]],
    ['a kernel of it', 'kernel', [1, 2, 2, 2], CONV, [0, 1, 2, 3, 0, 1, 2, 3]],
    ['a filter of a transposed one', 'filter', [1, 2, 2, 2], TRANSPOSED, [0, 0, 1, 1, 0, 0, 1, 1]],
    ['a depthwise channel', 'channel', [1, 2, 2, 2], DEPTHWISE, [0, 0, 1, 1, 0, 0, 1, 1]],
    ['a depthwise filter', 'filter', [1, 2, 2, 2], DEPTHWISE, [0, 0, 1, 1, 0, 0, 1, 1]],
    ['a depthwise kernel', 'kernel', [1, 2, 2, 2], DEPTHWISE, [0, 1, 2, 3, 0, 1, 2, 3]],
    [
      'a recurrent unit is a column of each gate',
      'neuron',
      [1, 8],
      axes({ gates: 4 }),
      [0, 1, 0, 1, 0, 1, 0, 1],
    ],
    ['a block of a convolution is 2 filters', 'block', [1, 1, 2, 3], CONV, [0, 0, 1, 2, 2, 3]],
    ['a box', { block: [2, 2] }, [2, 4], axes({}), [0, 0, 1, 1, 0, 0, 1, 1]],
    ['a box along the last axes', { block: [2] }, [2, 3], axes({}), [0, 0, 1, 2, 2, 3]],
    ['a pattern runs along the inputs', '1:2', [3, 2], axes({}), [0, 1, 0, 1, 2, 3]],
    ['and along those of a convolution', '1:2', [1, 1, 3, 2], CONV, [0, 1, 0, 1, 2, 3]],
  ])('%s', (_name, granularity, shape, of, expected) => {
    expect(pattern(granularity, shape, of)).toEqual(expected);
  });

  it('a block of a dense layer is 8 units', () => {
    const expected = Array.from({ length: 20 }, (_, i) => (i < 10 ? 0 : 2) + (i % 10 < 8 ? 0 : 1));
    expect(pattern('block', [2, 10], axes({}))).toEqual(expected);
  });

  it('parts the entries: each is in one unit, no unit is empty, sizes count', () => {
    const shapes = fc.record({
      shape: fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 4, maxLength: 4 }),
      of: fc.constantFrom(CONV, TRANSPOSED, DEPTHWISE),
      granularity: fc.constantFrom<Granularity>(
        'block',
        'kernel',
        'filter',
        'neuron',
        'channel',
        '2:4',
        { block: [2, 2] },
        { block: [3, 1, 2] },
      ),
    });
    fc.assert(
      fc.property(shapes, ({ shape, of, granularity }) => {
        const units = unitsOf(granularity, shape, of, 'k');
        const counts = new Int32Array(units.count);
        for (const unit of units.of!) counts[unit]!++;
        expect(units.of).toHaveLength(shape.reduce((a, b) => a * b, 1));
        expect(Math.max(...units.of!)).toBeLessThan(units.count);
        expect(units.sizes).toEqual(counts);
        expect(counts.includes(0)).toBe(false);
      }),
      { seed: 6 },
    );
  });

  it('keeps the gates of a recurrent unit together', () => {
    const sizes = fc.record({
      inputs: fc.integer({ min: 1, max: 4 }),
      size: fc.integer({ min: 1, max: 5 }),
      gates: fc.constantFrom(1, 3, 4),
    });
    fc.assert(
      fc.property(sizes, ({ inputs, size, gates }) => {
        const { of, count } = unitsOf('neuron', [inputs, size * gates], axes({ gates }), 'k');
        expect(count).toBe(size);
        for (let row = 0; row < inputs; row++) {
          for (let column = 0; column < size * gates; column++) {
            expect(of![row * size * gates + column]).toBe(column % size);
          }
        }
      }),
      { seed: 8 },
    );
  });

  it('names a weight that has no such units', () => {
    const kernel = () => unitsOf('kernel', [2, 3], axes({}), 'fc/kernel');
    expect(kernel).toThrow(UnsupportedError);
    expect(kernel).toThrow(
      "The weight fc/kernel of shape [2,3] has no spatial window; prune it with granularity 'element'.",
    );
    const vector = axes({ out: 0, in: -1 });
    expect(() => unitsOf('channel', [3], vector, 'fc/bias')).toThrow('no input channels');
    expect(() => unitsOf('2:4', [3], vector, 'fc/bias')).toThrow('no input axis');
    expect(() => unitsOf('filter', [3], vector, 'fc/bias')).toThrow('no output channels');
    expect(() => unitsOf({ block: [1, 2, 2] }, [2, 3], axes({}), 'k')).toThrow('fewer axes');
  });
});

describe('checkGranularity', () => {
  it.each<[unknown]>([
    ['rows'],
    ['4:4'],
    ['0:4'],
    ['5:4'],
    ['2:4:8'],
    [{ block: [] }],
    [{ block: [0] }],
    [{ block: [1.5] }],
    [{ block: 2 }],
    [undefined],
    [null],
  ])('refuses %j', (granularity) => {
    const check = () => checkGranularity('prune', granularity as Granularity);
    expect(check).toThrow(OptionError);
    expect(check).toThrow('prune: granularity must be one of element, block,');
  });

  it.each<[Granularity]>([['element'], ['2:4'], ['1:16'], [{ block: [4] }]])('takes %j', (good) => {
    expect(checkGranularity('prune', good)).toBeUndefined();
  });

  it('reads patterns', () => {
    expect(patternOf('2:4')).toEqual({ keep: 2, of: 4 });
    expect(patternOf('block')).toBeUndefined();
    expect(patternOf({ block: [2, 4] })).toBeUndefined();
  });
});
