import { hashSeed, Random, withSeed } from '@thimble/base';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

const seed = 20_24;

describe('Random', () => {
  test('same seed, same numbers; other seed or stream, other numbers', () => {
    const draw = (random: Random) => Array.from({ length: 8 }, () => random.uniform());
    expect(draw(new Random(7))).toEqual(draw(new Random(7)));
    expect(draw(new Random(7))).not.toEqual(draw(new Random(8)));
    expect(draw(new Random(7, 'a'))).not.toEqual(draw(new Random(7, 'b')));
    expect(draw(new Random(7))).not.toEqual(draw(new Random('7')));
  });

  test('a saved state goes on with the same numbers', () => {
    const random = new Random(3);
    random.uniform();
    const twin = Random.from(random.state());
    expect([twin.uniform(), twin.normal(), twin.integer(9)]).toEqual([
      random.uniform(),
      random.normal(),
      random.integer(9),
    ]);
  });

  test('a state survives JSON', () => {
    const random = new Random(11);
    for (let i = 0; i < 1000; i++) random.uniform();
    const twin = Random.from(JSON.parse(JSON.stringify(random.state())));
    expect(twin.uniform()).toBe(random.uniform());
  });

  test('uniform and normal have the moments of their distributions', () => {
    const random = new Random(5);
    const n = 200_000;
    let sum = 0;
    let squares = 0;
    let uniform = 0;
    for (let i = 0; i < n; i++) {
      const x = random.normal();
      sum += x;
      squares += x * x;
      uniform += random.uniform();
    }
    // Standard errors: 1/sqrt(n) = 0.0022, sqrt(2/n) = 0.0032, sqrt(1/12n) = 0.00065; five of each.
    expect(Math.abs(sum / n)).toBeLessThan(0.011);
    expect(Math.abs(squares / n - 1)).toBeLessThan(0.016);
    expect(Math.abs(uniform / n - 0.5)).toBeLessThan(0.0033);
  });

  test('integer covers its range evenly', () => {
    const random = new Random(9);
    const counts = new Array<number>(10).fill(0);
    for (let i = 0; i < 100_000; i++) counts[random.integer(10)]!++;
    // Chi-squared with 9 degrees of freedom: below 27.9 with probability 0.999.
    const chi = counts.reduce((total, c) => total + (c - 10_000) ** 2 / 10_000, 0);
    expect(chi).toBeLessThan(27.9);
  });

  test('permutation holds every number once', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 300 }), fc.integer(), (n, s) => {
        const order = new Random(s).permutation(n);
        expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: n }, (_, i) => i));
      }),
      { seed, numRuns: 100 },
    );
  });

  test('all orders of three are equally likely', () => {
    const counts = new Map<string, number>();
    const random = new Random(1);
    for (let i = 0; i < 60_000; i++) {
      const key = random.permutation(3).join('');
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    expect(counts.size).toBe(6);
    // Chi-squared with 5 degrees of freedom: below 20.5 with probability 0.999.
    const chi = [...counts.values()].reduce((total, c) => total + (c - 10_000) ** 2 / 10_000, 0);
    expect(chi).toBeLessThan(20.5);
  });
});

test('hashSeed tells parts apart', () => {
  expect(hashSeed('ab', 'c')).not.toBe(hashSeed('a', 'bc'));
  expect(hashSeed(1)).not.toBe(hashSeed('1'));
  expect(hashSeed(1, 2)).toBe(hashSeed(1, 2));
});

describe('withSeed', () => {
  test('makes Math.random reproducible inside, and puts it back', () => {
    const original = Math.random;
    const first = withSeed(4, () => [Math.random(), Math.random()]);
    expect(withSeed(4, () => [Math.random(), Math.random()])).toEqual(first);
    expect(Math.random).toBe(original);
  });

  test('puts Math.random back when the body throws', () => {
    const original = Math.random;
    expect(() =>
      withSeed(4, () => {
        throw new Error('inside');
      }),
    ).toThrow('inside');
    expect(Math.random).toBe(original);
  });
});
