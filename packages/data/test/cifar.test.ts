import '@tensorflow/tfjs-backend-cpu';
import { mkdirSync, writeFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { DataError, DownloadError, FileFormatError } from '@thimble/base';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { cifar10 } from '../src/index.ts';
import { readTar } from '../src/tar.ts';
import { gzip, send, serve, setEnvironment, temporaryFolder } from './helpers.ts';

beforeAll(async () => {
  tf.env().set('IS_TEST', true); // No greeting on the console.
  await tf.setBackend('cpu');
});

beforeEach(() => {
  setEnvironment({ THIMBLE_DATA_DIR: undefined, XDG_CACHE_HOME: temporaryFolder() });
});

const quiet = { onProgress: false } as const;
type Bytes = Uint8Array<ArrayBuffer>;

/** Records: label, then planes of red = 100 + label, green = its row, blue = its column. */
function records(...labels: number[]): Bytes {
  const bytes = new Uint8Array(labels.length * 3073);
  for (const [i, label] of labels.entries()) {
    bytes[i * 3073] = label;
    for (let k = 0; k < 1024; k++) {
      bytes[i * 3073 + 1 + k] = 100 + label;
      bytes[i * 3073 + 1025 + k] = Math.floor(k / 32);
      bytes[i * 3073 + 2049 + k] = k % 32;
    }
  }
  return bytes;
}

const FILES: Record<string, Bytes> = {
  'data_batch_1.bin': records(0, 1),
  'data_batch_2.bin': records(2),
  'data_batch_3.bin': records(3),
  'data_batch_4.bin': records(4),
  'data_batch_5.bin': records(5),
  'test_batch.bin': records(9, 8),
};

/** A tar archive by the description of POSIX ustar. */
function tar(files: Record<string, Uint8Array>, folder: string = 'cifar-10-batches-bin'): Bytes {
  const blocks: Uint8Array[] = [];
  const header = (name: string, size: number, type: string): void => {
    const block = new Uint8Array(512);
    const put = (text: string, at: number): void => block.set(new TextEncoder().encode(text), at);
    put(name, 0);
    put('0000644\0', 100);
    put(`${size.toString(8).padStart(11, '0')}\0`, 124);
    put('        ', 148);
    put(type, 156);
    put('ustar\x0000', 257);
    const sum = block.reduce((total, byte) => total + byte, 0);
    put(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    blocks.push(block);
  };
  header(`${folder}/`, 0, '5');
  for (const [name, bytes] of Object.entries(files)) {
    header(`${folder}/${name}`, bytes.length, '0');
    const padded = new Uint8Array(Math.ceil(bytes.length / 512) * 512);
    padded.set(bytes);
    blocks.push(padded);
  }
  blocks.push(new Uint8Array(1024));
  return new Uint8Array(Buffer.concat(blocks));
}

function folderOf(files: Record<string, Uint8Array>, below: string = ''): string {
  const folder = temporaryFolder();
  mkdirSync(`${folder}/${below}`, { recursive: true });
  for (const [name, bytes] of Object.entries(files))
    writeFileSync(`${folder}/${below}${name}`, bytes);
  return folder;
}

describe('cifar10', () => {
  test.each([
    ['the .bin files', () => folderOf(FILES)],
    [
      'gzipped .bin files',
      () => {
        const zipped = Object.entries(FILES).map(([name, bytes]) => [`${name}.gz`, gzip(bytes)]);
        return folderOf(Object.fromEntries(zipped));
      },
    ],
    ['the unpacked archive', () => folderOf(FILES, 'cifar-10-batches-bin/')],
    ['the archive', () => folderOf({ 'cifar-10-binary.tar.gz': gzip(tar(FILES)) })],
  ])('reads %s', async (_, folder) => {
    const source = folder();
    const { train, test: held } = await cifar10({ source, ...quiet });
    expect([...train.labels]).toEqual([0, 1, 2, 3, 4, 5]);
    expect([...held.labels]).toEqual([9, 8]);
    expect(train).toMatchObject({ name: 'CIFAR-10 train', imageShape: [32, 32, 3], classes: 10 });
    expect(train.source).toBe(`CIFAR-10 from ${source}`);
    expect(train.classNames[9]).toBe('truck');
    const { images, labels } = held.batch([1]);
    expect(images.shape).toEqual([1, 32, 32, 3]);
    // Row 3, column 7 of image 1, label 8: red 108, green 3, blue 7.
    const pixel = tf.slice(images, [0, 3, 7, 0], [1, 1, 1, 3]);
    expect([...pixel.dataSync()].map((value) => Math.round(255 * value))).toEqual([108, 3, 7]);
    tf.dispose([images, labels, pixel]);
  });

  test('limit keeps the first images of each part', async () => {
    const { train, test: held } = await cifar10({ source: folderOf(FILES), limit: 3, ...quiet });
    expect([...train.labels]).toEqual([0, 1, 2]);
    expect([...held.labels]).toEqual([9, 8]);
  });

  test('downloads the archive from an address', async () => {
    const archive = gzip(tar(FILES));
    const server = await serve((request, response) => send(request, response, archive));
    const { train } = await cifar10({ source: server.url, ...quiet });
    expect(train.size).toBe(6);
    expect(server.requests).toEqual(['/cifar-10-binary.tar.gz']);
    const bad = await serve((request, response) => send(request, response, gzip(records(1))));
    await expect(cifar10({ source: bad.url, ...quiet })).rejects.toThrow(DownloadError);
  });

  test('rejects damaged files by name', async () => {
    const bad = async (
      files: Record<string, Uint8Array>,
      type: new (message: string) => Error,
      message: RegExp,
    ) => {
      const loading = cifar10({ source: folderOf(files), ...quiet });
      const error = await loading.catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(type);
      expect((error as Error).message).toMatch(message);
    };
    const wrong = records(10);
    const short = records(1).slice(0, -1);
    const { 'test_batch.bin': _, ...five } = FILES;
    await bad({ ...FILES, 'data_batch_2.bin': short }, FileFormatError, /batch_2.*3073 .* 3072/);
    await bad({ ...FILES, 'data_batch_2.bin': new Uint8Array() }, FileFormatError, /batch_2/);
    await bad({ ...FILES, 'test_batch.bin': wrong }, DataError, /test_batch.*label 0 is 10/);
    await bad(five, DataError, /test_batch\.bin is missing/);
    const name = 'cifar-10-binary.tar.gz';
    await bad({ [name]: gzip(tar(five)) }, FileFormatError, /there is no test_batch\.bin in it/);
    await bad({ [name]: gzip(tar(FILES)).slice(0, -9) }, FileFormatError, /damaged gzip/);
  });
});

describe('readTar', () => {
  const archive = tar({ a: records(1), b: Uint8Array.from([1, 2, 3]) }, 'folder');

  test('gives regular files by path', () => {
    const files = readTar(archive, 'x.tar');
    expect([...files.keys()]).toEqual(['folder/a', 'folder/b']);
    expect([...files.get('folder/b')!]).toEqual([1, 2, 3]);
    expect([...files.get('folder/a')!]).toEqual([...records(1)]);
  });

  test('rejects every archive cut short before its end mark', () => {
    for (let n = 0; n < archive.length - 1024; n += 100) {
      expect(() => readTar(archive.slice(0, n), 'x.tar')).toThrow(/x\.tar: truncated/);
    }
  });

  test('rejects a damaged header', () => {
    const damaged = archive.slice();
    damaged[3]! ^= 1;
    expect(() => readTar(damaged, 'x.tar')).toThrow('not a tar archive, or damaged at byte 0');
  });
});
