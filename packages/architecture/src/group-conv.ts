// Convolutions of groups of channels, and the shuffle that lets groups talk to one another.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { checkInteger, OptionError, ShapeError } from '@thimble/base';
import { type ApplyPart, CompositeLayer } from '@thimble/core';
import {
  biasArgs,
  type Conv2dArgs,
  channelsOf,
  kernelArgs,
  pair,
  requireChannelsLast,
} from './block.ts';

/** Arguments of {@link groupConv2d}: those of `tf.layers.conv2d`, and its own. */
export type GroupConv2dArgs = Conv2dArgs & {
  /** Number of groups; divides the input channels and the filters. */
  groups: number;
  /** Whether the output channels of the groups are interleaved. Default false. */
  shuffle?: boolean;
};

/**
 * A 2D convolution of which each group of filters sees its own group of input channels. It takes a
 * `groups`-th of the multiply-accumulates and weights of a plain convolution.
 *
 * - with g groups: filter n of group j sees channels `j C/g .. (j+1) C/g - 1`
 * - shuffle: output channel `i g + j` is filter i of group j, so that the next layer's groups see all of these
 *
 * Each group is a part of its own; `parametrize(layer, { kernel })` reaches all of them. `finalize` puts plain
 * layers in its place: a cropping and a convolution per group, a concatenation, and for the shuffle two reshapes
 * and a permutation.
 *
 * Paper: Zhang, Zhou, Lin, Sun, "ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile
 * Devices", 2018, section 3.1.
 *
 * @throws {OptionError} when groups do not divide the filters; {ShapeError} when they do not divide the input
 *   channels; {UnsupportedError} for channels first.
 * @example
 * const layer = groupConv2d({ filters: 32, kernelSize: 3, groups: 4, shuffle: true, padding: 'same' });
 */
export function groupConv2d(args: GroupConv2dArgs): tfl.layers.Layer {
  return new ThimbleGroupConv2D(args);
}

const OWNER = 'groupConv2d';

class ThimbleGroupConv2D extends CompositeLayer {
  static className = 'ThimbleGroupConv2D';
  readonly #groups: number;
  readonly #shuffle: boolean;

  constructor(args: GroupConv2dArgs) {
    const { filters, kernelSize, groups, shuffle = false, strides = 1, padding = 'valid' } = args;
    const { dilationRate = 1, useBias = true, activation = 'linear' } = args;
    requireChannelsLast(OWNER, args);
    checkInteger(OWNER, 'groups', groups, 1);
    checkInteger(OWNER, 'filters', filters, 1);
    if (filters % groups !== 0) {
      throw new OptionError(
        `${OWNER}: ${filters} filters do not come in ${groups} groups of one size; take a multiple of ${groups}.`,
      );
    }
    const geometry = {
      kernelSize: pair(OWNER, 'kernelSize', kernelSize),
      strides: pair(OWNER, 'strides', strides),
      dilationRate: dilationRate as number,
      padding,
    };
    super(args, { filters, groups, shuffle, ...geometry, useBias, activation });
    this.#groups = groups;
    this.#shuffle = shuffle;
    for (let j = 1; j <= groups; j++) {
      // Crops channels: seen as "channels first", the last axis is the width.
      this.addPart(`crop${j}`, (name) =>
        tfl.layers.cropping2D({ name, cropping: 0, dataFormat: 'channelsFirst' }),
      );
      this.addPart(`group${j}`, (name) =>
        tfl.layers.conv2d({
          name,
          filters: filters / groups,
          ...geometry,
          useBias,
          activation,
          ...kernelArgs(args),
          ...biasArgs(args),
        }),
      );
    }
    this.addPart('concatenate', (name) => tfl.layers.concatenate({ name }));
    if (!shuffle) return;
    const dims = [1, 1, 1, 1]; // known once the input is
    this.addPart('split', (name) => tfl.layers.reshape({ name, targetShape: dims }));
    this.addPart('swap', (name) => tfl.layers.permute({ name, dims: [1, 2, 4, 3] }));
    this.addPart('join', (name) => tfl.layers.reshape({ name, targetShape: dims.slice(1) }));
  }

  protected override prepare(inputShape: tfl.Shape): void {
    const channels = channelsOf(inputShape);
    const groups = this.#groups;
    if (channels % groups !== 0) {
      throw new ShapeError(
        `${OWNER} "${this.name}": ${channels} input channels do not come in ${groups} groups of one size.`,
      );
    }
    const size = channels / groups;
    for (let j = 0; j < groups; j++) {
      const crop = this.part(`crop${j + 1}`) as tfl.layers.Layer & { cropping: number[][] };
      crop.cropping = [
        [0, 0],
        [j * size, channels - (j + 1) * size],
      ];
    }
    if (!this.#shuffle) return;
    const [, height, width] = this.part('group1').computeOutputShape([
      ...inputShape.slice(0, -1),
      size,
    ]) as tfl.Shape;
    const filters = (this.part('group1') as tfl.layers.Layer & { filters: number }).filters;
    const [split, join] = ['split', 'join'].map(
      (role) => this.part(role) as tfl.layers.Layer & { targetShape: (number | null)[] },
    );
    split!.targetShape = [height!, width!, groups, filters];
    join!.targetShape = [height!, width!, groups * filters];
  }

  override connect<T>(input: T, apply: ApplyPart<T>): T {
    const outputs = Array.from({ length: this.#groups }, (_, j) =>
      apply(this.part(`group${j + 1}`), apply(this.part(`crop${j + 1}`), input)),
    );
    const joined = this.#groups === 1 ? outputs[0]! : apply(this.part('concatenate'), outputs);
    if (!this.#shuffle) return joined;
    return ['split', 'swap', 'join'].reduce((value, role) => apply(this.part(role), value), joined);
  }

  /** As the parts would, with one split for all groups. */
  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: { [key: string]: unknown }): tf.Tensor {
    return tf.tidy(() => {
      const input = Array.isArray(inputs) ? inputs[0]! : inputs;
      const groups = this.#groups;
      const outputs = tf
        .split(input, groups, -1)
        .map((slice, j) => this.part(`group${j + 1}`).call(slice, kwargs) as tf.Tensor);
      const joined = tf.concat(outputs, -1);
      if (!this.#shuffle) return joined;
      const space = joined.shape.slice(0, -1);
      const size = joined.shape.at(-1)! / groups;
      const split = tf.reshape(joined, [...space, groups, size]);
      return tf.reshape(tf.transpose(split, [0, 1, 2, 4, 3]), joined.shape);
    });
  }
}

tf.serialization.registerClass(ThimbleGroupConv2D as never);
