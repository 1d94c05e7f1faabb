import '@tensorflow/tfjs-backend-cpu';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { DataError, DownloadError, FileFormatError, OptionError, Random } from '@thimble/base';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { MNIST } from '../src/catalogue.ts';
import { fashionMnist, kmnist, mnist } from '../src/index.ts';
import { load } from '../src/mnist.ts';
import { encodeIdx, madeMnist, send, serve, setEnvironment, temporaryFolder } from './helpers.ts';

beforeAll(async () => {
  tf.env().set('IS_TEST', true); // No greeting on the console.
  await tf.setBackend('cpu');
});

const realData = process.env.THIMBLE_DATA_DIR;
beforeEach(() => {
  setEnvironment({ THIMBLE_DATA_DIR: undefined, XDG_CACHE_HOME: temporaryFolder() });
});

const quiet = { onProgress: false } as const;

/** A folder with the made files, some replaced. */
function folderOf(files: Record<string, Uint8Array> = {}): string {
  const folder = temporaryFolder();
  mkdirSync(folder, { recursive: true });
  for (const [name, bytes] of Object.entries({ ...madeMnist(), ...files })) {
    writeFileSync(`${folder}/${name}`, bytes);
  }
  return folder;
}

describe('mnist', () => {
  test('reads a folder and says so', async () => {
    const source = folderOf();
    const { train, test: held } = await mnist({ source, ...quiet });
    expect([train.size, held.size]).toEqual([7, 4]);
    expect([train.name, held.name]).toEqual(['MNIST train', 'MNIST test']);
    expect(train.source).toBe(`MNIST from ${source}`);
    expect([train.synthetic, train.classes, train.imageShape]).toEqual([false, 10, [28, 28, 1]]);
    expect([...held.labels]).toEqual([0, 1, 2, 3]);
    expect(new Set(train.image(6))).toEqual(new Set([7]));
  });

  test('limit keeps the first images of both parts', async () => {
    const { train, test: held } = await mnist({ source: folderOf(), limit: 5, ...quiet });
    expect([train.size, held.size]).toEqual([5, 4]);
    expect([...train.image(4)].every((byte) => byte === 5)).toBe(true);
  });

  test('rejects damaged and disagreeing files by name', async () => {
    const images = madeMnist()['train-images-idx3-ubyte']!;
    const cases: [string, Uint8Array, new (message: string) => Error, RegExp][] = [
      ['train-images-idx3-ubyte', images.slice(0, -1), FileFormatError, /images.*truncated/],
      ['train-images-idx3-ubyte', new Uint8Array([...images, 0]), FileFormatError, /too long/],
      [
        'train-labels-idx1-ubyte',
        encodeIdx([6], [0, 1, 2, 3, 4, 5]),
        DataError,
        /7 images .* 6 labels/,
      ],
      ['t10k-labels-idx1-ubyte', encodeIdx([4], [0, 1, 10, 3]), DataError, /label 2 is 10/],
      ['t10k-labels-idx1-ubyte', images, FileFormatError, /labels with 1 dimensions/],
      ['t10k-images-idx3-ubyte', encodeIdx([1, 2, 2], [1, 2, 3, 4]), FileFormatError, /28 x 28/],
    ];
    for (const [name, bytes, type, message] of cases) {
      const loading = mnist({ source: folderOf({ [name]: bytes }), ...quiet });
      const error = await loading.catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(type);
      expect((error as Error).message).toMatch(message);
      expect((error as Error).message).toContain(name);
    }
  });

  test('downloads from an address; one that truncates is a DownloadError', async () => {
    const made = madeMnist();
    let whole = true;
    const server = await serve((request, response) => {
      const bytes = made[request.url!.slice(1)];
      if (!bytes) response.writeHead(404).end();
      else send(request, response, whole ? bytes : bytes.slice(0, -5));
    });
    const { train } = await mnist({ source: server.url, ...quiet });
    expect([train.size, train.source]).toEqual([7, `MNIST from ${server.url}`]);
    whole = false;
    await expect(mnist({ source: server.url, ...quiet })).rejects.toThrow(DownloadError);
  });

  test('draws digits when asked to, and says so', async () => {
    const { train, test: held } = await mnist({ source: 'synthetic', limit: 30, ...quiet });
    expect([train.size, held.size, train.synthetic, held.synthetic]).toEqual([30, 30, true, true]);
    expect(train.source).toBe('synthetic digits (drawn, not real data)');
    expect(train.name).toBe('synthetic digits train');
    const other = await mnist({ source: 'synthetic', limit: 30, seed: 1, ...quiet });
    expect(other.train.image(0)).not.toEqual(train.image(0));
  });

  test("with no network 'auto' draws digits at once and says why", async () => {
    const started = performance.now();
    const nowhere = { ...MNIST, mirrors: ['https://thimble.invalid/', 'https://other.invalid/'] };
    const { train } = await load('mnist', nowhere, { limit: 20, ...quiet }, true);
    expect(performance.now() - started).toBeLessThan(3000);
    expect([train.size, train.synthetic, train.name]).toEqual([20, true, 'synthetic digits train']);
    expect(train.source).toMatch(
      /^synthetic digits \(drawn, not real data\): MNIST could not be downloaded \(thimble\.invalid: \w+; other\.invalid: \w+\); for real digits set THIMBLE_DATA_DIR/,
    );
    expect(train.source).not.toContain('\n');
    // Only 'auto', and only where digits can stand in.
    await expect(load('x', nowhere, quiet, false)).rejects.toThrow(DownloadError);
    await expect(
      load('x', nowhere, { source: 'https://thimble.invalid/', ...quiet }, true),
    ).rejects.toThrow(DownloadError);
  });

  test('an aborted signal stops it, and is no reason to draw digits', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    for (const source of ['auto', 'synthetic', folderOf()]) {
      await expect(mnist({ source, signal, ...quiet })).rejects.toThrow('enough');
    }
  });

  test("damaged files are no reason to draw digits either, not even for 'auto'", async () => {
    const root = temporaryFolder();
    mkdirSync(`${root}/mnist`);
    for (const [name, bytes] of Object.entries(madeMnist())) {
      writeFileSync(`${root}/mnist/${name}`, bytes.slice(0, -1));
    }
    setEnvironment({ THIMBLE_DATA_DIR: root });
    await expect(mnist(quiet)).rejects.toThrow(FileFormatError);
    writeFileSync(`${root}/mnist/t10k-labels-idx1-ubyte`, '');
    rmSync(`${root}/mnist/train-images-idx3-ubyte`);
    await expect(mnist(quiet)).rejects.toThrow(DataError);
  });

  test('distort changes every image, by its seed, and says so', async () => {
    const source = folderOf();
    const load = (seed: number) => mnist({ source, distort: true, seed, ...quiet });
    const [a, b, c] = [await load(1), await load(1), await load(2)];
    expect(a.train.source).toBe(`distorted MNIST from ${source}`);
    expect([...a.train.labels]).toEqual([0, 1, 2, 3, 4, 5, 6]);
    for (let i = 0; i < 7; i++) {
      expect(a.train.image(i)).toEqual(b.train.image(i));
      expect(a.train.image(i)).not.toEqual(c.train.image(i));
    }
  });

  test('rejects bad options by name', async () => {
    const bad = async (options: object, message: string): Promise<void> => {
      const error = await mnist({ ...quiet, ...options }).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(OptionError);
      expect((error as Error).message).toContain(message);
    };
    await bad({ sourc: 'auto' }, 'mnist: unknown option "sourc"');
    for (const limit of [0, -1, 2.5, Number.NaN]) await bad({ limit }, 'mnist: limit');
    await bad({ source: '' }, 'source must be');
    await bad({ source: 3 }, 'source must be');
    await bad({ distort: { rotat: 3 } }, 'mnist: distort: unknown option "rotat"');
    await bad({ distort: { elastic: -1 } }, 'elastic');
    await bad({ distort: { smoothness: 0 } }, 'smoothness');
  });
});

describe('fashionMnist and kmnist', () => {
  test('read the same format and have names of their own', async () => {
    const source = folderOf();
    const fashion = await fashionMnist({ source, ...quiet });
    const kana = await kmnist({ source, ...quiet });
    expect(fashion.train.source).toBe(`Fashion-MNIST from ${source}`);
    expect(fashion.train.classNames[9]).toBe('Ankle boot');
    expect(kana.test.name).toBe('Kuzushiji-MNIST test');
    expect(kana.train.classNames[0]).toBe('o');
  });

  test("know no 'synthetic'", async () => {
    await expect(kmnist({ source: 'synthetic', ...quiet })).rejects.toThrow(DataError);
  });
});

describe.skipIf(!realData)('real MNIST (THIMBLE_DATA_DIR)', () => {
  test('has its sizes, first labels and mean', async () => {
    setEnvironment({ THIMBLE_DATA_DIR: realData });
    const { train, test: held } = await mnist(quiet);
    expect([train.size, held.size]).toEqual([60_000, 10_000]);
    expect([...train.labels.slice(0, 5)]).toEqual([5, 0, 4, 1, 9]);
    expect([...held.labels.slice(0, 5)]).toEqual([7, 2, 1, 0, 4]);
    expect(train.source).toBe(`MNIST from ${realData}/mnist`);
    // The mean that everyone normalises with.
    let sum = 0;
    for (let i = 0; i < train.size; i++) for (const byte of train.image(i)) sum += byte;
    expect(sum / 255 / 784 / train.size).toBeCloseTo(0.1307, 4);
    const { images, labels } = train.batch([0, 59_999], new Random(1));
    expect([images.shape, tf.argMax(labels, 1).arraySync()]).toEqual([
      [2, 28, 28, 1],
      [5, 8],
    ]);
    const [training, validation] = train.split(5000, 42);
    expect([training.size, validation.size]).toEqual([55_000, 5_000]);
  });
});
