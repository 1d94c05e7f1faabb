// A data set of small images. It keeps bytes and makes tensors per batch: the 60,000 images of MNIST
// take 47 MB as bytes and would take 188 MB as float32, on the heap that training needs.
import * as tf from '@tensorflow/tfjs-core';
import {
  checkInteger,
  checkOptions,
  DataError,
  NoMatchError,
  OptionError,
  type Random,
} from '@thimble/base';
import { type AugmentOptions, affineMove, jitterMove, type Move } from './augment.ts';
import { stratifiedSplit } from './split.ts';
import type { ImageShape } from './warp.ts';

/** What an {@link ImageDataset} is made of. */
export interface ImageDatasetContents {
  /** The images one after the other, row by row, channels innermost. */
  pixels: Uint8Array;
  /** The class of each image. */
  labels: Uint8Array;
  imageShape: ImageShape;
  /** What the classes are called; their number is the number of classes. */
  classNames: readonly string[];
  /** For example "MNIST train". */
  name: string;
  /** Where the images come from, in a line: for example "MNIST from /data/mnist". */
  source: string;
  /** True when the images are drawn by a program. Default false. */
  synthetic?: boolean;
}

/** Images and labels as tensors; whoever asked for them disposes of them. */
export interface ImageBatch {
  /** Shape [n, height, width, channels], float32 in [0, 1]. */
  images: tf.Tensor4D;
  /** Shape [n, classes], float32, one-hot. */
  labels: tf.Tensor2D;
}

/** Pixel values in [0, 1]. */
const UNIT = Float32Array.from({ length: 256 }, (_, byte) => byte / 255);

/**
 * Labelled images, kept as bytes. `fit` of `@thimble/core` takes it as its data.
 *
 * The methods that choose or move images (`take`, `filter`, `split`, `jitter`, `augment`) give a new
 * data set over the same bytes and can be chained.
 *
 * @example
 * const { train, test } = await mnist({ source: 'auto' });
 * const [training, validation] = train.split(0.1, 1);
 * const { images, labels } = training.jitter(2).batch([0, 1, 2], new Random(7));
 */
export class ImageDataset {
  readonly #contents: ImageDatasetContents;
  /** Numbers of the chosen images among all. */
  readonly #rows: Uint32Array | undefined;
  readonly #moves: readonly Move[];
  /** The class of each image, in order. Not a copy: do not write to it. */
  readonly labels: Uint8Array;
  /** Number of images. */
  readonly size: number;
  /** True when images move at random, so that the same indices may give other tensors. */
  readonly varies: boolean;

  /** Throws a `DataError` when counts disagree or a label is no class. */
  constructor(contents: ImageDatasetContents, rows?: Uint32Array, moves: readonly Move[] = []) {
    this.#contents = contents;
    this.#rows = rows;
    this.#moves = moves;
    this.labels = rows ? Uint8Array.from(rows, (row) => contents.labels[row]!) : contents.labels;
    this.size = this.labels.length;
    this.varies = moves.length > 0;
    if (!rows) checkContents(contents, this.imageSize);
  }

  /** [height, width, channels] of every image. */
  get imageShape(): ImageShape {
    return this.#contents.imageShape;
  }

  /** Number of values of one image. */
  get imageSize(): number {
    const [height, width, channels] = this.imageShape;
    return height * width * channels;
  }

  /** Number of classes. */
  get classes(): number {
    return this.#contents.classNames.length;
  }

  get classNames(): readonly string[] {
    return this.#contents.classNames;
  }

  get name(): string {
    return this.#contents.name;
  }

  /** Where the images come from, in a line fit for a report. */
  get source(): string {
    return this.#contents.source;
  }

  /** True when the images are drawn by a program, not real. */
  get synthetic(): boolean {
    return this.#contents.synthetic ?? false;
  }

  /** The bytes of one image, unmoved. A view, not a copy: do not write to it. */
  image(index: number): Uint8Array {
    this.#checkIndex('image', index);
    const start = (this.#rows?.[index] ?? index) * this.imageSize;
    return this.#contents.pixels.subarray(start, start + this.imageSize);
  }

  /**
   * New tensors for the images with these numbers, in this order; a number may come twice. The caller
   * disposes of both.
   *
   * @param random drives `jitter` and `augment`: same generator state, same tensors. Without it the
   * images come unmoved, as an evaluation wants them.
   */
  batch(indices: ArrayLike<number>, random?: Random): ImageBatch {
    const count = indices.length;
    if (count === 0) throw new OptionError(`${this.name}: batch needs at least one index.`);
    for (let i = 0; i < count; i++) this.#checkIndex('batch', indices[i]!);
    const { imageSize, imageShape, classes } = this;
    const values = new Float32Array(count * imageSize);
    const targets = new Float32Array(count * classes);
    let moved = new Float32Array(random && this.varies ? imageSize : 0);
    let scratch = new Float32Array(moved.length);
    for (let i = 0; i < count; i++) {
      const index = indices[i]!;
      const bytes = this.image(index);
      const target = moved.length > 0 ? moved : values.subarray(i * imageSize);
      for (let k = 0; k < imageSize; k++) target[k] = UNIT[bytes[k]!]!;
      if (random && moved.length > 0) {
        for (const move of this.#moves) {
          move(moved, scratch, imageShape, random);
          [moved, scratch] = [scratch, moved];
        }
        values.set(moved, i * imageSize);
      }
      targets[i * classes + this.labels[index]!] = 1;
    }
    const images = tf.tensor4d(values, [count, ...imageShape], 'float32');
    return { images, labels: tf.tensor2d(targets, [count, classes], 'float32') };
  }

  /**
   * All images, or the first `limit` of them, as one pair of tensors, unmoved. The caller disposes of
   * both. 10,000 images of MNIST take 31 MB.
   *
   * @param options.limit at most this many, at least 1. Default: all.
   */
  tensors(options: { limit?: number } = {}): ImageBatch {
    checkOptions('tensors', options, ['limit']);
    const { limit = this.size } = options;
    checkInteger('tensors', 'limit', limit, 1);
    return this.batch(Uint32Array.from({ length: Math.min(limit, this.size) }, (_, i) => i));
  }

  /** The first `count` images. */
  take(count: number): ImageDataset {
    checkInteger(`${this.name}: take`, 'count', count, 1, this.size);
    return this.#choose(Uint32Array.from({ length: count }, (_, i) => i));
  }

  /**
   * The images whose label passes. The number of classes stays, so a model fits both data sets.
   * Throws a `NoMatchError` when no image is left.
   *
   * @example
   * const withoutThrees = train.filter((label) => label !== 3);
   */
  filter(keep: (label: number, index: number) => boolean): ImageDataset {
    const kept: number[] = [];
    for (let i = 0; i < this.size; i++) if (keep(this.labels[i]!, i)) kept.push(i);
    if (kept.length === 0) {
      throw new NoMatchError(`${this.name}: filter keeps none of the ${this.size} images.`);
    }
    return this.#choose(Uint32Array.from(kept));
  }

  /**
   * Divides the images in `[train, validation]`: disjoint, together all, each in its old order.
   * Stratified: every class gives validation its share, to within one image. Which images go depends
   * on the seed alone. Movements stay with both parts; a `batch` without generator gives them unmoved.
   *
   * @param validation the share of validation, in (0, 1), or its number of images, from 1.
   * @example
   * const [training, validation] = train.split(0.1, 42); // 54,000 and 6,000 images
   */
  split(validation: number, seed: number | string = 0): [ImageDataset, ImageDataset] {
    const [first, second] = stratifiedSplit(this.labels, validation, seed);
    return [this.#choose(first), this.#choose(second)];
  }

  /** Images shifted at random by whole pixels, up to `pixels` each way; 0 comes in from outside. */
  jitter(pixels: number = 2): ImageDataset {
    return this.#moving(jitterMove(pixels));
  }

  /**
   * Images shifted, turned, scaled and sheared at random about their centre, with bilinear sampling; 0
   * comes in from outside.
   *
   * @example
   * const moving = train.augment({ shift: 2, rotate: 10, scale: 0.1, shear: 0.1 });
   */
  augment(options: AugmentOptions = {}): ImageDataset {
    return this.#moving(affineMove(options));
  }

  #choose(chosen: Uint32Array): ImageDataset {
    const rows = this.#rows;
    const absolute = rows ? chosen.map((index) => rows[index]!) : chosen;
    return new ImageDataset(this.#contents, absolute, this.#moves);
  }

  #moving(move: Move): ImageDataset {
    const rows = this.#rows ?? Uint32Array.from({ length: this.size }, (_, i) => i);
    return new ImageDataset(this.#contents, rows, [...this.#moves, move]);
  }

  #checkIndex(method: string, index: number): void {
    if (!Number.isInteger(index) || index < 0 || index >= this.size) {
      throw new OptionError(
        `${this.name}: ${method} got the index ${index}; the ${this.size} images have the indices 0 to ${this.size - 1}.`,
      );
    }
  }
}

function checkContents(contents: ImageDatasetContents, imageSize: number): void {
  const { name, pixels, labels, classNames, imageShape } = contents;
  if (imageShape.length !== 3 || imageShape.some((n) => !Number.isInteger(n) || n < 1)) {
    throw new DataError(`${name}: [${imageShape}] is no [height, width, channels] of an image.`);
  }
  if (labels.length === 0) throw new DataError(`${name}: there are no images.`);
  if (pixels.length !== labels.length * imageSize) {
    throw new DataError(
      `${name}: ${labels.length} labels but ${pixels.length / imageSize} images of [${imageShape.join(', ')}].`,
    );
  }
  const wrong = labels.findIndex((label) => label >= classNames.length);
  if (wrong >= 0) {
    throw new DataError(
      `${name}: image ${wrong} has the label ${labels[wrong]}; labels are 0 to ${classNames.length - 1}.`,
    );
  }
}
