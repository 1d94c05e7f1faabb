// Every layer of Thimble's own as a .thimble file: read as a tfjs model and on packed kernels.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { useCpu } from '@thimble/testing';
import { encode, layers, load, runtime, withSeed } from 'thimble';
import { describe, expect, it } from 'vitest';

useCpu();

const image: [number, number, number] = [6, 6, 8];
const conv = { filters: 8, kernelSize: 3, padding: 'same' } as const;
const widths = [0.5, 1];

/** By the name of the layer: how it is made, and the shape that it takes. */
const CASES: Partial<Record<keyof typeof layers, [() => tfl.layers.Layer, number[]]>> = {
  binaryActivation: [() => layers.binaryActivation({}), image],
  binaryConv2d: [() => layers.binaryConv2d(conv), image],
  binaryDense: [() => layers.binaryDense({ units: 5 }), [12]],
  xnorConv2d: [() => layers.xnorConv2d(conv), image],
  xnorDense: [() => layers.xnorDense({ units: 5 }), [12]],
  maskedConv2d: [() => layers.maskedConv2d({ ...conv, sparsity: 0.5 }), image],
  maskedDense: [() => layers.maskedDense({ units: 5, sparsity: 0.5 }), [12]],
  maskedDepthwiseConv2d: [
    () => layers.maskedDepthwiseConv2d({ kernelSize: 3, sparsity: 0.5 }),
    image,
  ],
  depthwiseSeparableConv2d: [() => layers.depthwiseSeparableConv2d(conv), image],
  invertedResidual: [() => layers.invertedResidual({ filters: 8, expansion: 2 }), image],
  fire: [() => layers.fire({ squeeze: 2, expand1x1: 3, expand3x3: 3 }), image],
  groupConv2d: [() => layers.groupConv2d({ ...conv, groups: 2, shuffle: true }), image],
  lowRankConv2d: [() => layers.lowRankConv2d({ ...conv, rank: 2 }), image],
  lowRankDense: [() => layers.lowRankDense({ units: 6, rank: 3 }), [12]],
  versatileConv2d: [() => layers.versatileConv2d(conv), image],
  perforatedConv2d: [() => layers.perforatedConv2d(conv), image],
  slimmableBatchNormalization: [() => layers.slimmableBatchNormalization({ widths }), image],
  slimmableConv2d: [() => layers.slimmableConv2d({ ...conv, widths }), image],
  slimmableDense: [() => layers.slimmableDense({ units: 6, widths }), [12]],
  slimmableDepthwiseConv2d: [
    () => layers.slimmableDepthwiseConv2d({ kernelSize: 3, widths }),
    image,
  ],
  earlyExitHead: [() => layers.earlyExitHead({ classes: 3 }), image],
};

it('covers every layer', () => {
  expect([...Object.keys(CASES), ...ELSEWHERE].sort()).toEqual(Object.keys(layers).sort());
});

describe.each(Object.entries(CASES))('%s', (name, [make, inputShape]) => {
  const model = withSeed(1, () => {
    const input = tfl.input({ shape: inputShape });
    const made = tfl.model({ inputs: input, outputs: make().apply(input) as tfl.SymbolicTensor });
    // Nothing at 0 or 1 that would hide a weight that is not read.
    made.setWeights(
      made.getWeights().map((weight) => tf.add(weight, tf.randomUniform(weight.shape, 0, 0.4))),
    );
    return made;
  });
  const x = tf.randomNormal([3, ...inputShape], 0, 1, 'float32', 7);
  const expected = () => (model.predict(x) as tf.Tensor).dataSync();

  it('comes back as a tfjs model', async () => {
    const again = await load(await encode(model));
    expect([...(again.predict(x) as tf.Tensor).dataSync()]).toBeAllClose([...expected()], 1e-5);
  });

  it('runs on packed kernels, or is refused by name', async () => {
    const bytes = await encode(model);
    if (UNPACKED.test(name)) {
      await expect(runtime.load(bytes)).rejects.toThrow(/cannot run \w+/);
      return;
    }
    const net = await runtime.load(bytes);
    expect([...net.predict(x.dataSync() as Float32Array)]).toBeAllClose([...expected()], 1e-4);
    net.dispose();
  });
});
