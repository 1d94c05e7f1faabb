// The small networks of the literature, ready to train.
import * as tfl from '@tensorflow/tfjs-layers';
import { checkInteger, checkOptions, checkRange, OptionError, withSeed } from '@thimble/base';
import type { CompositeLayer } from '@thimble/core';
import { scaledFilters } from './block.ts';
import { depthwiseSeparableConv2d } from './depthwise-separable.ts';
import { fire } from './fire.ts';

/** Options of every network. */
export interface ModelOptions {
  /** Height, width and channels of an image. */
  inputShape?: [number, number, number];
  /** Default 10. */
  classes?: number;
  /** The weights are drawn from it: the same for the same seed. Default 0. */
  seed?: number | string;
}

/** Options of networks that come in several widths. */
export interface WidthOptions extends ModelOptions {
  /** All numbers of channels times this, rounded. Default 1. */
  widthMultiplier?: number;
}

/** Options of {@link models}.resNet20. */
export interface ResNetOptions extends WidthOptions {
  /**
   * Where the number of channels grows: 'identity' (default; option A of the paper) takes every second position and
   * adds channels of zeros, 'projection' (option B) is a 1 x 1 convolution with batch normalization.
   */
  shortcut?: 'identity' | 'projection';
}

const { conv2d, dense, flatten, globalAveragePooling2d, maxPooling2d } = tfl.layers;
const MNIST: [number, number, number] = [28, 28, 1];
const CIFAR: [number, number, number] = [32, 32, 3];
/** Of batch normalisation: tfjs's 0.99 would need more steps than small experiments have. */
const MOMENTUM = 0.9;

type Resolved<O extends ModelOptions> = O & Required<ModelOptions>;

/** Checks the options and draws the weights from the seed. */
function built<O extends WidthOptions>(
  owner: string,
  options: O,
  known: readonly string[],
  shape: [number, number, number],
  build: (options: Resolved<O>) => tfl.LayersModel,
): tfl.LayersModel {
  checkOptions(owner, options, ['inputShape', 'classes', 'seed', ...known]);
  const { inputShape = shape, classes = 10, seed = 0, widthMultiplier } = options;
  checkInteger(owner, 'classes', classes, 2);
  if (widthMultiplier !== undefined) checkRange(owner, 'widthMultiplier', widthMultiplier, 0);
  if (inputShape.length !== 3) {
    throw new OptionError(
      `${owner}: inputShape must be height, width, channels, not [${inputShape}].`,
    );
  }
  for (const size of inputShape) checkInteger(owner, 'inputShape', size, 1);
  return withSeed(seed, () => build({ ...options, inputShape, classes, seed }));
}

const output = (classes: number) =>
  dense({ name: 'output', units: classes, activation: 'softmax' });

/**
 * LeNet-300-100: two dense layers of 300 and 100 units with ReLU; 266,610 parameters on 28 x 28 images.
 * LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", 1998, section III.C.
 */
function lenet300100(options: ModelOptions = {}): tfl.LayersModel {
  return built('models.lenet300100', options, [], MNIST, ({ inputShape, classes }) =>
    tfl.sequential({
      name: 'lenet300100',
      layers: [
        flatten({ inputShape }),
        dense({ name: 'fc1', units: 300, activation: 'relu' }),
        dense({ name: 'fc2', units: 100, activation: 'relu' }),
        output(classes),
      ],
    }),
  );
}

/**
 * LeNet-5 as Caffe has it, the one that the literature of pruning means: convolutions of 20 and 50 filters of 5 x 5
 * without activation, each with 2 x 2 maximum pooling, and 500 units with ReLU; 431,080 parameters on 28 x 28 images.
 */
function lenet5(options: ModelOptions = {}): tfl.LayersModel {
  return built('models.lenet5', options, [], MNIST, ({ inputShape, classes }) =>
    tfl.sequential({
      name: 'lenet5',
      layers: [
        conv2d({ name: 'conv1', filters: 20, kernelSize: 5, inputShape }),
        maxPooling2d({ poolSize: 2 }),
        conv2d({ name: 'conv2', filters: 50, kernelSize: 5 }),
        maxPooling2d({ poolSize: 2 }),
        flatten(),
        dense({ name: 'fc1', units: 500, activation: 'relu' }),
        output(classes),
      ],
    }),
  );
}

/** Applies the plain layers of a block. */
function expanded(block: tfl.layers.Layer, input: tfl.SymbolicTensor): tfl.SymbolicTensor {
  return (block as CompositeLayer).expand(input);
}

function apply(
  layer: tfl.layers.Layer,
  input: tfl.SymbolicTensor | tfl.SymbolicTensor[],
): tfl.SymbolicTensor {
  return layer.apply(input) as tfl.SymbolicTensor;
}

/** Filters and stride of the blocks of {@link mobileNet}. */
const MOBILE: readonly (readonly [filters: number, strides: number])[] = [
  [32, 1],
  [64, 2],
  [64, 1],
  [128, 2],
  [128, 1],
];

/** Convolution, batch normalization and ReLU, by tfjs's own layers. */
function normed(
  name: string,
  input: tfl.SymbolicTensor,
  filters: number,
  strides = 1,
  relu = true,
  kernelSize = 3,
): tfl.SymbolicTensor {
  const geometry = { filters, kernelSize, strides, padding: 'same' as const, useBias: false };
  const y = apply(conv2d({ name, ...geometry, kernelInitializer: 'heNormal' }), input);
  const z = apply(tfl.layers.batchNormalization({ name: `${name}_norm`, momentum: MOMENTUM }), y);
  return relu ? apply(tfl.layers.activation({ name: `${name}_relu`, activation: 'relu' }), z) : z;
}

/**
 * MobileNet v1 at the size of MNIST and CIFAR: a 3 x 3 convolution of 16 filters with stride 2, five
 * depthwise-separable blocks of 32, 64, 64, 128 and 128, of which the second and the fourth have stride 2, mean pooling. By plain layers.
 * Howard et al., "MobileNets", 2017, table 1.
 */
function mobileNet(options: WidthOptions = {}): tfl.LayersModel {
  const owner = 'models.mobileNet';
  return built(owner, options, ['widthMultiplier'], MNIST, (resolved) => {
    const { inputShape, classes, widthMultiplier = 1 } = resolved;
    const input = tfl.input({ shape: inputShape });
    let x = normed('conv1', input, scaledFilters(owner, 16, widthMultiplier), 2);
    for (const [i, [filters, strides]] of MOBILE.entries()) {
      const block = {
        name: `block${i + 1}`,
        filters,
        strides,
        widthMultiplier,
        momentum: MOMENTUM,
      };
      const more = { padding: 'same', kernelInitializer: 'heNormal' } as const;
      x = expanded(depthwiseSeparableConv2d({ ...block, ...more }), x);
    }
    x = apply(globalAveragePooling2d({}), x);
    return tfl.model({ name: 'mobileNet', inputs: input, outputs: apply(output(classes), x) });
  });
}

/**
 * SqueezeNet at the size of MNIST and CIFAR: a 3 x 3 convolution of 32 filters with stride 2, two fire modules of 64
 * channels, pooling, two of 128, a 1 x 1 convolution to the classes, mean pooling; squeeze ratio 1/8. By plain layers.
 * Iandola et al., "SqueezeNet", 2016, table 1.
 */
function squeezeNet(options: WidthOptions = {}): tfl.LayersModel {
  const owner = 'models.squeezeNet';
  return built(owner, options, ['widthMultiplier'], MNIST, (resolved) => {
    const { inputShape, classes, widthMultiplier = 1 } = resolved;
    const scaled = (filters: number) => scaledFilters(owner, filters, widthMultiplier);
    const module = (name: string, channels: number) =>
      fire({
        name,
        squeeze: scaled(channels / 8),
        expand1x1: scaled(channels / 2),
        expand3x3: scaled(channels / 2),
        kernelInitializer: 'heNormal',
      });
    const first = { name: 'conv1', filters: scaled(32), kernelSize: 3, strides: 2 };
    const more = { padding: 'same', activation: 'relu', kernelInitializer: 'heNormal' } as const;
    const input = tfl.input({ shape: inputShape });
    let x = apply(conv2d({ ...first, ...more }), input);
    x = expanded(module('fire2', 64), x);
    x = expanded(module('fire3', 64), x);
    x = apply(maxPooling2d({ poolSize: 2 }), x);
    x = expanded(module('fire4', 128), x);
    x = expanded(module('fire5', 128), x);
    x = apply(conv2d({ name: 'conv10', filters: classes, kernelSize: 1 }), x);
    x = apply(globalAveragePooling2d({}), x);
    x = apply(tfl.layers.softmax({ name: 'output' }), x);
    return tfl.model({ name: 'squeezeNet', inputs: input, outputs: x });
  });
}

/** Takes every second position and adds channels of zeros; by tfjs's own layers, without a weight. */
function subsampled(name: string, input: tfl.SymbolicTensor, filters: number): tfl.SymbolicTensor {
  const channels = input.shape.at(-1)!;
  const before = Math.floor((filters - channels) / 2);
  // Seen as "channels first", the last axis is the width.
  const padding: [[number, number], [number, number]] = [
    [0, 0],
    [before, filters - channels - before],
  ];
  const x = apply(maxPooling2d({ name: `${name}_half`, poolSize: 1, strides: 2 }), input);
  return apply(
    tfl.layers.zeroPadding2d({ name: `${name}_zeros`, padding, dataFormat: 'channelsFirst' }),
    x,
  );
}

/**
 * ResNet-20 for CIFAR: three stages of three residual blocks with 16, 32 and 64 filters. 269,722 parameters that are
 * trained with identity shortcuts, 272,474 with projections. By plain layers.
 * He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", 2016, section 4.2.
 */
function resNet20(options: ResNetOptions = {}): tfl.LayersModel {
  const owner = 'models.resNet20';
  return built(owner, options, ['widthMultiplier', 'shortcut'], CIFAR, (resolved) => {
    const { inputShape, classes, widthMultiplier = 1, shortcut = 'identity' } = resolved;
    if (shortcut !== 'identity' && shortcut !== 'projection') {
      throw new OptionError(
        `${owner}: shortcut must be identity or projection, not "${String(shortcut)}".`,
      );
    }
    const input = tfl.input({ shape: inputShape });
    let x = normed('conv1', input, scaledFilters(owner, 16, widthMultiplier));
    for (let stage = 1; stage <= 3; stage++) {
      const filters = scaledFilters(owner, 8 * 2 ** stage, widthMultiplier);
      for (let block = 1; block <= 3; block++) {
        const name = `stage${stage}_block${block}`;
        const strides = stage > 1 && block === 1 ? 2 : 1;
        const y = normed(
          `${name}_conv2`,
          normed(`${name}_conv1`, x, filters, strides),
          filters,
          1,
          false,
        );
        let skip = x;
        if (strides === 2) {
          skip =
            shortcut === 'identity'
              ? subsampled(name, x, filters)
              : normed(`${name}_projection`, x, filters, 2, false, 1);
        }
        const sum = apply(tfl.layers.add({ name: `${name}_add` }), [y, skip]);
        x = apply(tfl.layers.activation({ name: `${name}_relu`, activation: 'relu' }), sum);
      }
    }
    x = apply(globalAveragePooling2d({}), x);
    return tfl.model({ name: 'resNet20', inputs: input, outputs: apply(output(classes), x) });
  });
}

/**
 * Networks at the size of MNIST (28 x 28 x 1, ResNet-20 of CIFAR: 32 x 32 x 3) and of what `inputShape` says: plain
 * tfjs-layers models that end in softmax, not compiled, with weights drawn from a seed.
 *
 * @namespace
 * @throws {OptionError} for unknown options and sizes out of range.
 * @example
 * const net = models.lenet300100({ seed: 1 });
 * await fit(net, train, { epochs: 1, loss: 'categoricalCrossentropy' });
 * models.mobileNet({ inputShape: [32, 32, 3], classes: 100, widthMultiplier: 0.5 });
 */
export const models: {
  lenet300100: (options?: ModelOptions) => tfl.LayersModel;
  lenet5: (options?: ModelOptions) => tfl.LayersModel;
  mobileNet: (options?: WidthOptions) => tfl.LayersModel;
  resNet20: (options?: ResNetOptions) => tfl.LayersModel;
  squeezeNet: (options?: WidthOptions) => tfl.LayersModel;
} = { lenet300100, lenet5, mobileNet, resNet20, squeezeNet };
