// A folder of images: a folder for each class, PNG and JPEG files in it.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DataError, type ProgressOption, ShapeError, startProgress } from '@thimble/base';
import jpeg from 'jpeg-js';
import { PNG } from 'pngjs';
import type { Examples } from './examples.ts';

const PNG_BEGINS = 0x89;
const IMAGE = /\.(png|jpe?g)$/i;

/** The folders in a folder that hold images; undefined where there are none. */
export async function imageClasses(folder: string): Promise<string[] | undefined> {
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  const found: string[] = [];
  for (const name of names.sort(naturally)) {
    if ((await imagesIn(join(folder, name))).length > 0) found.push(name);
  }
  return found.length > 0 ? found : undefined;
}

/** The names of the image files in a folder. */
async function imagesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const files = entries.filter((entry) => !entry.isDirectory()).map(({ name }) => name);
  return files.filter((file) => IMAGE.test(file));
}

/** 2 before 10, whatever stands before them. */
function naturally(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}

/** What is asked of images. */
export interface ImageOptions {
  /** Channels that the model takes: 1 for grey, 3 for colour, 4 with what covers. */
  channels: number;
  /** Names of the classes, where another folder has said them; else those of the folders. */
  classNames?: readonly string[];
  limit?: number;
  progress: ProgressOption;
  signal?: AbortSignal;
}

/**
 * Reads the images of a folder, the class of each being the folder it is in. Colours become grey by
 * 0.299 red + 0.587 green + 0.114 blue where the model takes one channel.
 *
 * @throws {ShapeError} naming an image whose size is not that of the first; {DataError} for one that cannot be read,
 *   and for a folder that no class has the name of.
 */
export async function readImages(
  folder: string,
  classes: readonly string[],
  { channels, classNames = classes, limit, progress, signal }: ImageOptions,
): Promise<Examples> {
  const unknown = classes.find((name) => !classNames.includes(name));
  if (unknown !== undefined) {
    throw new DataError(
      `${folder} has a folder "${unknown}", but the classes are ${classNames.join(', ')}. Rename or remove it.`,
    );
  }
  const files: { path: string; label: number }[] = [];
  for (const name of classes) {
    const inside = await imagesIn(join(folder, name));
    const label = classNames.indexOf(name);
    for (const file of inside.sort(naturally))
      files.push({ path: join(folder, name, file), label });
  }
  // With a limit every class gives its share.
  const chosen = limit === undefined ? files : spread(files, limit);
  const images: Uint8Array[] = [];
  let size: [number, number] | undefined;
  const bar = startProgress(progress, `reading ${folder}`, chosen.length);
  try {
    for (const { path } of chosen) {
      signal?.throwIfAborted();
      const { height, width, data } = decodeImage(path, await readFile(path));
      size ??= [height, width];
      if (size[0] !== height || size[1] !== width) {
        throw new ShapeError(
          `${path} is ${height} x ${width}; the images before it are ${size[0]} x ${size[1]}. Resize them to one size.`,
        );
      }
      images.push(withChannels(data, channels));
      bar.update(images.length);
    }
  } finally {
    bar.stop();
  }
  return {
    name: folder,
    size: images.length,
    shape: [...size!, channels],
    row: (index) => images[index]!,
    scale: 1 / 255,
    labels: { values: chosen.map(({ label }) => label), width: 1 },
    classNames: [...classNames],
    numberedHere: classNames === classes,
  };
}

/** So many of a list, at equal distances. */
function spread<T>(list: readonly T[], count: number): T[] {
  if (count >= list.length) return [...list];
  return Array.from({ length: count }, (_, i) => list[Math.floor((i * list.length) / count)]!);
}

interface Decoded {
  width: number;
  height: number;
  /** Red, green, blue and what covers, for each pixel. */
  data: Uint8Array;
}

function decodeImage(path: string, bytes: Buffer): Decoded {
  try {
    // By what is in it: files are called what they are not.
    if (bytes[0] === PNG_BEGINS) return PNG.sync.read(bytes);
    return jpeg.decode(bytes, { useTArray: true, formatAsRGBA: true });
  } catch (cause) {
    throw new DataError(
      `${path} cannot be read: ${(cause as Error).message}. Remove it, or save it again as PNG or JPEG.`,
      { cause },
    );
  }
}

function withChannels(rgba: Uint8Array, channels: number): Uint8Array {
  const pixels = rgba.length / 4;
  const values = new Uint8Array(pixels * channels);
  for (let i = 0; i < pixels; i++) {
    if (channels === 1) {
      const [red, green, blue] = [rgba[4 * i]!, rgba[4 * i + 1]!, rgba[4 * i + 2]!];
      values[i] = Math.round(0.299 * red + 0.587 * green + 0.114 * blue);
    } else for (let c = 0; c < channels; c++) values[i * channels + c] = rgba[4 * i + c]!;
  }
  return values;
}
