// Networks of the literature in shape, with zeros for weights, and what tests of channel removal share.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { Random } from '@thimble/base';
import {
  type ChannelGroup,
  channelGroups,
  withChannelsZeroed,
  withoutChannels,
} from '@thimble/core';
import { expectNoLeaks, outputs, savedAndLoaded, snapshot } from '@thimble/testing';
import { expect } from 'vitest';

export type Value = tfl.SymbolicTensor;

/** Applies a layer to one value or several. */
export function on(layer: tfl.layers.Layer, ...values: Value[]): Value {
  return layer.apply(values.length === 1 ? values[0]! : values) as Value;
}

const { layers } = tfl;
const zeros = 'zeros' as const;

interface Unit {
  filters: number;
  kernelSize?: number;
  strides?: number;
  relu?: boolean;
}

/** Convolution without bias, batch normalisation and, unless it is switched off, ReLU. */
function convUnit(
  x: Value,
  name: string,
  { filters, kernelSize = 1, strides = 1, relu = true }: Unit,
): Value {
  const convolution = layers.conv2d({
    filters,
    kernelSize,
    strides,
    padding: 'same',
    useBias: false,
    kernelInitializer: zeros,
    name,
  });
  return normalized(on(convolution, x), name, relu);
}

function depthwiseUnit(x: Value, name: string, strides: number): Value {
  const convolution = layers.depthwiseConv2d({
    kernelSize: 3,
    strides,
    padding: 'same',
    useBias: false,
    depthwiseInitializer: zeros,
    name,
  });
  return normalized(on(convolution, x), name, true);
}

function normalized(x: Value, name: string, relu: boolean): Value {
  const y = on(layers.batchNormalization({ name: `${name}.bn` }), x);
  return relu ? on(layers.reLU({ name: `${name}.relu` }), y) : y;
}

function classified(x: Value, classes: number): Value {
  const pooled = on(layers.globalAveragePooling2d({ name: 'pool' } as never), x);
  return on(layers.dense({ units: classes, kernelInitializer: zeros, name: 'classifier' }), pooled);
}

/** ResNet-18 for images of 32 x 32; parameters do not depend on the size. */
export function resnet18(): tfl.LayersModel {
  const image = tfl.input({ shape: [32, 32, 3], name: 'image' });
  let x = convUnit(image, 'conv1', { filters: 64, kernelSize: 7, strides: 2 });
  x = on(layers.maxPooling2d({ poolSize: 3, strides: 2, padding: 'same' }), x);
  let width = 64;
  for (const [stage, filters] of [64, 128, 256, 512].entries()) {
    for (const block of [0, 1]) {
      const name = `layer${stage + 1}.${block}`;
      const strides = stage > 0 && block === 0 ? 2 : 1;
      const inner = convUnit(x, `${name}.conv1`, { filters, kernelSize: 3, strides });
      const main = convUnit(inner, `${name}.conv2`, { filters, kernelSize: 3, relu: false });
      const shortcut =
        width === filters
          ? x
          : convUnit(x, `${name}.downsample`, { filters, strides, relu: false });
      x = on(layers.reLU({ name: `${name}.relu` }), on(layers.add(), main, shortcut));
      width = filters;
    }
  }
  return tfl.model({ inputs: image, outputs: classified(x, 1000) });
}

/** Output channels and stride of each block of MobileNet-v1. */
export const MOBILENET_V1: readonly (readonly [number, number])[] = [
  [64, 1],
  [128, 2],
  [128, 1],
  [256, 2],
  [256, 1],
  [512, 2],
  ...Array.from({ length: 5 }, () => [512, 1] as const),
  [1024, 2],
  [1024, 1],
];

export function mobilenetV1(): tfl.LayersModel {
  const image = tfl.input({ shape: [32, 32, 3], name: 'image' });
  let x = convUnit(image, 'conv1', { filters: 32, kernelSize: 3, strides: 2 });
  for (const [i, [filters, strides]] of MOBILENET_V1.entries()) {
    x = depthwiseUnit(x, `depthwise${i}`, strides);
    x = convUnit(x, `pointwise${i}`, { filters });
  }
  return tfl.model({ inputs: image, outputs: classified(x, 1000) });
}

/** MobileNet-V2 with the names of torchvision: expansion, channels, repeats and stride of each stage. */
export function mobilenetV2(): tfl.LayersModel {
  const stages = [
    [1, 16, 1, 1],
    [6, 24, 2, 2],
    [6, 32, 3, 2],
    [6, 64, 4, 2],
    [6, 96, 3, 1],
    [6, 160, 3, 2],
    [6, 320, 1, 1],
  ] as const;
  const image = tfl.input({ shape: [32, 32, 3], name: 'image' });
  let x = convUnit(image, 'features.0.0', { filters: 32, kernelSize: 3, strides: 2 });
  let width = 32;
  let index = 1;
  for (const [expansion, filters, repeats, first] of stages) {
    for (let i = 0; i < repeats; i++, index++) {
      const strides = i === 0 ? first : 1;
      const name = `features.${index}.conv`;
      let part = 0;
      let y = x;
      if (expansion > 1) y = convUnit(y, `${name}.${part++}.0`, { filters: width * expansion });
      y = depthwiseUnit(y, `${name}.${part++}.0`, strides);
      y = convUnit(y, `${name}.${part}`, { filters, relu: false });
      x = strides === 1 && width === filters ? on(layers.add(), x, y) : y;
      width = filters;
    }
  }
  x = convUnit(x, 'features.18.0', { filters: 1280 });
  return tfl.model({ inputs: image, outputs: classified(x, 10) });
}

/** Parameters as PyTorch counts the trained ones: without the statistics of batch normalisation. */
export function trainedParams(model: tfl.LayersModel): number {
  return model.weights
    .filter(({ originalName }) => !originalName.includes('moving_'))
    .reduce((sum, { shape }) => sum + (shape as number[]).reduce((n, size) => n * size, 1), 0);
}

/** Gives all weights values of a size that keeps activations near 1, and every channel another one. */
export function randomize<M extends tfl.LayersModel>(model: M, seed: number): M {
  const random = new Random(seed);
  for (const weight of model.weights) {
    const variable = weight.read() as tf.Variable;
    const { shape, size } = variable;
    const fanIn = size / shape.at(-1)!;
    const [low, high] = /gamma|variance/.test(weight.originalName)
      ? [0.5, 1.5]
      : shape.length > 1
        ? [-Math.sqrt(3 / fanIn), Math.sqrt(3 / fanIn)]
        : [-0.5, 0.5];
    const values = Float32Array.from({ length: size }, () => random.uniform(low, high));
    tf.tidy(() => variable.assign(tf.tensor(values, shape)));
  }
  return model;
}

export function free(model: tfl.LayersModel): ChannelGroup[] {
  return channelGroups(model).filter(({ fixed }) => fixed === undefined);
}

export function groupNamed(model: tfl.LayersModel, name: string): ChannelGroup {
  const groups = channelGroups(model);
  const group = groups.find((candidate) => candidate.name === name);
  expect(group, `${name} among ${groups.map((each) => each.name)}`).toBeDefined();
  return group!;
}

/** The first and every third channel of each group that can shrink. */
export function some(model: tfl.LayersModel): Record<string, number[]> {
  return Object.fromEntries(
    free(model)
      .filter(({ size }) => size > 1)
      .map(({ name, size }) => [
        name,
        Array.from({ length: size }, (_, i) => i).filter((i) => i % 3 === 0),
      ]),
  );
}

/**
 * Removes channels, and expects the outputs of the model with zeros in their place, a model that can be
 * saved and loaded, and the model given as it was. Returns the smaller model.
 */
export async function expectRemoved(
  model: tfl.LayersModel,
  x: tf.Tensor | tf.Tensor[],
  removed: Record<string, number[]> = some(model),
): Promise<tfl.LayersModel> {
  const before = snapshot(model);
  const whole = outputs(model, x as tf.Tensor);
  const smaller = await withoutChannels(model, removed);
  const zeroed = await withChannelsZeroed(model, removed);
  const expected = outputs(zeroed, x as tf.Tensor);
  expect(outputs(smaller, x as tf.Tensor)).toBeAllClose(expected, 1e-5);
  expect(zeroed.countParams()).toBe(model.countParams());
  if (Object.values(removed).some((numbers) => numbers.length > 0)) {
    expect(smaller.countParams()).toBeLessThan(model.countParams());
    // Else the comparison would say nothing.
    expect(expected).not.toBeAllClose(whole, 1e-3);
  }
  const loaded = await savedAndLoaded(smaller);
  expect(outputs(loaded, x as tf.Tensor)).toBeAllClose(expected, 1e-5);
  expect(snapshot(model)).toEqual(before);
  expect(outputs(model, x as tf.Tensor)).toEqual(whole);
  for (const made of [zeroed, loaded]) disposeWeights(made);
  return smaller;
}

/** By hand: a model's dispose leaves the weights of a layer that it applies twice. */
export function disposeWeights(model: tfl.LayersModel): void {
  for (const weight of model.weights) weight.dispose();
}

export async function expectNoLeak(model: tfl.LayersModel): Promise<void> {
  await expectNoLeaks(async () => {
    const removed = some(model);
    disposeWeights(await withoutChannels(model, removed));
    disposeWeights(await withChannelsZeroed(model, removed));
  });
}
