// From the four IDX files of MNIST and its kin to two data sets' contents.
import { DataError, FileFormatError } from '@thimble/base';
import type { NamedBytes } from './folder.ts';
import { type IdxArray, parseIdx } from './idx.ts';
import type { ImageDatasetContents } from './image-dataset.ts';

/** The data of one part of a data set, before anyone says where it is from. */
export type Decoded = Pick<ImageDatasetContents, 'pixels' | 'labels' | 'imageShape'>;

async function read(file: NamedBytes, rank: number, what: string): Promise<IdxArray> {
  const array = await parseIdx(file.bytes, file.name);
  if (array.shape.length !== rank) {
    throw new FileFormatError(
      `${file.name}: expected ${what} with ${rank} dimensions, found the shape [${array.shape.join(', ')}].`,
    );
  }
  return array;
}

/** One part: a file of images and one of labels. */
async function decodePart(images: NamedBytes, labels: NamedBytes, limit: number): Promise<Decoded> {
  const { shape, data } = await read(images, 3, 'images');
  const classes = await read(labels, 1, 'labels');
  const [count, height, width] = shape as [number, number, number];
  if (height !== 28 || width !== 28) {
    throw new FileFormatError(
      `${images.name}: expected images of 28 x 28, found ${height} x ${width}.`,
    );
  }
  if (count !== classes.shape[0]) {
    throw new DataError(
      `${images.name} has ${count} images but ${labels.name} has ${classes.shape[0]} labels.`,
    );
  }
  const wrong = classes.data.findIndex((label) => label > 9);
  if (wrong >= 0) {
    throw new DataError(
      `${labels.name}: label ${wrong} is ${classes.data[wrong]}; labels are 0 to 9.`,
    );
  }
  if (count === 0) throw new DataError(`${images.name} has no images.`);
  const kept = Math.min(limit, count);
  return {
    // A copy where a part is kept, so that the rest can be freed.
    pixels: kept < count ? data.slice(0, kept * 784) : data,
    labels: classes.data.slice(0, kept),
    imageShape: [28, 28, 1],
  };
}

/** Reads training images and labels, test images and labels; at most `limit` images of each part. */
export async function decodeIdxFiles(
  files: NamedBytes[],
  limit: number,
): Promise<{ train: Decoded; test: Decoded }> {
  const [trainImages, trainLabels, testImages, testLabels] = files;
  return {
    train: await decodePart(trainImages!, trainLabels!, limit),
    test: await decodePart(testImages!, testLabels!, limit),
  };
}

/** Rejects unless the bytes are what a file of this name holds: IDX, with three dimensions or one. */
export async function checkIdxFile(file: NamedBytes): Promise<void> {
  await read(file, file.name.includes('idx1') ? 1 : 3, 'an array');
}
