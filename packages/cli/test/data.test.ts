import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import '@thimble/backend';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import jpeg from 'jpeg-js';
import { PNG } from 'pngjs';
import type { BatchSource } from 'thimble';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseCsv } from '../src/data/csv.ts';
import { sourceFor } from '../src/data/examples.ts';
import { absolute, loadExamples, loadParts } from '../src/data/load.ts';
import { parseNpy } from '../src/data/npy.ts';

const reading = { progress: false } as const;
let folder: string;

beforeAll(async () => {
  await tf.setBackend('thimble');
  folder = await mkdtemp(join(tmpdir(), 'thimble-cli-data-'));
});
afterAll(() => rm(folder, { recursive: true }));

function modelFor(inputShape: number[], units: number): tfl.LayersModel {
  const layers = [
    ...(inputShape.length > 1 ? [tfl.layers.flatten({ inputShape })] : []),
    tfl.layers.dense({ units, ...(inputShape.length > 1 ? {} : { inputShape }) }),
  ];
  return tfl.sequential({ layers });
}

/** The values of all examples of a source. */
function valuesOf(source: BatchSource): { x: number[]; shape: number[]; y: number[] } {
  const { xs, ys } = source.batch(Uint32Array.from({ length: source.size }, (_, i) => i)) as {
    xs: tf.Tensor;
    ys: tf.Tensor;
  };
  const found = { x: Array.from(xs.dataSync()), shape: xs.shape, y: Array.from(ys.dataSync()) };
  tf.dispose([xs, ys]);
  return found;
}

async function read(spec: string, model: tfl.LayersModel, more: object = {}) {
  const { source } = await loadExamples(model, { data: spec, ...more }, reading);
  return valuesOf(source);
}

describe('NPY, as NumPy 2.4.6 saved it (np.save)', () => {
  const path = (name: string) => fileURLToPath(new URL(`./npy/${name}.npy`, import.meta.url));
  const bytes = async (name: string) => new Uint8Array(await readFile(path(name)));

  test.each([
    // np.array([[1.5, -2, 3], [4, 5, 6.25]], np.float32), and so on
    ['float32', [2, 3], [1.5, -2, 3, 4, 5, 6.25], false],
    ['uint8', [2, 2, 2], [0, 1, 2, 3, 4, 5, 6, 7], true],
    ['int64', [3], [7, -3, 2 ** 40], false],
    ['float64-high-byte-first', [2], [0.1, -0.5], false],
  ])('%s', async (name, shape, values, isBytes) => {
    const array = parseNpy(await bytes(name), name);
    expect({ ...array, values: Array.from(array.values) }).toEqual({ shape, values, isBytes });
  });

  test('refuses columns first, words, what is cut off and what is none', async () => {
    const [columns, words, floats] = await Promise.all(
      ['columns-first', 'words', 'float32'].map(bytes),
    );
    expect(() => parseNpy(columns!, 'x.npy')).toThrow('columns first');
    expect(() => parseNpy(words!, 'x.npy')).toThrow('astype(np.float32)');
    expect(() => parseNpy(floats!.slice(0, -1), 'x.npy')).toThrow('expected 24 bytes');
    expect(() => parseNpy(floats!.slice(0, 9), 'x.npy')).toThrow('ends in its header');
    expect(() => parseNpy(new Uint8Array(20), 'x.npy')).toThrow('no .npy file');
  });

  test('bytes are divided by 255, floats stay; labels become one-hot', async () => {
    const found = await read(`${path('uint8')},${path('labels')}`, modelFor([2, 2, 1], 2));
    expect(found.shape).toEqual([2, 2, 2, 1]);
    expect(found.x[7]).toBeCloseTo(7 / 255, 6);
    expect(found.y).toEqual([0, 1, 1, 0]);
    const floats = await read(`${path('float32')},${path('labels')}`, modelFor([3], 1));
    expect(floats.x).toEqual([1.5, -2, 3, 4, 5, 6.25]);
    expect(floats.y).toEqual([1, 0]); // one output takes the figures themselves
    await expect(read(`${path('uint8')},${path('int64')}`, modelFor([2, 2, 1], 2))).rejects.toThrow(
      'has 2 examples, but',
    );
  });
});

describe('CSV', () => {
  test('names of columns, words as classes in alphabetical order', () => {
    const found = parseCsv('a,species,b\n1,setosa,2\n3,iris,4\n', 'x.csv', { label: 'species' });
    expect(found.shape).toEqual([2]);
    expect(Array.from(found.row(1))).toEqual([3, 4]);
    expect(found.classNames).toEqual(['iris', 'setosa']);
    expect(Array.from(found.labels.values)).toEqual([1, 0]);
  });

  test('without names the last column is the label; one named "label" goes before it', () => {
    expect(Array.from(parseCsv('1,2,0\n3,4,1', 'x.csv').labels.values)).toEqual([0, 1]);
    const named = parseCsv('label,"b"\n7,"2.5"\n', 'x.csv');
    expect(Array.from(named.labels.values)).toEqual([7]);
    expect(Array.from(named.row(0))).toEqual([2.5]);
  });

  test('what is no finite number is refused, in examples and in figures', async () => {
    const source = { size: 2, scale: 1, shape: [1], name: 'x' };
    const made = (x: number[], y: number[]) =>
      sourceFor(modelFor([1], 1), {
        ...source,
        row: (i) => [x[i]!],
        labels: { values: y, width: 1 },
      });
    expect(() => valuesOf(made([1, Number.NaN], [1, 2]))).toThrow('x: example 1 has NaN.');
    expect(() => valuesOf(made([1, 2], [Number.POSITIVE_INFINITY, 2]))).toThrow(
      'example 0 has Inf',
    );
  });

  test('a first line of numbers and a word is an example', () => {
    const found = parseCsv('5.1,setosa\n4.9,iris\n', 'x.csv');
    expect(found.size).toBe(2);
    expect(found.classNames).toEqual(['iris', 'setosa']);
    expect(parseCsv('0,species\n4.9,iris\n', 'x.csv', { label: 'species' }).size).toBe(1);
    expect(parseCsv('0,y\n4.9,iris\n', 'x.csv').size).toBe(1);
    expect(parseCsv('0,figure\n4.9,1\n', 'x.csv').size).toBe(1);
  });

  test('a part of the classes keeps their numbers, columns are found by name', async () => {
    const [train, test] = [join(folder, 'train.csv'), join(folder, 'test.csv')];
    await writeFile(train, 'a,b,species\n1,2,ant\n3,4,bee\n5,6,cat\n');
    await writeFile(test, 'species,b,a\ncat,8,7\nbee,10,9\n');
    const model = modelFor([2], 3);
    const about = { data: train, test, label: 'species' };
    const parts = await loadParts(model, about, reading);
    expect(valuesOf(parts.test!)).toMatchObject({ x: [7, 8, 9, 10], y: [0, 0, 1, 0, 1, 0] });
    await writeFile(test, 'species,b,c\ncat,8,7\n');
    await expect(loadParts(model, about, reading)).rejects.toThrow('has no column "a", which');
    await writeFile(test, 'a,b,species\n1,2,dog\n');
    await expect(loadParts(model, about, reading)).rejects.toThrow(
      'line 2: "dog" is none of the classes ant, bee, cat.',
    );
  });

  test('what the file of a network calls the classes says their numbers', async () => {
    const path = join(folder, 'some.csv');
    await writeFile(path, 'a,species\n1,cat\n2,bee\n');
    const numbersBy = async (labels: string[]) => {
      const { examples } = await loadExamples(modelFor([1], 3), { data: path }, reading, labels);
      return Array.from(examples.labels.values);
    };
    expect(await numbersBy(['ant', 'bee', 'cat'])).toEqual([2, 1]);
    expect(await numbersBy(['zero', 'one', 'two'])).toEqual([1, 0]); // other names: in alphabetical order
  });

  test.each([
    ['what is no number', 'a,b,y\n1,2,0\n1,x,0\n', undefined, 'line 3: "x" in column "b"'],
    ['a column that is not there', 'a,y\n1,0\n', 'z', 'no column "z". Its columns: a, y.'],
    ['lines of other lengths', 'a,y\n1,0\n1\n', undefined, 'cannot be read as CSV'],
    ['nothing', '', undefined, 'has no lines'],
    ['names alone', 'a,y\n', undefined, 'no examples'],
  ])('refuses %s', (_, text, label, message) => {
    expect(() => parseCsv(text, 'x.csv', { label })).toThrow(message);
  });
});

test('IDX files, images and labels', async () => {
  const [images, labels] = [join(folder, 'i.idx3-ubyte'), join(folder, 'l.idx1-ubyte')];
  const head = (...sizes: number[]) => sizes.flatMap((n) => [0, 0, 0, n]);
  await writeFile(images, Uint8Array.from([0, 0, 8, 3, ...head(2, 1, 2), 0, 255, 51, 102]));
  await writeFile(labels, Uint8Array.from([0, 0, 8, 1, ...head(2), 2, 0]));
  const { x, y } = await read(`${images},${labels}`, modelFor([1, 2, 1], 3));
  expect(x.map((value) => Math.round(255 * value))).toEqual([0, 255, 51, 102]);
  expect(y).toEqual([0, 0, 1, 1, 0, 0]);
  await expect(read(`${images},${labels}`, modelFor([1, 2, 1], 2))).rejects.toThrow(
    'example 0 has the label 2; the model has 2 outputs, so labels are whole numbers from 0 to 1.',
  );
});

describe('folders of images', () => {
  function png(pixels: [number, number, number][], width: number): Buffer {
    const image = new PNG({ width, height: pixels.length / width });
    pixels.forEach((pixel, i) => {
      image.data.set([...pixel, 255], 4 * i);
    });
    return PNG.sync.write(image);
  }
  const grey = (value: number): [number, number, number] => [value, value, value];

  async function write(path: string, bytes: Uint8Array): Promise<void> {
    await mkdir(join(path, '..'), { recursive: true });
    await writeFile(path, bytes);
  }

  test('classes in natural order, colours as the model takes them', async () => {
    const root = join(folder, 'images');
    await write(join(root, 'train/2/a.png'), png([[200, 100, 50], grey(0)], 2));
    await write(join(root, 'train/10/a.png'), png([grey(255), grey(10)], 2));
    await write(join(root, 'test/10/b.png'), png([grey(1), grey(2)], 2));
    const model = modelFor([1, 2, 1], 2);
    const parts = await loadParts(model, { data: root }, reading);
    expect(parts.classNames).toEqual(['2', '10']);
    const train = valuesOf(parts.train);
    // 0.299 * 200 + 0.587 * 100 + 0.114 * 50 = 124.2
    expect(train.x.map((value) => Math.round(255 * value))).toEqual([124, 0, 255, 10]);
    expect(train.y).toEqual([1, 0, 0, 1]);
    expect(valuesOf(parts.test!).y).toEqual([0, 1]);
    const colours = await loadParts(modelFor([1, 2, 3], 2), { data: root }, reading);
    expect(
      valuesOf(colours.train)
        .x.slice(0, 3)
        .map((value) => Math.round(255 * value)),
    ).toEqual([200, 100, 50]);
  });

  test('JPEG', async () => {
    const data = Buffer.alloc(8 * 8 * 4, 128);
    const { data: bytes } = jpeg.encode({ width: 8, height: 8, data }, 95);
    await write(join(folder, 'jpeg/only/a.jpg'), bytes);
    const { x } = await read(join(folder, 'jpeg'), modelFor([8, 8, 1], 2));
    for (const value of x) expect(Math.abs(255 * value - 128)).toBeLessThan(3);
  });

  test('refuses two sizes, a damaged file, an unknown class, and images of the wrong size', async () => {
    await write(join(folder, 'sizes/a/1.png'), png([grey(1), grey(2)], 2));
    await write(join(folder, 'sizes/a/2.png'), png([grey(1)], 1));
    const model = modelFor([1, 2, 1], 2);
    await expect(read(join(folder, 'sizes'), model)).rejects.toThrow(
      /2\.png is 1 x 1; the images before it are 1 x 2/,
    );
    await write(join(folder, 'damaged/a/1.png'), Buffer.from('no image'));
    await expect(read(join(folder, 'damaged'), model)).rejects.toThrow(/1\.png cannot be read/);
    await write(join(folder, 'classes/train/a/1.png'), png([grey(1), grey(2)], 2));
    await write(join(folder, 'classes/test/b/1.png'), png([grey(1), grey(2)], 2));
    await expect(read(join(folder, 'classes'), model)).rejects.toThrow(
      /has a folder "b", but the classes are a/,
    );
    await expect(read(join(folder, 'images'), modelFor([28, 28, 1], 2))).rejects.toThrow(
      /are 1 x 2 with 1 channel; the model takes 28 x 28 with 1 channel\. Resize/,
    );
  });
});

test('data for a program elsewhere has whole paths, but for sets by name', () => {
  const at = (path: string) => join(process.cwd(), path);
  expect(absolute({ data: 'mnist', validation: 'x.npy, y.npy', test: 'a.csv' })).toEqual({
    data: 'mnist',
    validation: `${at('x.npy')},${at('y.npy')}`,
    test: at('a.csv'),
  });
});

test('refuses what is no data', async () => {
  const model = modelFor([3], 2);
  await expect(read('nowhere', model)).rejects.toThrow(/no file or folder "nowhere"/);
  await expect(read('a.npy,b.npy,c.npy', model)).rejects.toThrow('one comma');
  await expect(read('gone.npy,b.npy', model)).rejects.toThrow('no file "gone.npy"');
  await mkdir(join(folder, 'empty'));
  await expect(read(join(folder, 'empty'), model)).rejects.toThrow(
    /has neither the four IDX files/,
  );
});
