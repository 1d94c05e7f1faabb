// Convolutions that are computed at some positions only.
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {
  checkInteger,
  checkRange,
  DataError,
  type Encoding,
  OptionError,
  type Perforation,
  perforationOf,
  ShapeError,
} from '@thimble/base';
import { type Conv2dArgs, requireChannelsLast } from './block.ts';
import { type AddWeight, Conv2D, type Geometry, geometryOf, onlyInput } from './conv-inside.ts';
import { type PerforationMask, type PoolingWindow, perforationMask } from './perforation.ts';

/** Arguments of {@link perforatedConv2d}: those of `tf.layers.conv2d`, and its own. */
export type PerforatedConv2dArgs = Conv2dArgs & {
  /** Part of the positions that is computed, above 0 and up to 1. Default 0.5. */
  keep?: number;
  /** How they are chosen; by impact with `perforateByImpact`. Default 'uniform'. */
  mask?: PerforationMask;
  /** Of the random choice. Default 0. */
  seed?: number;
  /** The pooling behind the layer, for 'poolingStructure'. Default windows of 3, 2 apart. */
  pool?: PoolingWindow;
};

/**
 * A 2D convolution that is computed at some output positions only; every other one copies the nearest that is
 * computed. With n positions of N it takes n/N of the multiply-accumulates, and they are the ones that run:
 * the patches of the n positions are gathered and multiplied with the kernel at once.
 *
 * - `y[p] = activation(patch(nearest(p)) W + b)`; nearest by Euclidean distance, ties in reading order
 * - backward: the gradient of a computed position is the sum over the positions that copy it
 *
 * The mask [height, width] is a weight that is not trained, of one bit per position: it is saved with the layer,
 * and {@link setPerforation} changes it. Height and width of the input must be known. `finalize` keeps the layer
 * and reports it.
 *
 * Paper: Figurnov, Ibraimova, Vetrov, Kohli, "PerforatedCNNs: Acceleration through Elimination of Redundant
 * Convolutions", 2016, sections 3 and 4.
 *
 * @throws {OptionError} for options out of range; {ShapeError} for an input whose size is open;
 *   {UnsupportedError} for channels first.
 * @example
 * const layer = perforatedConv2d({ filters: 50, kernelSize: 5, keep: 0.4, mask: 'grid', activation: 'relu' });
 */
export function perforatedConv2d(args: PerforatedConv2dArgs): tfl.layers.Layer {
  return new ThimblePerforatedConv2D(args);
}

/**
 * Chooses the positions that a perforated layer computes.
 *
 * @param mask 1 where to compute, else 0; row by row, as many as the output has positions
 * @throws {OptionError} for a layer that is not perforated; {ShapeError} for another number of entries;
 *   {DataError} when one is not 0 or 1, or none is 1.
 * @example
 * const layer = perforatedConv2d({ filters: 4, kernelSize: 3, inputShape: [4, 4, 1] });
 * tfl.sequential({ layers: [layer] });
 * setPerforation(layer, [1, 0, 0, 1]);
 */
export function setPerforation(layer: tfl.layers.Layer, mask: ArrayLike<number>): void {
  const { perforation, size } = perforated('setPerforation', layer);
  if (mask.length !== size[0] * size[1]) {
    throw new ShapeError(
      `setPerforation: the output of "${layer.name}" has ${size.join(' x ')} positions, not ${mask.length}.`,
    );
  }
  const values = Float32Array.from(mask);
  const bad = values.findIndex((value) => value !== 0 && value !== 1);
  if (bad >= 0) throw new DataError(`setPerforation: entry ${bad} is ${values[bad]}, not 0 or 1.`);
  if (!values.includes(1)) {
    throw new DataError(`setPerforation: "${layer.name}" would compute nothing; keep a position.`);
  }
  tf.tidy(() => (perforation.read() as tf.Variable).assign(tf.tensor(values, size)));
}

/** The mask of a perforated layer, row by row, and height and width of its output. */
export function perforated(
  owner: string,
  layer: tfl.layers.Layer,
): { perforation: tfl.LayerVariable; size: [number, number] } {
  if (!(layer instanceof ThimblePerforatedConv2D) || !layer.built) {
    throw new OptionError(`${owner}: "${layer.name}" is no perforatedConv2d layer that is built.`);
  }
  const { perforation } = layer;
  return { perforation, size: perforation.shape as [number, number] };
}

const OWNER = 'perforatedConv2d';
const MASKS: readonly PerforationMask[] = ['uniform', 'grid', 'poolingStructure'];

class ThimblePerforatedConv2D extends Conv2D {
  static className = 'ThimblePerforatedConv2D';
  readonly keep: number;
  readonly mask: PerforationMask;
  readonly seed: number;
  readonly pool: PoolingWindow;
  declare perforation: tfl.LayerVariable;
  declare geometry: Geometry;
  /** Of the mask as it was when this was made, by the data that it had. */
  #known: { data: object; perforation: Perforation } | undefined;

  constructor(args: PerforatedConv2dArgs) {
    super(args);
    const { keep = 0.5, mask = 'uniform', seed = 0, pool = { size: 3, strides: 2 } } = args;
    requireChannelsLast(OWNER, args);
    checkRange(OWNER, 'keep', keep, Number.EPSILON, 1);
    if (!MASKS.includes(mask)) {
      throw new OptionError(`${OWNER}: mask must be one of ${MASKS.join(', ')}, not "${mask}".`);
    }
    checkInteger(OWNER, 'pool.size', pool.size, 1);
    checkInteger(OWNER, 'pool.strides', pool.strides, 1);
    this.keep = keep;
    this.mask = mask;
    this.seed = seed;
    this.pool = pool;
  }

  override build(inputShape: tfl.Shape | tfl.Shape[]): void {
    super.build(inputShape);
    const [, height, width] = (
      Array.isArray(inputShape[0]) ? inputShape[0] : inputShape
    ) as tfl.Shape;
    if (height === null || width === null) {
      throw new ShapeError(`${OWNER} "${this.name}": height and width of the input must be known.`);
    }
    this.geometry = geometryOf(this, height!, width!);
    const { output } = this.geometry;
    const apply = () => {
      const { mask, keep, seed, pool } = this;
      return tf.tensor(
        Float32Array.from(perforationMask(mask, ...output, keep, seed, pool)),
        output,
      );
    };
    const { addWeight } = this as unknown as { addWeight: AddWeight };
    this.perforation = addWeight.call(
      this,
      'perforation',
      output,
      undefined,
      { apply },
      undefined,
      false,
    );
  }

  /** What is computed and copied, by the mask as it is now. */
  #current(): Perforation {
    const variable = this.perforation.read() as tf.Variable;
    if (this.#known?.data !== variable.dataId) {
      const perforation = perforationOf(variable.dataSync(), ...this.geometry.output);
      this.#known = { data: variable.dataId, perforation };
    }
    return this.#known.perforation;
  }

  override call(
    inputs: tf.Tensor | tf.Tensor[],
    kwargs: { [key: string]: unknown },
  ): tf.Tensor | tf.Tensor[] {
    const { kept, nearest } = this.#current();
    if (kept.length === nearest.length) return super.call(inputs, kwargs);
    if (kept.length === 0) {
      throw new DataError(
        `${OWNER} "${this.name}": its mask keeps no position; see setPerforation.`,
      );
    }
    return tf.tidy(() => {
      const x = onlyInput(inputs);
      const kernel = this.kernel.read();
      const depth = kernel.size / this.filters;
      const patches = this.#patches(x, kept);
      let y: tf.Tensor = tf.matMul(
        tf.reshape(patches, [-1, depth]) as tf.Tensor2D,
        tf.reshape(kernel, [depth, this.filters]) as tf.Tensor2D,
      );
      if (this.bias) y = tf.add(y, this.bias.read());
      if (this.activation) y = this.activation.apply(y);
      const [batch] = x.shape;
      const rows = tf.reshape(y, [batch, kept.length, this.filters]);
      const all = tf.gather(rows, tf.tensor1d(nearest, 'int32'), 1);
      return tf.reshape(all, [batch, ...this.geometry.output, this.filters]);
    });
  }

  /** The inputs of the kernel at some positions: [batch, positions * kernel positions, channels]. */
  #patches(x: tf.Tensor4D, kept: Int32Array): tf.Tensor {
    const { pads, output, strides, dilations } = this.geometry;
    const padded = pads.flat().some((n) => n > 0) ? tf.pad(x, [[0, 0], ...pads, [0, 0]]) : x;
    const [batch, height, width, channels] = padded.shape;
    const [kh, kw] = this.kernelSize;
    const indices = new Int32Array(kept.length * kh * kw);
    let at = 0;
    for (const position of kept) {
      const top = Math.floor(position / output[1]) * strides[0];
      const left = (position % output[1]) * strides[1];
      for (let i = 0; i < kh; i++) {
        const row = (top + i * dilations[0]) * width + left;
        for (let j = 0; j < kw; j++) indices[at++] = row + j * dilations[1];
      }
    }
    const flat = tf.reshape(padded, [batch, height * width, channels]);
    return tf.gather(flat, tf.tensor1d(indices, 'int32'), 1);
  }

  countMacs(): number {
    return (
      this.#current().kept.length * this.kernel.shape.reduce((n: number, size) => n * size!, 1)
    );
  }

  /** One bit per position. */
  storedAs(weight: string): Partial<Encoding> | undefined {
    if (weight !== 'perforation') return undefined;
    const [scale, zeroPoint] = [new Float32Array([1]), new Int32Array([0])];
    return { values: { type: 'affine', bits: 1, scale, zeroPoint, axis: null } };
  }

  override getConfig(): tf.serialization.ConfigDict {
    const { keep, mask, seed, pool } = this;
    return { ...super.getConfig(), keep, mask, seed, pool: { ...pool } };
  }
}

tf.serialization.registerClass(ThimblePerforatedConv2D as never);
