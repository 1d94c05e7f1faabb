// CIFAR-10 in its binary version: records of a label and 3 x 1024 bytes, red, green and blue one after
// the other, row by row.
import { DataError, FileFormatError } from '@thimble/base';
import { CIFAR10 } from './catalogue.ts';
import type { Decoded } from './decode-idx.ts';
import { fetchFiles } from './fetch-files.ts';
import type { NamedBytes } from './folder.ts';
import { unpack } from './gzip.ts';
import { describeParts, type TrainAndTest } from './mnist.ts';
import { type DatasetOptions, resolveOptions } from './options.ts';
import { readTar } from './tar.ts';

const SIDE = 32;
const PLANE = SIDE * SIDE;
const RECORD = 1 + 3 * PLANE;

/** Number of records of a file; throws where it is not a whole number, or a label is none. */
function countRecords({ name, bytes }: { name: string; bytes: Uint8Array }): number {
  const count = bytes.length / RECORD;
  if (!Number.isInteger(count) || count === 0) {
    throw new FileFormatError(
      `${name}: expected records of ${RECORD} bytes, found ${bytes.length} bytes.`,
    );
  }
  for (let i = 0; i < count; i++) {
    if (bytes[i * RECORD]! > 9) {
      throw new DataError(`${name}: label ${i} is ${bytes[i * RECORD]}; labels are 0 to 9.`);
    }
  }
  return count;
}

/** The first `limit` records of the files, with the channels innermost as tensors have them. */
export function decodeRecords(
  files: { name: string; bytes: Uint8Array }[],
  limit: number,
): Decoded {
  const counts = files.map(countRecords);
  const size = Math.min(
    limit,
    counts.reduce((sum, n) => sum + n, 0),
  );
  const pixels = new Uint8Array(size * 3 * PLANE);
  const labels = new Uint8Array(size);
  let image = 0;
  files.forEach(({ bytes }, f) => {
    for (let i = 0; i < counts[f]! && image < size; i++, image++) {
      const start = i * RECORD;
      labels[image] = bytes[start]!;
      const target = image * 3 * PLANE;
      for (let k = 0; k < PLANE; k++) {
        pixels[target + 3 * k] = bytes[start + 1 + k]!;
        pixels[target + 3 * k + 1] = bytes[start + 1 + PLANE + k]!;
        pixels[target + 3 * k + 2] = bytes[start + 1 + 2 * PLANE + k]!;
      }
    }
  });
  return { pixels, labels, imageShape: [SIDE, SIDE, 3] };
}

/** The six files of CIFAR-10 out of its archive. */
export async function openArchive(archive: NamedBytes): Promise<NamedBytes[]> {
  const files = readTar(await unpack(archive.bytes, archive.name), archive.name);
  return CIFAR10.layouts[0]!.map(([name]) => {
    const path = [...files.keys()].find((key) => key === name || key.endsWith(`/${name}`));
    if (!path) {
      throw new FileFormatError(
        `${archive.name}: there is no ${name} in it, only ${[...files.keys()].join(', ') || 'nothing'}.`,
      );
    }
    return { name: `${archive.name}: ${path}`, bytes: files.get(path) as Uint8Array<ArrayBuffer> };
  });
}

/**
 * CIFAR-10: 50,000 training and 10,000 test photographs, 32 x 32 in colour, of ten kinds of things
 * (A. Krizhevsky 2009). Reads the binary version: the six .bin files, or `cifar-10-binary.tar.gz`
 * (170 MB), which is what 'auto' downloads and caches. All of it takes 184 MB of memory.
 *
 * Throws as {@link mnist} does; there are no drawn images to fall back on, so with `source: 'auto'` and
 * no network it throws a `DownloadError` that says what to do.
 *
 * @example
 * const { train, test } = await cifar10({ source: '/data/cifar-10-batches-bin', limit: 10_000 });
 */
export async function cifar10(options: DatasetOptions = {}): Promise<TrainAndTest> {
  const resolved = resolveOptions('cifar10', options);
  const check = async (file: NamedBytes): Promise<void> => {
    await openArchive(file);
  };
  const { files, origin } = await fetchFiles(CIFAR10, check, resolved);
  const six =
    files.length === 1
      ? await openArchive(files[0]!)
      : await Promise.all(
          files.map(async ({ name, bytes }) => ({ name, bytes: await unpack(bytes, name) })),
        );
  const parts = {
    train: decodeRecords(six.slice(0, -1), resolved.limit),
    test: decodeRecords(six.slice(-1), resolved.limit),
  };
  return describeParts(parts, CIFAR10, `CIFAR-10 from ${origin}`);
}
