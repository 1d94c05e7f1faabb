// MNIST and the data sets that share its files' format: Fashion-MNIST and Kuzushiji-MNIST.
import { DownloadError } from '@thimble/base';
import { type Catalogue, FASHION_MNIST, KMNIST, MNIST } from './catalogue.ts';
import { checkIdxFile, type Decoded, decodeIdxFiles } from './decode-idx.ts';
import { type DistortOptions, distortImages, resolveDistortion } from './distort.ts';
import { type Patience, reasonsOf } from './download.ts';
import { fetchFiles, remedy } from './fetch-files.ts';
import { ImageDataset } from './image-dataset.ts';
import { type DatasetOptions, type ResolvedOptions, resolveOptions } from './options.ts';
import { drawDigits, SYNTHETIC_SIZES, SYNTHETIC_SOURCE } from './synthetic-digits.ts';

/** The two parts of a data set. */
export interface TrainAndTest {
  train: ImageDataset;
  test: ImageDataset;
}

/** Options of {@link mnist}, {@link fashionMnist} and {@link kmnist}. */
export interface MnistOptions extends DatasetOptions {
  /**
   * Distorts every image of both parts once, affinely and elastically, because nets of all sizes
   * saturate on plain MNIST. `true` means the strength at which a small convolutional net errs 3 to
   * 5 % (benchmarks/results/difficulty.json). The same seed gives the same images. Default false.
   */
  distort?: boolean | DistortOptions;
  /** Drives `distort`, and the drawing of synthetic digits. Default 0. */
  seed?: number | string;
}

type Parts = { train: Decoded; test: Decoded };

/** Joins decoded parts with what there is to say about them. */
export function describeParts(
  parts: Parts,
  { title, classNames }: Pick<Catalogue, 'title' | 'classNames'>,
  source: string,
  synthetic: boolean = false,
): TrainAndTest {
  const about = { classNames, source, synthetic };
  return {
    train: new ImageDataset({ ...parts.train, ...about, name: `${title} train` }),
    test: new ImageDataset({ ...parts.test, ...about, name: `${title} test` }),
  };
}

async function fromFiles(
  catalogue: Catalogue,
  options: ResolvedOptions,
  patience?: Patience,
): Promise<{ parts: Parts; source: string }> {
  const { files, origin } = await fetchFiles(catalogue, checkIdxFile, options, patience);
  const parts = await decodeIdxFiles(files, options.limit);
  return { parts, source: `${catalogue.title} from ${origin}` };
}

async function drawn(options: ResolvedOptions, seed: number | string): Promise<Parts> {
  const draw = (part: 'train' | 'test'): Promise<Decoded> =>
    drawDigits(Math.min(options.limit, SYNTHETIC_SIZES[part]), seed, part, options);
  return { train: await draw('train'), test: await draw('test') };
}

/**
 * Loads a data set in MNIST's format. With `orDrawn` digits are drawn where 'synthetic' is asked for,
 * and where 'auto' can get at no files.
 */
export async function load(
  owner: string,
  catalogue: Catalogue,
  options: MnistOptions,
  orDrawn: boolean,
  patience?: Patience,
): Promise<TrainAndTest> {
  const resolved = resolveOptions(owner, options, ['distort', 'seed']);
  const { distort = false, seed = 0 } = options;
  const distortion = distort && resolveDistortion(owner, distort === true ? {} : distort);
  let parts: Parts;
  let source: string;
  let synthetic = false;
  if (orDrawn && resolved.source === 'synthetic') {
    [parts, source, synthetic] = [await drawn(resolved, seed), SYNTHETIC_SOURCE, true];
  } else {
    try {
      ({ parts, source } = await fromFiles(catalogue, resolved, patience));
    } catch (error) {
      if (!(orDrawn && resolved.source === 'auto' && error instanceof DownloadError)) throw error;
      [parts, synthetic] = [await drawn(resolved, seed), true];
      source =
        `${SYNTHETIC_SOURCE}: ${catalogue.title} could not be downloaded (${reasonsOf(error)}); ` +
        `for real digits ${remedy(catalogue)}`;
    }
  }
  if (distortion) {
    const { signal, onProgress } = resolved;
    const about = { signal, onProgress };
    parts = {
      train: await distortImages(parts.train, distortion, seed, 'train', about),
      test: await distortImages(parts.test, distortion, seed, 'test', about),
    };
    source = `distorted ${source}`;
  }
  const named = synthetic ? { ...catalogue, title: 'synthetic digits' } : catalogue;
  return describeParts(parts, named, source, synthetic);
}

/**
 * MNIST: 60,000 training and 10,000 test images of handwritten digits, 28 x 28 (Y. LeCun, C. Cortes,
 * C. Burges).
 *
 * `source: 'auto'` looks in `THIMBLE_DATA_DIR/mnist`, then in the user's cache, then downloads 11 MB
 * into it. Where none of that works, as without network, it draws synthetic digits instead: `synthetic`
 * is then true and `source` begins with "synthetic digits (drawn, not real data)" and says why. Print
 * `train.source` beside every result. `source: 'synthetic'` draws them at once.
 *
 * Throws a `DataError` for a folder that lacks files or files whose counts or labels are wrong, a
 * `FileFormatError` for a damaged file, a `DownloadError` when a named address fails, an `OptionError`
 * for a bad option, and the signal's reason when it aborts.
 *
 * @example
 * const { train, test } = await mnist({ source: 'auto', distort: true, limit: 10_000 });
 * console.log(train.source); // for example "distorted MNIST from /data/mnist"
 */
export async function mnist(options: MnistOptions = {}): Promise<TrainAndTest> {
  return load('mnist', MNIST, options, true);
}

/**
 * Fashion-MNIST: 60,000 and 10,000 pictures of clothes, 28 x 28 (H. Xiao et al. 2017). Options and
 * errors as for {@link mnist}, but nothing is drawn: without files and network it throws a
 * `DownloadError` that says what to do.
 */
export async function fashionMnist(options: MnistOptions = {}): Promise<TrainAndTest> {
  return load('fashionMnist', FASHION_MNIST, options, false);
}

/**
 * Kuzushiji-MNIST: 60,000 and 10,000 cursive hiragana, 28 x 28 (T. Clanuwat et al. 2018). Options and
 * errors as for {@link fashionMnist}.
 */
export async function kmnist(options: MnistOptions = {}): Promise<TrainAndTest> {
  return load('kmnist', KMNIST, options, false);
}
