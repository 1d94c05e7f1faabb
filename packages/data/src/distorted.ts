// A data set shifted away from the one that a network learned.
import { checkOptions, type ProgressOption, UnsupportedError } from '@thimble/base';
import { type DistortOptions, distortImages, resolveDistortion } from './distort.ts';
import { ImageDataset } from './image-dataset.ts';

/** Options of {@link distorted}: how strongly, and what drives it. */
export interface DistortedOptions extends DistortOptions {
  /** Default 0. */
  seed?: number | string;
  /** Default true. */
  onProgress?: ProgressOption;
  signal?: AbortSignal;
}

/**
 * The images of a data set, each distorted once, affinely and elastically, as those of `mnist({ distort: true })` are:
 * to see how a network does on what it has not learned. The data set given stays as it was.
 *
 * @throws {UnsupportedError} for images with several channels, or not as wide as high; {OptionError} for values out of
 *   range; the signal's reason.
 * @example
 * const harder = await distorted(test, { rotate: 10 });
 * console.log(harder.source);
 */
export async function distorted(
  set: ImageDataset,
  { seed = 0, onProgress = true, signal, ...options }: DistortedOptions = {},
): Promise<ImageDataset> {
  checkOptions('distorted', options, [
    'rotate',
    'scale',
    'shear',
    'shift',
    'elastic',
    'smoothness',
    'noise',
  ] satisfies (keyof DistortOptions)[]);
  const distortion = resolveDistortion('distorted', options);
  const [height, width, channels] = set.imageShape;
  if (channels !== 1 || height !== width) {
    throw new UnsupportedError(
      `distorted: ${set.name} has images of ${height} x ${width} with ${channels} channels; it takes square ones with one.`,
    );
  }
  const pixels = new Uint8Array(set.size * set.imageSize);
  for (let i = 0; i < set.size; i++) pixels.set(set.image(i), i * set.imageSize);
  const { labels, imageShape, classNames, name, synthetic } = set;
  // The last word of the name is the part, as in "MNIST test".
  const part = name.split(' ').at(-1)!;
  const images = { pixels, labels, imageShape };
  const moved = await distortImages(images, distortion, seed, part, { signal, onProgress });
  const source = `distorted ${set.source}`;
  return new ImageDataset({ ...moved, classNames, name, source, synthetic });
}
