// MNIST and the data sets that share its files' format: Fashion-MNIST and Kuzushiji-MNIST.
import { type Catalogue, FASHION_MNIST, KMNIST, MNIST } from './catalogue.ts';
import { checkIdxFile, type Decoded, decodeIdxFiles } from './decode-idx.ts';
import { fetchFiles } from './fetch-files.ts';
import { ImageDataset } from './image-dataset.ts';
import { type DatasetOptions, type ResolvedOptions, resolveOptions } from './options.ts';

/** The two parts of a data set. */
export interface TrainAndTest {
  train: ImageDataset;
  test: ImageDataset;
}

/** Joins decoded parts with what there is to say about them. */
export function describeParts(
  parts: { train: Decoded; test: Decoded },
  catalogue: Catalogue,
  source: string,
): TrainAndTest {
  const { title, classNames } = catalogue;
  const about = { classNames, source };
  return {
    train: new ImageDataset({ ...parts.train, ...about, name: `${title} train` }),
    test: new ImageDataset({ ...parts.test, ...about, name: `${title} test` }),
  };
}

async function load(catalogue: Catalogue, options: ResolvedOptions): Promise<TrainAndTest> {
  const { files, origin } = await fetchFiles(catalogue, checkIdxFile, options);
  const parts = await decodeIdxFiles(files, options.limit);
  return describeParts(parts, catalogue, `${catalogue.title} from ${origin}`);
}

export async function mnist(options: DatasetOptions = {}): Promise<TrainAndTest> {
  return load(MNIST, resolveOptions('mnist', options));
}

/** Fashion-MNIST: 60,000 and 10,000 pictures of clothes, 28 x 28. Options as for {@link mnist}. */
export async function fashionMnist(options: DatasetOptions = {}): Promise<TrainAndTest> {
  return load(FASHION_MNIST, resolveOptions('fashionMnist', options));
}

/** Kuzushiji-MNIST: 60,000 and 10,000 cursive hiragana, 28 x 28. Options as for {@link mnist}. */
export async function kmnist(options: DatasetOptions = {}): Promise<TrainAndTest> {
  return load(KMNIST, resolveOptions('kmnist', options));
}
