import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { DataError, NoMatchError, OptionError, Random } from '@thimble/base';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { ImageDataset } from '../src/index.ts';

beforeAll(async () => {
  tf.env().set('IS_TEST', true); // No greeting on the console.
  await tf.setBackend('cpu');
});

/** Image i of 2 x 3: its number, then 10, 20, 30, 40 and 255. */
function made(size: number = 10, classes: number = 3): ImageDataset {
  return new ImageDataset({
    pixels: Uint8Array.from({ length: size * 6 }, (_, k) =>
      k % 6 === 0 ? k / 6 : [0, 10, 20, 30, 40, 255][k % 6]!,
    ),
    labels: Uint8Array.from({ length: size }, (_, i) => i % classes),
    imageShape: [2, 3, 1],
    classNames: Array.from({ length: classes }, (_, c) => `class ${c}`),
    name: 'made',
    source: 'made for a test',
  });
}

describe('ImageDataset', () => {
  test('tells what it is', () => {
    const data = made();
    expect(data).toMatchObject({
      size: 10,
      classes: 3,
      imageShape: [2, 3, 1],
      imageSize: 6,
      name: 'made',
      source: 'made for a test',
      synthetic: false,
      varies: false,
    });
    expect([...data.labels]).toEqual([0, 1, 2, 0, 1, 2, 0, 1, 2, 0]);
    expect([...data.image(4)]).toEqual([4, 10, 20, 30, 40, 255]);
  });

  test('batch gives pixels in [0, 1] and one-hot labels, in the order asked for', async () => {
    const { images, labels } = made().batch([5, 0, 5]);
    expect([images.shape, images.dtype]).toEqual([[3, 2, 3, 1], 'float32']);
    expect([labels.shape, labels.dtype]).toEqual([[3, 3], 'float32']);
    // 10 / 255 and so on in float32.
    const rest = [10, 20, 30, 40, 255].map((byte) => Math.fround(byte / 255));
    const image = (i: number): number[] => [Math.fround(i / 255), ...rest];
    expect([...(await images.data())]).toEqual([...image(5), ...image(0), ...image(5)]);
    expect([...(await labels.data())]).toEqual([0, 0, 1, 1, 0, 0, 0, 0, 1]);
    tf.dispose([images, labels]);
  });

  test('tensors gives all, or the first ones', () => {
    const all = made().tensors();
    const two = made().tensors({ limit: 2 });
    const many = made().tensors({ limit: 99 });
    expect([all, two, many].map((pair) => pair.images.shape[0])).toEqual([10, 2, 10]);
    expect(two.labels.arraySync()).toEqual([
      [1, 0, 0],
      [0, 1, 0],
    ]);
    tf.dispose([all, two, many] as unknown as tf.TensorContainer);
  });

  test('leaves nothing behind but the tensors it gives', () => {
    const data = made().jitter(1).augment({ rotate: 10 });
    const before = tf.memory().numTensors;
    for (let i = 0; i < 3; i++) {
      const { images, labels } = data.batch([1, 2, 3], new Random(i));
      expect(tf.memory().numTensors).toBe(before + 2);
      tf.dispose([images, labels]);
    }
    expect(() => data.batch([1, 99])).toThrow(OptionError);
    expect(tf.memory().numTensors).toBe(before);
  });

  test('take and filter choose, and can be chained', () => {
    const data = made();
    expect([...data.take(4).labels]).toEqual([0, 1, 2, 0]);
    const kept = data.filter((label) => label !== 1);
    expect(kept.size).toBe(7);
    expect(kept.classes).toBe(3);
    const last = kept.filter((_, index) => index >= 5).take(1);
    expect([...last.image(0)].at(0)).toBe(8);
    expect([...last.labels]).toEqual([2]);
  });

  test('split is disjoint, exhaustive, stratified and seeded', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 60 }),
        fc.integer({ min: 1, max: 5 }),
        fc.double({ min: 0.02, max: 0.98, noNaN: true }),
        fc.integer(),
        (size, classes, share, seed) => {
          const data = made(size, classes);
          const count = Math.min(size - 1, Math.max(1, Math.round(share * size)));
          const [train, validation] = data.split(count, seed);
          expect(validation.size).toBe(count);
          const numbers = (part: ImageDataset): number[] =>
            Array.from({ length: part.size }, (_, i) => part.image(i)[0]!);
          const [a, b] = [numbers(train), numbers(validation)];
          expect([...a].sort((x, y) => x - y)).toEqual(a);
          expect([...a, ...b].sort((x, y) => x - y)).toEqual(
            Array.from({ length: size }, (_, i) => i),
          );
          for (let c = 0; c < classes; c++) {
            const all = data.labels.filter((label) => label === c).length;
            const chosen = validation.labels.filter((label) => label === c).length;
            expect(Math.abs(chosen - (all * count) / size)).toBeLessThan(1);
          }
          const [again] = data.split(count, seed);
          expect(numbers(again)).toEqual(a);
        },
      ),
      { seed: 2, numRuns: 80 },
    );
  });

  test('split takes a fraction, and other seeds choose others', () => {
    const [train, validation] = made(50).split(0.2, 1);
    expect([train.size, validation.size]).toEqual([40, 10]);
    const numbers = (seed: number): string => made(50).split(0.2, seed)[1].labels.join();
    const images = (seed: number): number[] => {
      const part = made(50).split(0.2, seed)[1];
      return Array.from({ length: part.size }, (_, i) => part.image(i)[0]!);
    };
    expect(images(1)).not.toEqual(images(2));
    expect(numbers(1).length).toBe(numbers(2).length);
  });

  test('a split of a split holds no example twice', () => {
    const [rest, first] = made(30).split(10, 3);
    const [, second] = rest.split(10, 3);
    const numbers = [first, second].flatMap((part) =>
      Array.from({ length: part.size }, (_, i) => part.image(i)[0]!),
    );
    expect(new Set(numbers).size).toBe(20);
  });

  test('rejects bad arguments by name', () => {
    const data = made();
    for (const indices of [[10], [-1], [0.5], [Number.NaN]]) {
      expect(() => data.batch(indices)).toThrow(OptionError);
      expect(() => data.batch(indices)).toThrow(`the index ${indices[0]}`);
    }
    expect(() => data.batch([])).toThrow(OptionError);
    expect(() => data.image(10)).toThrow(OptionError);
    for (const n of [0, -1, 1.5, Number.NaN]) {
      expect(() => data.tensors({ limit: n })).toThrow(OptionError);
      expect(() => data.take(n)).toThrow(OptionError);
    }
    expect(() => data.take(11)).toThrow('made: take: count must be a whole number from 1 to 10');
    expect(() => data.tensors({ limt: 3 } as object)).toThrow('unknown option "limt"');
    for (const n of [0, 1.5, 10, -0.1, Number.NaN])
      expect(() => data.split(n)).toThrow(OptionError);
    expect(() => data.filter(() => false)).toThrow(NoMatchError);
  });

  test('rejects contents that disagree', () => {
    const contents = {
      pixels: new Uint8Array(12),
      labels: Uint8Array.from([0, 1]),
      imageShape: [2, 3, 1] as const,
      classNames: ['a', 'b'],
      name: 'bad',
      source: '',
    };
    expect(new ImageDataset(contents).size).toBe(2);
    const bad = (change: object): (() => ImageDataset) => {
      return () => new ImageDataset({ ...contents, ...change });
    };
    expect(bad({ pixels: new Uint8Array(18) })).toThrow('bad: 2 labels but 3 images');
    expect(bad({ labels: Uint8Array.from([0, 2]) })).toThrow('image 1 has the label 2');
    expect(bad({ labels: new Uint8Array(), pixels: new Uint8Array() })).toThrow(DataError);
    expect(bad({ imageShape: [2, 0, 1] })).toThrow(DataError);
  });
});
