import * as base from '@thimble/base';
import { checkInteger, checkOptions, checkRange, OptionError, ThimbleError } from '@thimble/base';
import { expect, test } from 'vitest';

test('errors carry their class as name, are Thimble errors and keep their cause', () => {
  const classes = Object.entries(base).filter(([name]) => name.endsWith('Error'));
  expect(classes).toHaveLength(11);
  for (const [name, value] of classes) {
    const cause = new Error('why');
    const error = new (value as typeof ThimbleError)('bad', { cause });
    expect(error.name).toBe(name);
    expect(error.message).toBe('bad');
    expect(error.cause).toBe(cause);
    expect(error).toBeInstanceOf(ThimbleError);
    expect(error).toBeInstanceOf(Error);
  }
});

test('checkOptions names the unknown option and the known ones', () => {
  expect(() => checkOptions('mask', { spasity: 1 }, ['sparsity'])).toThrow(
    'mask: unknown option "spasity". Known options: sparsity.',
  );
  expect(() => checkOptions('mask', { sparsity: 1 }, ['sparsity'])).not.toThrow();
  expect(() => checkOptions('mask', undefined as never, ['sparsity'])).toThrow(
    'mask: options must be an object, not undefined. Options: sparsity.',
  );
});

test.each([[Number.NaN], [-0.1], [1.1], [Number.POSITIVE_INFINITY]])(
  'checkRange refuses %s',
  (value) => {
    expect(() => checkRange('fit', 'alpha', value, 0, 1)).toThrow(
      `fit: alpha must be a number from 0 to 1, not ${value}.`,
    );
  },
);

test('checkRange takes the ends', () => {
  expect(() => checkRange('fit', 'alpha', 0, 0, 1)).not.toThrow();
  expect(() => checkRange('fit', 'alpha', 1, 0, 1)).not.toThrow();
});

test.each([[0], [2.5], [Number.NaN], [17]])('checkInteger refuses %s', (value) => {
  expect(() => checkInteger('fakeQuant', 'bits', value, 2, 16)).toThrow(OptionError);
});
